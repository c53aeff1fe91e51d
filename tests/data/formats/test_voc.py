from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from segue.data.formats.registry import open_data
from segue.data.formats.voc import palette_png
from segue.data.record import Options


@pytest.fixture
def voc(tmp_path):
    for name in ("JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / name).mkdir(parents=True)
    PIL.Image.new("RGB", (5, 1)).save(tmp_path / "JPEGImages" / "2007_000033.jpg")
    objects, classes = np.array([[0, 1, 1, 2, 255]], np.int32), np.array([[0, 8, 8, 12, 255]], np.int32)
    (tmp_path / "SegmentationObject" / "2007_000033.png").write_bytes(palette_png(objects))
    (tmp_path / "SegmentationClass" / "2007_000033.png").write_bytes(palette_png(classes))
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n")
    return tmp_path


def test_objects_are_named_by_the_class_map_and_255_is_void(voc):
    _, target = open_data(voc).samples[0].read()
    assert [(i.name, i.area) for i in target.annotations] == [("cat", 2), ("dog", 1)]
    assert target.ignore_mask.tolist() == [[False] * 4 + [True]]


def test_void_can_be_overridden(voc):
    _, target = open_data(voc, options=Options(ignore_values=())).samples[0].read()
    assert [i.area for i in target.annotations] == [2, 1, 1]


def test_class_maps_alone_give_one_object_a_class(voc):
    (voc / "SegmentationObject" / "2007_000033.png").unlink()
    (voc / "SegmentationObject").rmdir()
    _, target = open_data(voc).samples[0].read()
    assert [i.name for i in target.annotations] == ["cat", "dog"]


def test_the_palette_is_the_published_one():
    image = PIL.Image.open(BytesIO(palette_png(np.array([[1, 2, 8, 15, 20, 255]], np.int32))))
    assert image.mode == "P"
    assert [image.convert("RGB").getpixel((x, 0)) for x in range(6)] == [
        (128, 0, 0),
        (0, 128, 0),
        (64, 0, 0),
        (192, 128, 128),
        (0, 64, 128),
        (224, 224, 192),
    ]
