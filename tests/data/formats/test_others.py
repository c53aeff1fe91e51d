"""What is particular to CVAT, Label Studio, YOLO, VOC and NumPy."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import yaml

from segue.core.errors import DataError
from segue.data.formats.brush import decode_brush, encode_brush
from segue.data.formats.label_studio import interface
from segue.data.formats.registry import format_named
from segue.data.io.image import write_image
from segue.data.rasterize import rles_of_labels
from segue.data.record import Options

from .conftest import masks_in, sheet_of, written


def test_cvat_groups_attributes_and_shapes_without_masks(tmp_path):
    (
        tmp_path / "annotations.xml"
    ).write_text("""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task></meta>
<image id="4" name="sub/a.jpg" width="10" height="8">
<polygon label="cat" source="manual" occluded="1" points="0,0;4,0;4,4;0,4" z_order="2" group_id="1">
<attribute name="age">old</attribute></polygon>
<polygon label="cat" source="manual" occluded="0" points="6,0;8,0;8,2;6,2" z_order="0" group_id="1"/>
<mask label="dog" source="auto" occluded="0" rle="1, 2, 1, 2" left="5" top="4" width="3" height="2" z_order="0"/>
<box label="cat" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"/></image></annotations>""")
    (sheet,) = format_named("cvat").read(tmp_path)
    assert [(e.name, e.rle.area) for e in sheet.annotations] == [("cat", 20), ("dog", 4)]
    assert masks_in(sheet)[1][4:6, 5:8].tolist() == [[False, True, True], [False, True, True]]
    assert [loss.what for loss in sheet.losses] == ["box without a mask left out"]
    assert format_named("cvat").open(tmp_path, Options()).classes == ["cat", "dog"]
    written("cvat", tmp_path / "out", [sheet])
    (image,) = ET.parse(tmp_path / "out" / "annotations.xml").getroot().findall("image")
    first = image[0]
    assert (first.get("occluded"), first.get("z_order"), first.find("attribute").text) == ("1", "2", "old")


def test_only_key_points_and_rectangles_are_smart_tools():
    tags = ET.fromstring(interface(["cat"]))
    assert tags.find("BrushLabels").get("smart") == "false"  # Label Studio takes every brush for smart otherwise
    assert {tag.tag for tag in tags if tag.get("smartOnly") == "true"} == {"KeyPointLabels", "RectangleLabels"}


def test_brush_runs_longer_than_sixteen_bits_and_literals():
    mask = np.zeros((300, 400), bool)
    mask[100:250] = True
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()
    bits = f"{8:032b}" + f"{7:05b}" + "".join(f"{s - 1:04b}" for s in (3, 4, 8, 16))
    bits += "0" + "00" + f"{7:03b}" + "".join(f"{v:08b}" for v in (9, 9, 9, 0, 1, 2, 3, 255))  # eight literal values
    data = [int(bits[k : k + 8].ljust(8, "0"), 2) for k in range(0, len(bits), 8)]
    assert decode_brush(data, (1, 2)).tolist() == [[False, True]]


@pytest.mark.parametrize("damage", [[], [0] * 12, [1, 2, 3], ["x"], [300] * 20])
def test_damaged_brushes_are_refused(damage):
    with pytest.raises(DataError):
        decode_brush(damage, (4, 4))
    with pytest.raises(DataError, match="early"):
        decode_brush(encode_brush(np.eye(4, dtype=bool))[:-4], (4, 4))


