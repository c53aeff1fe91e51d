"""Names, classes, ids and files that are looked up: found, or named as lost, never taken for another."""

import json

import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data
from segue.data.formats.voc import palette_png
from segue.data.io.image import write_labels
from tests.data.formats.test_doors import RING, SIZE, SQUARE, coco, losses, objects, photo

ROW = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [RING]}
LINE = "0 0.2 0.125 0.6 0.125 0.6 0.625 0.2 0.625\n"


def images(*names):
    return [{"id": k, "file_name": name, "width": 100, "height": 80} for k, name in enumerate(names, start=1)]


def yolo(folder, names="names: [cat, dog]", **files):
    """Label files by ``split__stem``, each with a photo."""
    for where in files or {"train__a": LINE}:
        split, stem = where.split("__")
        photo(folder / "images" / split / f"{stem}.png")
    for where, text in (files or {"train__a": LINE}).items():
        split, stem = where.split("__")
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / "labels" / split / f"{stem}.txt").write_text(text)
    if names:
        (folder / "data.yaml").write_text(names)
    return folder


@pytest.mark.parametrize("there", ["cam1/1.png", "1.png"])
def test_a_photo_of_another_entry_is_not_taken_for_one_that_is_missing(tmp_path, there):
    coco(tmp_path, images=images("cam1/1.png", "cam2/1.png"), annotations=[ROW, ROW | {"id": 2, "image_id": 2}])
    (tmp_path / "images" / "a.png").unlink()
    photo(tmp_path / "images" / there)
    files = [image.file for image in open_data(tmp_path).read()]
    assert files == [tmp_path / "images" / there if there == "cam1/1.png" else None, None]


@pytest.mark.parametrize("stated", ["a%20b.png", "sub\\a b.png", "C:\\x\\A B.PNG", "/data/train/a b.png"])
def test_photos_are_found_under_the_ways_to_write_their_names(tmp_path, stated):
    coco(tmp_path, images=images(stated))
    photo(tmp_path / "images" / "sub" / "a b.png")
    assert [image.file for image in open_data(tmp_path).read()] == [tmp_path / "images" / "sub" / "a b.png"]


def test_folders_behind_links_and_far_down_are_read_and_circles_end(tmp_path):
    yolo(tmp_path / "set", **{"train__a": LINE, "1/2/3/4/5/6/7__b": LINE})
    (tmp_path / "set" / "images" / "train").rename(tmp_path / "elsewhere")
    (tmp_path / "set" / "images" / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "set")
    assert set(objects(open_data(tmp_path / "set"))) == {"train/a.png", "1/2/3/4/5/6/7/b.png"}


def test_an_object_without_a_pixel_is_named(tmp_path):
    rows = [{**ROW, "id": 1, "segmentation": [[10, 10, 20, 20]]}, {**ROW, "id": 2, "segmentation": [[]]}, ROW]
    rows.append({**ROW, "id": 3, "segmentation": [[200, 200, 300, 200, 300, 300]]})
    data = open_data(coco(tmp_path, annotations=rows))
    assert losses(data) == ["object without a pixel"] * 3


def test_ids_that_come_twice_stay_apart(tmp_path):
    other = [50.0, 60, 70, 60, 70, 70, 50, 70]
    data = open_data(coco(tmp_path, annotations=[ROW, {**ROW, "segmentation": [other]}], images=images("a.png")))
    assert [annotation.id for annotation in next(data.read()).annotations] == ["a#1", "a#1 (2)"]
    two = coco(tmp_path / "two", images=images("a.png", "a.png"))
    assert [sample.id for sample in open_data(two).samples] == ["a.png", "a.png (2)"]


@pytest.mark.parametrize(
    ("categories", "what"),
    [
        ([{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}], "category id 1 is that of cat and dog"),
        ([{"id": 1, "name": None}], "category id 1 has no name"),
        ([{"id": 2, "name": "cat"}], "category id 1 is not listed"),
    ],
)
def test_a_category_that_is_none_is_no_class(tmp_path, categories, what):
    data = open_data(coco(tmp_path, categories=categories))
    assert (objects(data), losses(data)) == ({"a.png": [("", 1600)]}, [f"{what}: object without a class"])


def test_categories_of_one_name_are_named(tmp_path):
    data = open_data(coco(tmp_path, categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]))
    assert losses(data) == ["categories 1, 2 have one name"]


@pytest.mark.parametrize("row", [None, {"id": 9, "category_id": 1}])
def test_an_annotation_of_no_image_does_not_stop_the_others(tmp_path, row):
    data = open_data(coco(tmp_path, annotations=[row, ROW]))
    assert (objects(data), losses(data)) == ({"a.png": [("cat", 1600)]}, ["annotation without an image id"])


def test_run_lengths_that_are_not_whole_are_refused(tmp_path):
    counts = {"size": list(SIZE), "counts": [10.5, 20.5, 7969]}
    with pytest.raises(DataError, match="not whole"):
        list(open_data(coco(tmp_path, annotations=[{**ROW, "segmentation": counts}])).read())


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("names: [yes, no]", ["yes", "no"]),
        ("names: {0: 010, 1: dog}", ["010", "dog"]),
        ("names: ['1.0', ~]", ["1.0", "~"]),
    ],
)
def test_yolo_class_names_are_the_words_of_the_file(tmp_path, names, classes):
    assert open_data(yolo(tmp_path, names)).classes == classes


def test_yolo_class_numbers_do_not_shift_at_an_empty_line(tmp_path):
    yolo(tmp_path, "", train__a=LINE.replace("0 ", "2 ", 1))
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    assert objects(open_data(tmp_path)) == {"train/a.png": [("dog", 1600)]}


