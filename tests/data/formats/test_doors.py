"""What other tools write in other ways than they say: read right, named as lost, or refused with the reason."""

import json

import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.locate import ImageLocator
from segue.data.formats.registry import open_data, recognise
from segue.data.io.image import read_image, write_image, write_labels
from segue.data.record import Options
from segue.jobs.convert_data import convert_data

SIZE = (80, 100)
SQUARE = np.zeros(SIZE, bool)
SQUARE[10:50, 20:60] = True
RING = [20.0, 10, 60, 10, 60, 50, 20, 50]
PERCENT = [[20, 12.5], [60, 12.5], [60, 62.5], [20, 62.5]]


def photo(path, exif=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(np.random.default_rng(len(path.name)).integers(0, 256, (*SIZE, 3), np.uint8))
    image.save(path, **({"exif": exif} if exif else {}))


def coco(folder, **changes):
    photo(folder / "images" / "a.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [RING]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "annotations": [annotation | changes.pop("annotation", {})],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "x.json").write_text(json.dumps(content | changes))
    return folder


def task(folder, data, *results, **more):
    photo(folder / "images" / "a.png")
    photo(folder / "images" / "b.png")
    rows = [
        {
            "id": f"r{k}",
            "type": "polygonlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": 100,
            "original_height": 80,
            "value": {"points": PERCENT, "polygonlabels": ["cat"]},
        }
        | change
        for k, change in enumerate(results)
    ]
    (folder / "export.json").write_text(json.dumps([{"id": 7, "data": data, "annotations": [{"result": rows}]} | more]))
    return folder


def objects(data):
    return {image.file_name: [(a.name, a.area) for a in image.annotations] for image in data.read()}


def losses(data):
    return [loss.what for loss in [*data.losses, *(loss for image in data.read() for loss in image.losses)]]


@pytest.mark.parametrize("image_id", [1, "1", 1.0])
@pytest.mark.parametrize("category_id", [1, "1"])
@pytest.mark.parametrize("crowd", [0, "0", False, None])
def test_coco_ids_are_matched_by_value(tmp_path, image_id, category_id, crowd):
    change = {"image_id": image_id, "category_id": category_id, "iscrowd": crowd}
    data = open_data(coco(tmp_path, annotation=change))
    assert objects(data) == {"a.png": [("cat", 1600)]}
    assert losses(data) == []


def test_coco_ids_that_fit_nothing_are_named(tmp_path):
    data = open_data(coco(tmp_path, annotation={"image_id": 77}))
    assert [(loss.what, loss.object, loss.file) for loss in data.losses] == [
        ("image id 77 is not listed", "annotation 1", "x.json")
    ]
    data = open_data(coco(tmp_path, annotation={"category_id": 9}))
    assert objects(data) == {"a.png": [("", 1600)]}
    assert losses(data) == ["category id 9 is not listed: object without a class"]
    both = [{"id": 1, "file_name": name, "width": 100, "height": 80} for name in ("a.png", "b.png")]
    assert losses(open_data(coco(tmp_path, images=both))) == ["image id 1 is that of a.png and b.png"]


def test_lvis_names_its_images_by_address(tmp_path):
    images = [{"id": 1, "coco_url": "http://images.cocodataset.org/val2017/a.png", "width": 100, "height": 80}]
    (image,) = open_data(coco(tmp_path, images=images)).read()
    assert image.file == tmp_path / "images" / "a.png"


@pytest.mark.parametrize("sides", [(-1, -1), (None, None), ("100", "80"), (100, 80)])
def test_a_size_that_says_nothing_is_that_of_the_photo(tmp_path, sides):
    images = [{"id": 1, "file_name": "a.png", "width": sides[0], "height": sides[1]}]
    (image,) = open_data(coco(tmp_path, images=images)).read()
    assert (image.size, image.annotations[0].area) == (SIZE, 1600)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_drawn_on_the_unturned_photo_are_turned_with_it(tmp_path, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    coco(tmp_path)
    pixels = np.repeat(SQUARE[..., None] * np.uint8(255), 3, 2)
    PIL.Image.fromarray(pixels).save(tmp_path / "images" / "a.png", exif=exif)
    (image,) = open_data(tmp_path).read()
    assert (image.annotations[0].mask == (read_image(tmp_path / "images" / "a.png")[..., 0] > 127)).all()
    assert "EXIF orientation" in image.losses[0].what


def test_a_photo_of_another_size_is_left_out_by_name(tmp_path):
    coco(tmp_path)
    write_image(tmp_path / "images" / "a.png", np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(DataError, match=r"100 x 80 pixels for the image 'a\.png'.*50 x 40"):
        list(open_data(tmp_path).read())


@pytest.mark.parametrize(
    ("data", "results"),
    [
        ({"image": "/data/upload/1/a.png", "image2": "/data/upload/1/b.png"}, [{}, {"to_name": "image2"}]),
        ({"images": ["/data/upload/1/a.png", "/data/upload/1/b.png"]}, [{"item_index": 0}, {"item_index": 1}]),
    ],
)
def test_a_task_of_two_images_is_two_images(tmp_path, data, results):
    assert objects(open_data(task(tmp_path, data, *results))) == {"a.png": [("cat", 1600)], "b.png": [("cat", 1600)]}


def test_a_result_on_no_image_of_the_task_is_named(tmp_path):
    both = {"image": "/data/upload/1/a.png", "image2": "/data/upload/1/b.png"}
    (loss,) = open_data(task(tmp_path, both, {}, {"to_name": "other"})).losses
    assert loss.object == "task 7, result r1"
    assert "'other'" in loss.what


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=images/x+y&z#1.png",
        "/data/local-files/?d=images/x%2By%26z%231.png",
        "https://x.example/dir/x+y&z#1.png?d=20240101",
        "/data/upload/3/0123abcd-x+y&z#1.png",
    ],
)
def test_addresses_mean_the_file_whatever_signs_it_has(tmp_path, address):
    photo(tmp_path / "images" / "x+y&z#1.png")
    (image,) = open_data(task(tmp_path, {"text": "hello", "photo": address.replace("?d=2024", "?d=2024")}, {})).read()
    if "#1.png?d=" not in address:
        assert image.file == tmp_path / "images" / "x+y&z#1.png"
    assert image.annotations[0].area == 1600


@pytest.mark.parametrize("kind", ["predictions", "drafts"])
def test_predictions_and_drafts_are_named_or_read_when_asked_for(tmp_path, kind):
    task(tmp_path, {"image": "/data/upload/1/a.png"}, {})
    content = json.loads((tmp_path / "export.json").read_text())
    content[0][kind] = content[0].pop("annotations")
    (tmp_path / "export.json").write_text(json.dumps(content))
    data = open_data(tmp_path)
    assert objects(data) == {"a.png": []}
    assert any(kind in what for what in losses(data))
    assert objects(open_data(tmp_path, options=Options(results=kind))) == {"a.png": [("cat", 1600)]}


def test_labels_apart_from_the_tool_belong_to_their_region(tmp_path):
    shape = {"id": "same", "type": "polygon", "value": {"points": PERCENT}}
    label = {"id": "same", "type": "labels", "value": {"labels": ["dog"]}}
    data = open_data(task(tmp_path, {"image": "/data/upload/1/a.png"}, shape, label))
    assert (objects(data), losses(data)) == ({"a.png": [("dog", 1600)]}, [])


VIDEO = """<annotations><version>1.1</version><meta><task><size>{size}</size></task></meta>
<track id="0" label="cat">{shapes}</track></annotations>"""
SHAPE = '<polygon frame="{}" outside="{}" keyframe="1" points="20,10;60,10;60,50;20,50" z_order="0"/>'


def test_tracks_are_objects_of_their_frames_in_natural_order(tmp_path):
    for name in ("10.png", "9.png", "11.png"):
        photo(tmp_path / "images" / f"frame {name}")
    shapes = SHAPE.format(9, 0) + SHAPE.format(10, 0) + SHAPE.format(11, 1)
    (tmp_path / "any.xml").write_text(VIDEO.format(size=3, shapes=shapes))
    assert objects(open_data(tmp_path)) == {
        "frame 9.png": [("cat", 1600)],
        "frame 10.png": [("cat", 1600)],
        "frame 11.png": [],
    }


def test_frames_between_sparse_key_frames_are_named(tmp_path):
    photo(tmp_path / "images" / "a.png")
    (tmp_path / "any.xml").write_text(VIDEO.format(size=9, shapes=SHAPE.format(0, 0) + SHAPE.format(5, 1)))
    assert "frames 1 to 4 between two key frames left out" in [loss.what for loss in open_data(tmp_path).losses]


def test_cvat_layers_lie_on_top_in_label_maps(tmp_path):
    photo(tmp_path / "images" / "a.png")
    points = ("0,0;10,0;10,10;0,10", "0,0;100,0;100,80;0,80")
    shapes = "".join(
        f'<polygon label="{label}" points="{p}" z_order="{z}"/>'
        for label, p, z in zip(("up", "down"), points, (3, 0), strict=True)
    )
    xml = f'<annotations><image id="0" name="a.png" width="100" height="80">{shapes}</image></annotations>'
    (tmp_path / "annotations.xml").write_text(xml)
    convert_data(source=tmp_path, to="png", output=tmp_path / "out")
    areas = {a.name: a.area for image in open_data(tmp_path / "out").read() for a in image.annotations}
    assert areas == {"up": 100, "down": 7900}


def yolo(folder, lines, **files):
    photo(folder / "images" / "a.png")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text(lines)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


LINE = "0 0.2 0.125 0.6 0.125 0.6 0.625 0.2 0.625\n"


@pytest.mark.parametrize(
    "names", [{"classes_txt": "cat\ndog\n"}, {"obj_names": "cat\n"}, {"data_yaml": "names: [cat]"}]
)
def test_yolo_class_names_stand_where_tools_put_them(tmp_path, names):
    data = open_data(yolo(tmp_path, LINE, **names, args_yaml="task: segment\n"))
    assert (objects(data), losses(data)) == ({"a.png": [("cat", 1600)]}, [])


def test_yolo_rows_that_are_no_relative_polygon_are_named(tmp_path):
    pose = "0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 1\n"
    pixels = "0 20 10 60 10 60 50 20 50\n"
    folder = yolo(tmp_path, LINE + pose + pixels + "5" + LINE[1:], data_yaml="names: [cat]\n")
    (folder / "labels" / "gone.txt").write_text(LINE)
    data = open_data(folder)
    assert objects(data) == {"a.png": [("cat", 1600), ("cat", 1600), ("5", 1600)]}
    assert losses(data) == [
        "label file without an image: 1 lines left out",
        "pose row without a mask left out",
        "coordinates in pixels read as such",
        "class 5 has no name",
    ]


def voc(folder, classes, labelmap=None):
    photo(folder / "JPEGImages" / "a.png")
    write_labels(folder / "SegmentationObject" / "a.png", SQUARE.astype(np.uint8))
    (folder / "SegmentationClass").mkdir()
    PIL.Image.fromarray(classes).save(folder / "SegmentationClass" / "a.png")
    if labelmap is not None:
        (folder / "labelmap.txt").write_text(labelmap)
    return folder


def coloured(*colour):
    return SQUARE[..., None] * np.array(colour, np.uint8)


def test_class_colours_are_those_of_the_labelmap_or_of_vocs_palette(tmp_path):
    named = 'a: "b":48,112,32::\nbackground:0,0,0::\n'
    assert objects(open_data(voc(tmp_path / "own", coloured(48, 112, 32), named))) == {"a.png": [('a: "b"', 1600)]}
    assert objects(open_data(voc(tmp_path / "voc", coloured(64, 0, 0)))) == {"a.png": [("cat", 1600)]}
    for kind, labelmap in (("own2", named), ("voc2", None)):
        with pytest.raises(DataError, match=r"\(1, 2, 3\)"):
            list(open_data(voc(tmp_path / kind, coloured(1, 2, 3), labelmap)).read())


def test_what_may_be_two_formats_is_refused_with_both(tmp_path):
    coco(tmp_path)
    write_labels(tmp_path / "masks" / "a.png", SQUARE)
    with pytest.raises(DataError, match=r"coco or folder.*--from coco"):
        recognise(tmp_path)
    assert open_data(tmp_path, "folder").format == "folder"


def test_nothing_found_says_what_was_there(tmp_path):
    with pytest.raises(DataError, match="nothing at all"):
        open_data(tmp_path)
    (tmp_path / "annotations.xml").write_text("<annotation><object/></annotation>")
    with pytest.raises(DataError, match=r"annotations\.xml is XML of <annotation>"):
        open_data(tmp_path)
    with pytest.raises(DataError, match=r"without any object in 1 images.*box alone"):
        convert_data(
            source=coco(tmp_path / "boxes", annotation={"segmentation": None, "bbox": [1, 1, 5, 5]}),
            to="coco",
            output=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_a_name_that_two_files_have_is_refused(tmp_path):
    for split in ("train", "val"):
        photo(tmp_path / split / "a.png")
    locator = ImageLocator(tmp_path)
    assert locator.find("somewhere/val/A.PNG") == tmp_path / "val" / "a.png"
    with pytest.raises(DataError, match="which 2 files have"):
        locator.find("a.png")


def test_an_image_that_does_not_read_is_left_out_and_named(tmp_path):
    images = [{"id": k, "file_name": f"{name}.png", "width": 100, "height": 80} for k, name in ((1, "a"), (2, "b"))]
    rows = [{"id": k, "image_id": k, "category_id": 1, "segmentation": s} for k, s in ((1, [RING]), (2, [[1, 2, 3]]))]
    done = convert_data(source=coco(tmp_path, images=images, annotations=rows), to="coco", output=tmp_path / "out")
    assert (done.images, done.objects) == (1, 1)
    assert "b.png" in done.failed[0].item
    with pytest.raises(DataError, match=r"annotation 2"):
        convert_data(source=tmp_path, to="coco", output=tmp_path / "out2", format="coco", split="x", strict=True)
