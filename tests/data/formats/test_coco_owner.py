import json

import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data
from segue.data.record import Options

coco = pytest.importorskip("pycocotools.coco")

SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]
COLUMN_RUNS = {"size": [5, 6], "counts": [5, 5, 20]}  # the second column


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "annotations"):
        (tmp_path / name).mkdir()
    PIL.Image.new("RGB", (6, 5)).save(tmp_path / "images" / "one.jpg")
    rows = [([SQUARE], 0), (COLUMN_RUNS, 0), ({"size": [5, 6], "counts": [0, 30]}, 1)]
    content = {
        "images": [{"id": 7, "file_name": "one.jpg", "width": 6, "height": 5}],
        "categories": [{"id": 3, "name": "cup"}],
        "annotations": [
            {"id": k, "image_id": 7, "category_id": 3, "iscrowd": crowd, "segmentation": seg, "bbox": [], "area": 1}
            for k, (seg, crowd) in enumerate(rows, start=1)
        ],
    }
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return tmp_path


def test_polygons_and_run_lengths_equal_the_owners_reading(folder):
    _, target = open_data(folder).samples[0].read()
    owner = coco.COCO(folder / "annotations" / "instances_val.json")
    for instance, annotation in zip(target.annotations, owner.loadAnns([1, 2]), strict=True):
        np.testing.assert_array_equal(instance.mask, owner.annToMask(annotation).astype(bool))
    assert target.annotations[0].name == "cup"
    assert target.annotations[1].mask[:, 1].all()


def test_crowds_are_void_where_no_object_is(folder):
    _, target = open_data(folder).samples[0].read()
    objects = target.annotations[0].mask | target.annotations[1].mask
    assert (target.ignore_mask == ~objects).all()


def test_what_is_written_is_read_by_the_owner(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    from segue.data.formats.coco import Coco

    samples = open_data(folder).samples
    Coco().write(out, samples)
    owner = coco.COCO(out / "annotations" / "instances.json")
    masks = [owner.annToMask(a).astype(bool) for a in owner.dataset["annotations"] if not a["iscrowd"]]
    for mask, instance in zip(masks, samples[0].read()[1].annotations, strict=True):
        np.testing.assert_array_equal(mask, instance.mask)


def test_several_files_need_a_choice(folder):
    source = folder / "annotations" / "instances_val.json"
    (folder / "annotations" / "instances_train.json").write_text(source.read_text())
    with pytest.raises(DataError, match="Choose one with the split"):
        open_data(folder)
    assert len(open_data(folder, options=Options(split="val")).samples) == 1


@pytest.mark.parametrize("content", ["no json", "{}", "[]"])
def test_json_of_something_else_is_refused(folder, content):
    (folder / "annotations" / "instances_val.json").write_text(content)
    with pytest.raises(DataError, match=r"instances_val\.json is of no kind known here"):
        open_data(folder)


def test_run_lengths_of_another_size_are_refused(folder):
    file = folder / "annotations" / "instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = {"size": [2, 2], "counts": [0, 4]}
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="size"):
        open_data(folder).samples[0].read()
