"""What segue writes, read by the libraries of those who own the formats; each skips where its library is absent."""

import base64
import io
import json

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings

from segue.data.formats.base import WriteOptions
from segue.data.formats.brush import decode_brush, encode_brush
from segue.data.formats.registry import format_named

from ..masks import masks
from .conftest import sheet_of, written
from .test_exchange import objects

FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def scene():
    """A ring with a hole and a second part, a single pixel, and a block at the border."""
    ring, dot, block = np.zeros((3, 40, 56), bool)
    ring[5:25, 5:30], ring[12:18, 12:20], ring[30:36, 40:50] = True, False, True
    dot[2, 50] = True
    block[20:40, 30:56] = True
    return [ring, dot, block]


@FEW
@given(found=objects())
@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_reads_the_same_masks(found, polygons, tmp_path_factory, photo):
    coco = pytest.importorskip("pycocotools.coco", reason="needs the extra 'coco'")
    folder = tmp_path_factory.mktemp("coco")
    written("coco", folder, [sheet_of(found, photo(*found[0].shape))], WriteOptions(polygons=polygons))
    theirs = coco.COCO(folder / "annotations" / "instances.json")
    for mask, annotation in zip(found, theirs.loadAnns(theirs.getAnnIds()), strict=True):
        assert (theirs.annToMask(annotation) == mask).all()
        assert annotation["area"] == mask.sum()


@FEW
@given(found=objects())
@pytest.mark.parametrize("polygons", [False, True])
def test_labelme_reads_the_same_masks(found, polygons, tmp_path_factory, photo):
    shape = pytest.importorskip("labelme.utils.shape", reason="needs labelme")
    folder = tmp_path_factory.mktemp("labelme")
    written(
        "labelme",
        folder,
        [sheet_of(found, photo(*found[0].shape), [f"c{k}" for k in range(len(found))])],
        WriteOptions(polygons=polygons),
    )
    content = json.loads((folder / "photo.json").read_text())
    for k, mask in enumerate(found):
        painted = np.zeros_like(mask)
        for one in (s for s in content["shapes"] if s["label"] == f"c{k}"):
            if one["shape_type"] == "mask":
                (x0, y0), (x1, y1) = np.array(one["points"]).astype(int)
                crop = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(one["mask"])))) > 0
                painted[y0 : y1 + 1, x0 : x1 + 1] |= crop  # labelme's corners are inclusive
            else:
                painted |= shape.shape_to_mask(mask.shape, one["points"], one["shape_type"])
        assert (painted == mask).all()


def test_labelme_opens_the_file_itself(tmp_path, photo):
    file = pytest.importorskip("labelme._label_file", reason="needs labelme")
    written("labelme", tmp_path, [sheet_of(scene(), photo(40, 56))])
    shapes = file.LabelFile(str(tmp_path / "photo.json")).shapes
    assert [s["shape_type"] for s in shapes] == ["mask"] * 3
    (x0, y0), (x1, y1) = np.array(shapes[0]["points"]).astype(int)
    assert np.asarray(shapes[0]["mask"]).shape == (y1 - y0 + 1, x1 - x0 + 1)


def test_supervision_reads_coco_and_yolo(tmp_path, photo):
    supervision = pytest.importorskip("supervision", reason="needs supervision")
    found = scene()
    sheets = [sheet_of(found, photo(40, 56))]
    written("coco", tmp_path / "coco", sheets)
    theirs = supervision.DetectionDataset.from_coco(
        str(tmp_path / "coco" / "images"), str(tmp_path / "coco" / "annotations" / "instances.json"), force_masks=True
    )
    ((_, _, detections),) = theirs
    assert (detections.mask == np.stack(found)).all()
    written("yolo", tmp_path / "yolo", sheets)
    theirs = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "yolo/images/train"),
        str(tmp_path / "yolo/labels/train"),
        str(tmp_path / "yolo/data.yaml"),
        force_masks=True,
    )
    ((_, _, detections),) = theirs
    assert detections.data["class_name"].tolist() == ["cat", "dog", "cat"]
    for mask, got in zip(found, detections.mask, strict=True):  # it rounds corners to pixels, and paints outlines
        assert got[mask].all()
        assert (got & ~mask).sum() <= 2.5 * sum(mask.shape)