def test_yolo_class_names_that_are_one_word_are_refused(tmp_path):
    with pytest.raises(DataError, match="names: cat"):
        open_data(yolo(tmp_path, "names: cat"))


def test_yolo_labels_of_one_split_do_not_serve_a_photo_of_another(tmp_path):
    yolo(tmp_path, train__a=LINE, train__b=None, val__b=LINE)
    (tmp_path / "images" / "val" / "b.png").unlink()
    data = open_data(tmp_path)
    assert objects(data) == {"train/a.png": [("cat", 1600)], "train/b.png": []}
    assert losses(data) == ["label file without an image: 1 lines left out"]


def test_yolo_rows_of_a_tracker_are_boxes(tmp_path):
    data = open_data(yolo(tmp_path, train__a=LINE + "0 0.5 0.5 0.2 0.2 0.9 12\n"))
    assert (objects(data), losses(data)) == ({"train/a.png": [("cat", 1600)]}, ["box without a mask left out"])


def test_the_split_valid_stays_one_of_validation(tmp_path):
    from segue.jobs.convert_data import convert_data

    for split in ("train", "valid"):
        photo(tmp_path / "in" / split / "images" / f"{split}.png")
        (tmp_path / "in" / split / "labels").mkdir()
        (tmp_path / "in" / split / "labels" / f"{split}.txt").write_text(LINE)
    convert_data(source=tmp_path / "in", to="yolo", output=tmp_path / "out")
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.txt")) == [
        "labels/train/train.txt",
        "labels/val/valid.txt",
    ]


def test_labelme_groups_meet_by_value_and_masks_beside_their_box_are_named(tmp_path):
    from segue.data.formats.labelme import _mask_shape
    from segue.data.rle import Rle

    photo(tmp_path / "a.png")
    ring = np.array(RING).reshape(-1, 2)
    shapes = [
        {"label": "cat", "points": (ring + 10 * k).tolist(), "group_id": group} for k, group in enumerate((1, "1"))
    ]
    mask = {"label": None, "group_id": None} | _mask_shape(Rle.from_mask(SQUARE))
    mask["points"][1] = [90, 70]
    content = {"shapes": [*shapes, mask], "imagePath": "a.png", "imageHeight": 80, "imageWidth": 100}
    (tmp_path / "a.json").write_text(json.dumps(content))
    data = open_data(tmp_path)
    assert [name for name, _ in objects(data)["a.png"]] == ["cat", ""]
    assert losses(data) == ["mask of 40 x 40 in a box of 71 x 61: placed by the box's corner"]


@pytest.mark.parametrize(("first", "expected"), [(0, 1), (1, 2), (None, 1)])
def test_cvat_frames_are_places_where_there_is_a_photo_for_each(tmp_path, first, expected):
    """Photos that are counted from 1, and shapes in frame 1 alone."""
    for k in range(3):
        photo(tmp_path / "images" / (f"{k + first}.png" if first is not None else f"{'abc'[k]}.png"))
    shape = '<polygon frame="1" outside="0" keyframe="1" points="20,10;60,10;60,50;20,50"/>'
    (tmp_path / "annotations.xml").write_text(
        f"<annotations><meta><task><size>3</size></task></meta><track id='0' label='cat'>{shape}</track></annotations>"
    )
    names = [name for name, found in objects(open_data(tmp_path)).items() if found]
    assert names == [f"{expected}.png" if first is not None else "b.png"]


def test_voc_maps_in_folders_and_capitals_are_read_and_jpegs_named(tmp_path):
    for name in ("a.png", "b.PNG", "s/c.png", "d.jpg"):
        photo(tmp_path / "JPEGImages" / name.replace("PNG", "png"))
        file = tmp_path / "SegmentationClass" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(palette_png(SQUARE.astype(np.int32)))
    PIL.Image.fromarray(SQUARE.astype(np.uint8)).save(tmp_path / "SegmentationClass" / "d.jpg")
    data = open_data(tmp_path)
    assert objects(data) == {name: [("aeroplane", 1600)] for name in ("a.png", "b.png", "s/c.png")}
    assert losses(data) == ["label map that is no PNG left out"]


def test_photos_and_masks_in_folders_are_read(tmp_path):
    for name in ("a.png", "val/b.png"):
        photo(tmp_path / "images" / name)
        write_labels(tmp_path / "masks" / name, SQUARE)
    assert {name: len(found) for name, found in objects(open_data(tmp_path)).items()} == {"a.png": 1, "val/b.png": 1}


def test_a_zip_is_told_to_be_unpacked(tmp_path):
    import shutil

    coco(tmp_path / "in")
    file = shutil.make_archive(str(tmp_path / "in"), "zip", tmp_path / "in")
    with pytest.raises(DataError, match=r"in\.zip is an archive: unpack it"):
        open_data(file)


def test_a_region_drawn_on_an_image_of_another_size_is_left_out_by_name(tmp_path):
    from tests.data.formats.test_doors import task

    task(tmp_path, {"image": "/data/upload/1/a.png"}, {}, {"original_width": 50, "original_height": 40})
    data = open_data(tmp_path)
    assert objects(data) == {"a.png": [("cat", 1600)]}
    assert losses(data) == ["drawn on an image of 50 x 40 pixels, not 100 x 80: left out"]


def test_a_mask_with_a_soft_edge_is_named(tmp_path):
    photo(tmp_path / "images" / "a.png")
    soft = PIL.Image.fromarray(SQUARE.astype(np.uint8) * 255).resize((101, 81)).resize((100, 80))
    write_labels(tmp_path / "masks" / "a.png", np.asarray(soft))
    (loss,) = losses(open_data(tmp_path))
    assert "soft edge" in loss
