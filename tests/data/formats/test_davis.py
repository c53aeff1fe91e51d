import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data
from segue.data.record import Options


@pytest.fixture
def davis(tmp_path):
    for name in ("img", "gt"):
        (tmp_path / name).mkdir()
    PIL.Image.new("RGB", (3, 1)).save(tmp_path / "img" / "dog_00001.jpg")
    colours = np.array([[[0, 0, 0], [128, 0, 0], [0, 128, 0]]], np.uint8)
    PIL.Image.fromarray(colours).save(tmp_path / "gt" / "dog_00001.png")
    return tmp_path


def test_everything_but_black_is_one_object(davis):
    (sample,) = open_data(davis).samples
    _, target = sample.read()
    assert [i.mask.tolist() for i in target.annotations] == [[[False, True, True]]]
    assert target.annotations[0].id == "dog_00001"


def test_an_image_without_mask_is_named(davis):
    PIL.Image.new("RGB", (3, 1)).save(davis / "img" / "cat.jpg")
    with pytest.raises(DataError, match=r"without mask \(first: .*cat.jpg\)"):
        open_data(davis)


def test_a_split_is_refused(davis):
    with pytest.raises(DataError, match="no splits"):
        open_data(davis, options=Options(split="val"))


def test_a_mask_of_another_size_is_refused(davis):
    PIL.Image.new("L", (9, 9), 255).save(davis / "gt" / "dog_00001.png")
    with pytest.raises(DataError, match="9 x 9 pixels for the image 'dog_00001'"):
        open_data(davis).samples[0].read()
