import numpy as np
import PIL.Image
import pytest
from scipy.io import savemat

from segue.core.errors import DataError
from segue.data.formats.registry import open_data
from segue.data.record import Options


@pytest.fixture
def sbd(tmp_path):
    for name in ("img", "inst"):
        (tmp_path / name).mkdir()
    labels = np.array([[0, 1, 2, 2]], np.uint8)
    for name in ("2008_000001", "2008_000002"):
        PIL.Image.new("RGB", (4, 1)).save(tmp_path / "img" / f"{name}.jpg")
        gt = {"Segmentation": labels, "Boundaries": np.zeros((2, 1)), "Categories": np.array([[15], [7]])}
        savemat(tmp_path / "inst" / f"{name}.mat", {"GTinst": gt})
    (tmp_path / "val.txt").write_text("2008_000002\n")
    (tmp_path / "train.txt").write_text("2008_000001\n")
    return tmp_path


def test_instances_have_ids_masks_and_classes(sbd):
    (sample,) = open_data(sbd).samples
    _, target = sample.read()
    assert [(i.id, i.name, i.area) for i in target.annotations] == [
        ("2008_000002#1", "person", 1),
        ("2008_000002#2", "car", 2),
    ]


def test_the_split_is_chosen_by_its_list(sbd):
    assert [s.id for s in open_data(sbd, options=Options(split="train")).samples] == ["2008_000001"]
    with pytest.raises(DataError, match="Splits that are there: train, val"):
        open_data(sbd, options=Options(split="test"))


def test_a_mat_file_of_something_else_is_refused(sbd):
    savemat(sbd / "inst" / "2008_000002.mat", {"other": 1})
    with pytest.raises(DataError, match="GTinst"):
        open_data(sbd).samples[0].read()