@FEW
@given(mask=masks())
def test_label_studios_converter_reads_and_writes_the_same_brush(mask):
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="needs label-studio-sdk")
    theirs = brush.decode_rle(encode_brush(mask)).reshape(*mask.shape, 4)
    assert ((theirs > 0) == mask[..., None]).all()
    assert (decode_brush(brush.mask2rle(mask.astype(np.uint8) * 255), mask.shape) == mask).all()


def test_label_studios_converter_reads_the_tasks(tmp_path, photo):
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="needs label-studio-sdk")
    found = scene()
    written("label-studio", tmp_path, [sheet_of(found, photo(40, 56))])
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    results = [
        {
            **r["value"],
            "type": "brushlabels",
            "original_width": r["original_width"],
            "original_height": r["original_height"],
        }
        for r in task["annotations"][0]["result"]
    ]
    layers = brush.decode_from_annotation("brush", results)
    assert all(((layer > 0) == mask).all() for layer, mask in zip(layers.values(), found, strict=True))


def test_fiftyone_imports_the_coco_export(tmp_path, photo):
    fiftyone = pytest.importorskip("fiftyone", reason="needs fiftyone")
    found = scene()
    written("coco", tmp_path, [sheet_of(found, photo(40, 56))])
    try:
        data = fiftyone.Dataset.from_dir(
            dataset_type=fiftyone.types.COCODetectionDataset,
            data_path=str(tmp_path / "images"),
            labels_path=str(tmp_path / "annotations" / "instances.json"),
            label_types="segmentations",
        )
    except Exception as error:  # its database does not start everywhere
        if "ServiceListenTimeout" in type(error).__name__ or "mongo" in str(error).lower():
            pytest.skip(f"fiftyone's mongod does not start ({type(error).__name__}): see docs/formats.md")
        raise
    field = next(k for k in ("ground_truth", "segmentations", "detections") if k in data.get_field_schema())
    detections = data.first()[field].detections
    assert sorted(int(d.mask.sum()) for d in detections) == sorted(int(m.sum()) for m in found)


@pytest.mark.parametrize("name", ["voc", "png"])
def test_label_maps_are_what_pillow_reads(name, tmp_path, photo):
    found = scene()[:2]
    written(name, tmp_path, [sheet_of(found, photo(40, 56))])
    path = tmp_path / ("SegmentationObject" if name == "voc" else "masks") / "photo.png"
    with PIL.Image.open(path) as image:
        assert image.mode == ("P" if name == "voc" else "L")
        assert (np.asarray(image) == found[0] + 2 * found[1].astype(np.uint8)).all()
        if name == "voc":
            assert image.convert("RGB").getpixel((5, 5)) == (128, 0, 0)


def test_numpy_reads_the_masks(tmp_path, photo):
    found = scene()
    written("numpy", tmp_path, [sheet_of(found, photo(40, 56))])
    with np.load(tmp_path / "masks" / "photo.npz") as content:
        assert content["masks"].dtype == bool
        assert (content["masks"] == np.stack(found)).all()
        assert content["names"].tolist() == ["cat", "dog", "cat"]


def test_more_objects_than_eight_bits_become_sixteen(tmp_path, photo):
    found = []
    for k in range(300):
        mask = np.zeros((40, 56), bool)
        mask[k // 50, k % 50] = True
        found.append(mask)
    written("png", tmp_path, [sheet_of(found, photo(40, 56))])
    assert np.asarray(PIL.Image.open(tmp_path / "masks" / "photo.png")).max() > 255
    (sheet,) = format_named("png").read(tmp_path)
    assert len(sheet.annotations) == 300
