import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data


@pytest.fixture
def berkeley(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for name in ("3096", "2092"):
        PIL.Image.new("RGB", (4, 1)).save(tmp_path / "images" / f"{name}.jpg")
    for name, row in (("3096", [0, 255, 0, 0]), ("2092_1", [255, 255, 0, 0]), ("2092_2", [0, 255, 255, 255])):
        PIL.Image.fromarray(np.array([row], np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_a_second_mask_is_a_second_object_even_where_they_overlap(berkeley):
    data = open_data(berkeley)
    assert data.format == "berkeley"
    found = {i.id: i.area for s in data.samples for i in s.read()[1].annotations}
    assert found == {"2092_1": 2, "2092_2": 3, "3096": 1}


def test_a_stray_mask_is_named(berkeley):
    PIL.Image.new("L", (4, 1)).save(berkeley / "masks" / "999.png")
    with pytest.raises(DataError, match=r"999\.png without image"):
        open_data(berkeley, "berkeley")


def test_the_folders_name_decides_between_equal_layouts(tmp_path):
    for name, expected in (("Berkeley", "berkeley"), ("mine", "folder")):
        for part in ("images", "masks"):
            (tmp_path / name / part).mkdir(parents=True)
            PIL.Image.new("L", (2, 2), 255).save(tmp_path / name / part / "a.png")
        assert open_data(tmp_path / name).format == expected