def test_label_studio_keeps_task_data_and_counts_the_first_live_annotation(tmp_path):
    mask = np.eye(6, 9, dtype=bool)
    result = {
        "id": "r1",
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "img",
        "original_width": 9,
        "original_height": 6,
        "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["cat"]},
    }
    box = result | {"id": "r2", "type": "rectanglelabels", "value": {"x": 0, "y": 0, "width": 5, "height": 5}}
    tasks = [
        {
            "data": {"photo": "/data/upload/3/ab-a.jpg", "site": "north"},
            "annotations": [{"was_cancelled": True, "result": []}, {"result": [result, box]}, {"result": []}],
        }
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    (sheet,) = format_named("label-studio").read(tmp_path)
    assert (masks_in(sheet)[0] == mask).all()
    assert {loss.what for loss in sheet.losses} == {
        "further annotations of the task left out",
        "rectanglelabels without a mask left out",
    }
    written("label-studio", tmp_path / "out", [sheet])
    (task,) = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert task["data"]["site"] == "north"
    assert task["annotations"][0]["result"][0]["from_name"] == "tag"


def test_yolo_reads_both_layouts_and_names_boxes(tmp_path):
    for folder in ("images/train", "valid/images"):
        write_image(tmp_path / folder / "a.png", np.zeros((10, 20, 3), np.uint8))
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.txt").write_text("1 0 0 0.5 0 0.5 1 0 1\n0 0.5 0.5 0.1 0.1\n\n")
    (tmp_path / "valid/labels").mkdir(parents=True)
    (tmp_path / "valid/labels/a.txt").write_text("0 0.5 0 1 0 1 1 0.5 1\n")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    first, second = format_named("yolo").read(tmp_path)
    assert [(e.name, e.rle.area) for e in first.annotations] == [("dog", 100)]
    assert [loss.what for loss in first.losses] == ["box without a mask left out"]
    assert [(e.name, e.rle.area) for e in second.annotations] == [("cat", 100)]
    (tmp_path / "labels/train/a.txt").write_text("1 0 0 0.5 nan 0.5 1\n")
    with pytest.raises(DataError, match="line 1"):
        list(format_named("yolo").read(tmp_path))


def test_yolo_keeps_splits(tmp_path, photo):
    sheet = sheet_of([np.eye(4, dtype=bool)], photo(4, 4))
    written("yolo", tmp_path, [replace(sheet, file_name=name) for name in ("val/a.png", "b.png")])
    assert (tmp_path / "labels/val/a.txt").exists()
    assert (tmp_path / "labels/train/b.txt").exists()
    assert sorted(s.file_name for s in format_named("yolo").read(tmp_path)) == ["train/b.png", "val/a.png"]


@pytest.mark.parametrize(
    ("names", "places"),
    [
        ([f"{k}.png" for k in range(6)], {"train": "images/train", "val": "images/val"}),
        (["a.png"], {"train": "images/train", "val": "images/train"}),
        (["test/a.png", "val/b.png"], {"train": "images/val", "val": "images/val", "test": "images/test"}),
    ],
    ids=["no split", "one image", "no training images"],
)
def test_a_yolo_export_trains_as_it_is(tmp_path, photo, names, places):
    """Every split that data.yaml names is there, below the file itself wherever that is moved."""
    sheet = sheet_of([np.eye(4, dtype=bool)], photo(4, 4))
    written("yolo", tmp_path, [replace(sheet, file_name=name) for name in names])
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert {key: value for key, value in data.items() if key != "names"} == places
    for place in places.values():
        assert any((tmp_path / place).glob("*.png"))
        assert any((tmp_path / place.replace("images", "labels")).glob("*.txt"))
    assert len(list((tmp_path / "images").rglob("*.png"))) == len(names)


def test_voc_has_room_for_254_objects_and_says_what_is_left_out(tmp_path, photo):
    found = []
    for k in range(260):
        mask = np.zeros((20, 20), bool)
        mask[k // 20, k % 20] = True
        found.append(mask)
    losses = written("voc", tmp_path, [sheet_of(found, photo(20, 20))])
    assert len(losses) == 6
    assert len(next(format_named("voc").read(tmp_path)).annotations) == 254


@pytest.mark.parametrize(
    "array",
    [
        np.eye(5, 7, dtype=bool),
        np.stack([np.eye(5, 7, dtype=bool)] * 2),
        np.eye(5, 7, dtype=np.uint16) * 300,
        np.stack([np.eye(5, 7, dtype=np.uint8)] * 2),
    ],
)
def test_arrays_of_others_are_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    (sheet,) = format_named("numpy").read(tmp_path)
    assert all((m == np.eye(5, 7, dtype=bool)).all() for m in masks_in(sheet))
    assert len(sheet.annotations) == (2 if array.ndim == 3 else 1)


def test_pickled_arrays_are_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object))
    with pytest.raises(DataError):
        list(format_named("numpy").read(tmp_path))


@pytest.mark.parametrize("odd", [-3, 1 << 22, 254])
def test_label_maps_may_hold_any_whole_numbers(odd):
    labels = np.array([[0, 7, odd], [7, 7, 255]])
    found = {value: rle.mask() for value, rle in rles_of_labels(labels, leave=(255,))}
    assert list(found) == sorted((7, odd))
    assert all((mask == (labels == value)).all() for value, mask in found.items())
