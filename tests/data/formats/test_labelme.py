import json

import numpy as np
import pytest

from segue.data.formats.base import WriteOptions
from segue.data.formats.registry import format_named
from segue.data.rle import Rle

from .conftest import masks_in, written


def labelme_file(folder, photo, shapes, **changes):
    path = photo(20, 30)
    (folder / "photo.png").write_bytes(path.read_bytes())
    content = {
        "version": "4.2.9",
        "flags": {"good": True},
        "shapes": shapes,
        "imagePath": "photo.png",
        "imageData": None,
        "imageHeight": 20,
        "imageWidth": 30,
        "reviewer": "Ada",
    } | changes
    (folder / "photo.json").write_text(json.dumps(content))
    return content


def polygon(label, points, group=None, **more):
    return {"label": label, "points": points, "group_id": group, "shape_type": "polygon", "flags": {}} | more


SQUARE = [[2, 2], [8, 2], [8, 8], [2, 8]]
NOSE = {"label": "nose", "points": [[5.5, 5.25]], "group_id": None, "shape_type": "point", "flags": {}}
OTHER = [[12, 2], [18, 2], [18, 8], [12, 8]]


def test_groups_are_one_object_and_other_shapes_are_carried(tmp_path, photo):
    cats = [polygon("cat", SQUARE, 3), polygon("cat", OTHER, 3)]
    shapes = [*cats, polygon("dog", SQUARE, 3), polygon("cat", OTHER), NOSE]
    labelme_file(tmp_path, photo, shapes)
    (sheet,) = format_named("labelme").read(tmp_path)
    assert [(e.name, e.rle.area) for e in sheet.annotations] == [("cat", 72), ("dog", 36), ("cat", 36)]
    assert [loss.what for loss in sheet.losses] == ["point shape without a mask left out"]


def test_an_unchanged_file_keeps_every_shape_and_key(tmp_path, photo):
    shapes = [polygon("cat", SQUARE, 3, description="asleep", mood="fine"), polygon("cat", OTHER, 3), NOSE]
    before = labelme_file(tmp_path, photo, shapes)
    written("labelme", tmp_path / "out", format_named("labelme").read(tmp_path))
    after = json.loads((tmp_path / "out" / "photo.json").read_text())
    assert (after["flags"], after["reviewer"], after["version"]) == ({"good": True}, "Ada", "4.2.9")
    assert sorted(map(json.dumps, after["shapes"])) == sorted(map(json.dumps, before["shapes"]))


def test_a_corrected_mask_keeps_its_keys(tmp_path, photo):
    labelme_file(tmp_path, photo, [polygon("cat", SQUARE, description="asleep", mood="fine")])
    (sheet,) = format_named("labelme").read(tmp_path)
    mask = sheet.annotations[0].rle.mask()
    mask[0, 0] = True
    from dataclasses import replace

    changed = replace(sheet, annotations=(replace(sheet.annotations[0], rle=Rle.from_mask(mask)),))
    written("labelme", tmp_path / "out", [changed])
    (shape,) = json.loads((tmp_path / "out" / "photo.json").read_text())["shapes"]
    assert (shape["shape_type"], shape["description"], shape["mood"]) == ("mask", "asleep", "fine")
    assert (masks_in(next(format_named("labelme").read(tmp_path / "out")))[0] == mask).all()


def test_polygons_of_one_object_share_a_group(tmp_path, photo):
    mask = np.zeros((20, 30), bool)
    mask[2:8, 2:8], mask[12:18, 12:18], mask[4:6, 4:6] = True, True, False
    labelme_file(tmp_path, photo, [])
    (sheet,) = format_named("labelme").read(tmp_path)
    from dataclasses import replace

    from segue.data.record import Annotation

    one, two = Annotation("cat", Rle.from_mask(mask)), Annotation("cat", Rle.from_mask(mask[::-1].copy()))
    losses = written("labelme", tmp_path / "out", [replace(sheet, annotations=(one, two))], WriteOptions(polygons=True))
    shapes = json.loads((tmp_path / "out" / "photo.json").read_text())["shapes"]
    groups = [s["group_id"] for s in shapes]
    assert len(set(groups)) == 2
    assert sorted(groups.count(g) for g in set(groups)) == [2, 2]
    assert {loss.what for loss in losses} == {"holes joined by slits"}


def test_rectangles_circles_and_embedded_images_are_read(tmp_path, photo):
    import base64

    shapes = [
        {"label": "a", "points": [[2, 3], [10, 9]], "group_id": None, "shape_type": "rectangle", "flags": {}},
        {"label": "b", "points": [[15, 10], [20, 10]], "group_id": None, "shape_type": "circle", "flags": {}},
    ]
    data = base64.b64encode(photo(20, 30).read_bytes()).decode()
    labelme_file(tmp_path, photo, shapes, imageData=data, imagePath="gone.png")
    (tmp_path / "photo.png").unlink()
    (sheet,) = format_named("labelme").read(tmp_path)
    assert sheet.annotations[0].rle.area == 48
    assert sheet.annotations[1].rle.area == pytest.approx(np.pi * 25, rel=0.05)
    assert sheet.image().shape == (20, 30, 3)
    written("png", tmp_path / "out", [sheet])
    assert (tmp_path / "out" / "images" / "gone.png").exists()
