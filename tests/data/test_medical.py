"""The eight medical sets, each written here as its publisher lays it out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, UnknownName
from segue.data.formats.image_text_mask import ImageTextMask
from segue.data.formats.registry import open_data
from segue.data.io.image import write_image, write_labels
from segue.data.medical import MEDICAL, read_medical

SIZE = (40, 50)
BLOB = np.zeros(SIZE, bool)
BLOB[5:20, 30:45] = True
GREY = np.full((*SIZE, 3), 90, np.uint8)


def pair(image: Path, mask: Path) -> None:
    write_image(image, GREY)
    write_labels(mask, BLOB) if mask.suffix == ".png" else write_image(
        mask, np.repeat(255 * BLOB[..., None], 3, 2).astype(np.uint8)
    )


def kvasir(root: Path) -> None:
    pair(root / "images" / "a.jpg", root / "masks" / "a.jpg")


def clinicdb(root: Path) -> None:
    pair(root / "Original" / "1.tif", root / "Ground Truth" / "1.tif")


def bkai(root: Path) -> None:
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[BLOB] = (255, 0, 0)
    colours[30:38, 5:15] = (0, 255, 0)
    write_image(root / "train" / "train" / "x.jpeg", GREY)
    write_image(root / "train_gt" / "train_gt" / "x.jpeg", colours)


def isic16(root: Path) -> None:
    for part in ("Training", "Test"):
        base = f"ISBI2016_ISIC_Part1_{part}"
        pair(root / f"{base}_Data" / "ISIC_1.jpg", root / f"{base}_GroundTruth" / "ISIC_1_Segmentation.png")


def dfu(root: Path) -> None:
    pair(root / "DFUC2022_train_images" / "1.jpg", root / "DFUC2022_train_masks" / "1.png")


def busi(root: Path) -> None:
    pair(root / "benign" / "benign (1).png", root / "benign" / "benign (1)_mask.png")
    more = np.zeros(SIZE, bool)
    more[25:35, 5:15] = True
    write_labels(root / "benign" / "benign (1)_mask_1.png", more)


def camus(root: Path) -> None:
    folder = root / "patient0001"
    folder.mkdir(parents=True)
    for stem, pixels in (
        ("patient0001_2CH_ED", GREY[..., 0]),
        ("patient0001_2CH_ED_gt", (BLOB * 1).astype(np.uint8)),
    ):
        pixels.tofile(folder / f"{stem}.raw")
        (folder / f"{stem}.mhd").write_text(
            f"NDims = 3\nDimSize = {SIZE[1]} {SIZE[0]} 1\nElementType = MET_UCHAR\nElementDataFile = {stem}.raw\n"
        )


def chexlocalize(root: Path) -> None:
    from pycocotools import mask as rle

    write_image(root / "CheXpert" / "val" / "patient1" / "study1" / "view1_frontal.jpg", GREY)
    packed = rle.encode(np.asfortranarray(BLOB, np.uint8))
    empty = rle.encode(np.asfortranarray(BLOB & False, np.uint8))
    findings = {"Edema": packed, "Cardiomegaly": empty}
    texts = {name: {"size": p["size"], "counts": p["counts"].decode()} for name, p in findings.items()}
    (root / "gt_segmentations_val.json").write_text(json.dumps({"patient1_study1_view1_frontal": texts}))


WRITERS: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (kvasir, clinicdb, bkai, isic16, dfu, busi, camus, chexlocalize)
}
WANTED = {
    "kvasir": "polyp",
    "clinicdb": "polyp",
    "bkai": "neoplastic polyp",
    "isic16": "skin lesion",
    "dfu": "foot ulcer",
    "busi": "benign breast tumor",
    "camus": "left ventricular cavity",
    "chexlocalize": "edema",
}


@pytest.mark.parametrize("name", MEDICAL)
def test_the_published_layout_is_read(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    image, target = read_medical(name, tmp_path)[0].read()
    assert image.shape == (*SIZE, 3)
    first = target.annotations[0]
    assert first.texts[0] == WANTED[name]
    inside = first.mask & BLOB
    assert inside.sum() > 0.9 * BLOB.sum()
    assert len(target.annotations) == (2 if name == "bkai" else 1)


@pytest.mark.parametrize("name", MEDICAL)
def test_it_becomes_an_image_text_mask_folder(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "source")
    samples = read_medical(name, tmp_path / "source")
    ImageTextMask().write(tmp_path / "out", samples[:1])
    (again,) = open_data(tmp_path / "out").samples
    assert again.read()[1].annotations[0].texts == samples[0].read()[1].annotations[0].texts


@pytest.mark.parametrize("name", MEDICAL)
def test_another_layout_is_refused_with_the_layout_expected(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="layout"):
        read_medical(name, tmp_path)


def test_camus_is_read_as_nifti_too(tmp_path: Path) -> None:
    """Its second release: volumes (width, height) with gzip, below database_nifti/."""
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path / "database_nifti" / "patient0001"
    folder.mkdir(parents=True)
    for suffix, pixels in (("", GREY[..., 0]), ("_gt", BLOB.astype(np.uint8) * 3)):
        nibabel.save(nibabel.Nifti1Image(pixels.T, np.eye(4)), folder / f"patient0001_4CH_ES{suffix}.nii.gz")
    (sample,) = read_medical("camus", tmp_path)
    image, target = sample.read()
    assert image.shape == (*SIZE, 3)
    assert np.array_equal(target.annotations[0].mask, BLOB)
    assert target.annotations[0].texts[0] == "left atrium cavity"


def test_several_masks_of_a_breast_image_are_one_object_of_two_parts(tmp_path: Path) -> None:
    busi(tmp_path)
    texts = read_medical("busi", tmp_path)[0].read()[1].annotations[0].texts
    assert texts[1] == "two benign breast tumors"


def test_the_publishers_splits_are_kept(tmp_path: Path) -> None:
    isic16(tmp_path)
    assert [s.group for s in read_medical("isic16", tmp_path)] == ["train", "test"]


def test_an_unknown_set_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'kvasir'"):
        read_medical("kvasirr", "/tmp")
