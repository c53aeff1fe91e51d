import numpy as np
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data, recognise
from segue.data.io.image import write_image, write_labels
from segue.jobs.evaluate import evaluate


@pytest.fixture
def bear(tmp_path):
    photo = np.full((40, 60, 3), 30, np.uint8)
    first, second = np.zeros((2, 40, 60), bool)
    photo[8:32, 4:24], first[8:32, 4:24] = 220, True
    photo[8:32, 34:54], second[8:32, 34:54] = 180, True
    write_image(tmp_path / "bear" / "00009.jpg", photo)
    for number, mask in ((1, first), (2, second)):
        write_labels(tmp_path / "bear" / f"object{number}_00009.png", mask * 255)
        rough = mask.copy()
        rough[:20] = False
        write_labels(tmp_path / "bear" / f"init_sp_object{number}_00009.png", rough * 255)
    return tmp_path


def test_a_frames_objects_share_it_and_bring_their_masks(bear):
    assert recognise(bear) == "davis585"
    (sample,) = open_data(bear).samples
    _, target = sample.read()
    assert sample.id == "bear/00009"
    assert [a.id for a in target.annotations] == ["bear/object1_00009", "bear/object2_00009"]
    assert [a.area for a in target.annotations] == [480, 480]
    assert set(target.annotations[0].extra["initial"]) == {"sp"}


def test_the_robot_starts_from_the_masks_and_clicks_their_errors(bear, tmp_path):
    given = {"data": bear, "max_clicks": 1, "journal": tmp_path / "j.jsonl"}
    plain, started = evaluate(**given), evaluate(**given, initial="sp")
    assert plain.per_object[0].clicks[0][:2] == (13, 17), "the middle of the whole object"
    _, y, positive = started.per_object[0].clicks[0]
    assert (started.initial, positive) == ("sp", True)
    assert 8 <= y < 20, "the missing upper half is what is clicked"


def test_masks_that_are_not_there_are_named(bear):
    with pytest.raises(DataError, match="no initial mask 'stm'"):
        evaluate(data=bear, initial="stm", strict=True)


def test_a_mask_without_frame_is_refused(bear):
    (bear / "bear" / "00009.jpg").unlink()
    with pytest.raises(DataError, match="frame of every object"):
        open_data(bear)
