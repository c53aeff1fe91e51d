import json

import numpy as np
import PIL.Image
import pytest

from segue.core.errors import SegueError
from segue.data.formats.registry import open_data
from segue.data.io.image import write_image
from segue.jobs.convert_data import convert_data


@pytest.fixture
def panoptic(tmp_path):
    """A thing, a crowd, a stretch of stuff with an id beyond 16 bits, and pixels that nobody labelled."""
    write_image(tmp_path / "images" / "a.png", np.zeros((6, 8, 3), np.uint8))
    ids = np.zeros((6, 8), np.int64)
    ids[:2], ids[2:4, :4], ids[2:4, 4:] = 70_000, 5, 9
    colours = np.stack((ids % 256, ids // 256 % 256, ids // 65536), -1).astype(np.uint8)
    (tmp_path / "annotations" / "panoptic_val").mkdir(parents=True)
    PIL.Image.fromarray(colours).save(tmp_path / "annotations" / "panoptic_val" / "a.png")
    segments = [
        {"id": 70_000, "category_id": 2, "iscrowd": 0},
        {"id": 5, "category_id": 1, "iscrowd": 0},
        {"id": 9, "category_id": 1, "iscrowd": 1},
        {"id": 11, "category_id": 1, "iscrowd": 0},
    ]
    content = {
        "images": [{"id": 3, "file_name": "a.png", "width": 8, "height": 6}],
        "annotations": [{"image_id": 3, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}],
    }
    (tmp_path / "annotations" / "panoptic_val.json").write_text(json.dumps(content))
    return tmp_path


def test_segments_are_objects_and_crowds_and_the_rest_never_count(panoptic):
    data = open_data(panoptic)
    (image,) = data.read()
    assert (data.format, data.classes) == ("coco-panoptic", ["cat", "sky"])
    assert [(a.name, a.area) for a in image.annotations] == [("sky", 16), ("cat", 8)]
    assert image.ignore_mask.sum() == 24
    assert [(loss.what, loss.object) for loss in image.losses] == [("segment without a pixel", "segment 11")]


def test_it_becomes_instances_and_a_missing_png_is_named(panoptic):
    done = convert_data(source=panoptic, to="coco", output=panoptic / "out")
    assert (done.objects, done.exact) == (2, 2)
    (panoptic / "annotations" / "panoptic_val" / "a.png").unlink()
    with pytest.raises(SegueError, match=r"no segments a\.png"):
        list(open_data(panoptic / "annotations" / "panoptic_val.json").read())
