"""Binary medical sets in the layouts that their publishers ship, with texts made from masks and class names.

``read_medical`` yields samples that ``image-text-mask`` writes, splits included where the publisher has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import DataError, naming_extras
from segue.core.files import natural_sort_key, read_json
from segue.core.registry import Registry, RegistryEntry
from segue.core.types import Image, Mask
from segue.data.formats.image_text_mask import binary
from segue.data.io.image import SUFFIXES, read_image, read_labels
from segue.data.io.pixels import as_image
from segue.data.photo_size import photo_size
from segue.data.record import AnnotatedImage, Annotation, Sample
from segue.data.rle import Rle
from segue.data.text_prompts import texts_for


@dataclass(frozen=True)
class Pairs:
    """Images and masks found by patterns: ``image`` is a glob, ``mask`` rewrites its path (a regular expression
    and replacements to try); ``name`` is what the mask shows."""

    image: str
    mask: tuple[str, tuple[str, ...]]
    name: str
    split: str = ""


PAIRS: Mapping[str, tuple[Pairs, ...]] = {
    "kvasir": (Pairs("images/*", (r"images/(.+)\.\w+$", (r"masks/\1",)), "polyp"),),
    "clinicdb": tuple(
        Pairs(f"{original}/*", (rf"{original}/(.+)\.\w+$", (rf"{target}/\1",)), "polyp")
        for original, target in (("Original", "Ground Truth"), ("PNG/Original", "PNG/Ground Truth"))
    ),
    "isic16": tuple(
        Pairs(
            f"ISBI2016_ISIC_Part1_{part}_Data/*.jpg",
            (r"(ISBI2016_ISIC_Part1_\w+)_Data/(.+)\.jpg$", (r"\1_GroundTruth/\2_Segmentation",)),
            "skin lesion",
            split,
        )
        for part, split in (("Training", "train"), ("Test", "test"))
    ),
    "dfu": tuple(
        Pairs(f"DFUC2022_{part}_images/*", (r"_images/(.+)\.\w+$", (r"_masks/\1",)), "foot ulcer", part)
        for part in ("train", "val", "test")
    ),
}


def _pairs(name: str, folder: Path) -> Iterator[Sample]:
    for pairs in PAIRS[name]:
        for image in _images(folder, pairs.image):
            relative = image.relative_to(folder).as_posix()
            masks = [re.sub(pairs.mask[0], to, relative) for to in pairs.mask[1]]
            mask = _existing(folder, masks)
            if mask is None:
                raise DataError(f"{image} without a mask", f"{' or '.join(masks)} with an image suffix")
            yield _sample(image, partial(_one, mask, image.stem, pairs.name), pairs.split)


def _busi(folder: Path) -> Iterator[Sample]:
    for kind in ("benign", "malignant", "normal"):
        for image in _images(folder, f"{kind}/*.png"):
            if "_mask" in image.stem:
                continue
            masks = [
                image.with_name(f"{image.stem}_mask.png"),
                *sorted(image.parent.glob(f"{image.stem}_mask_*.png")),
            ]
            name = "breast tumor" if kind == "normal" else f"{kind} breast tumor"
            yield _sample(image, partial(_union, masks, image.stem, name), "")


def _bkai(folder: Path) -> Iterator[Sample]:
    for image in _images(folder, "**/train/*.jpeg"):
        mask = Path(str(image).replace("train/train", "train_gt/train_gt"))
        if mask == image:
            mask = image.parent.with_name("train_gt") / image.name
        yield _sample(image, partial(_neoplasms, mask, image.stem), "")


CAMUS_PARTS = {1: "left ventricular cavity", 2: "myocardium", 3: "left atrium cavity"}


def _camus(folder: Path) -> Iterator[Sample]:
    for pattern in ("**/patient*_?CH_E?.nii.gz", "**/patient*_?CH_E?.mhd"):
        for path in sorted(folder.glob(pattern), key=natural_sort_key):
            stem = path.name.partition(".")[0]
            target = path.with_name(path.name.replace(stem, f"{stem}_gt"))
            yield Sample(stem, partial(_camus_annotated, path, target, stem))


def _chexlocalize(folder: Path) -> Iterator[Sample]:
    for split in ("val", "test"):
        file = folder / f"gt_segmentations_{split}.json"
        file = file if file.exists() else folder / "CheXlocalize" / file.name
        if file.exists():
            for key, findings in read_json(file).items():
                parts = key.split("_", 2)
                image = _existing(folder, [f"{base}{split}/{'/'.join(parts)}" for base in ("", "CheXpert/")])
                if image is None:
                    raise DataError(f"{key} in {file} without its X-ray", f"{split}/{'/'.join(parts)}.jpg")
                yield _sample(image, partial(_findings, findings, key), split, key)


@dataclass(frozen=True)
class MedicalRow(RegistryEntry):
    """A medical set: its ``layout`` in a few words."""

    layout: str = ""


_HERE = "segue.data.medical:read_medical"
MEDICAL: Registry[MedicalRow] = Registry(
    "medical set",
    {
        "kvasir": MedicalRow(_HERE, "Kvasir-SEG: polyps", layout="images/ masks/"),
        "clinicdb": MedicalRow(_HERE, "CVC-ClinicDB: polyps", layout="Original/ Ground Truth/ (also below PNG/)"),
        "bkai": MedicalRow(
            _HERE, "BKAI-IGH NeoPolyp: neoplastic and other polyps", layout="train/train/ train_gt/train_gt/"
        ),
        "isic16": MedicalRow(_HERE, "ISIC 2016: skin lesions", layout="ISBI2016_ISIC_Part1_*_Data/ *_GroundTruth/"),
        "dfu": MedicalRow(_HERE, "DFUC 2022: foot ulcers", layout="DFUC2022_*_images/ DFUC2022_*_masks/"),
        "camus": MedicalRow(_HERE, "CAMUS: echocardiography", layout="patient*/*_gt.nii.gz"),
        "busi": MedicalRow(_HERE, "BUSI: breast ultrasound", layout="benign/ malignant/ normal/ *_mask.png"),
        "chexlocalize": MedicalRow(_HERE, "CheXlocalize: chest X-rays", layout="CheXpert/ gt_segmentations_*.json"),
    },
)
_READERS: Mapping[str, Callable[[Path], Iterator[Sample]]] = {
    **{name: partial(_pairs, name) for name in PAIRS},
    "busi": _busi,
    "bkai": _bkai,
    "camus": _camus,
    "chexlocalize": _chexlocalize,
}


def read_medical(name: str, folder: Path | str) -> Sequence[Sample]:
    """The samples of medical set ``name`` in ``folder``; their objects have ``texts``.

    Raises ``UnknownName``, ``DataError`` for another layout, ``MissingExtra`` where a library is not installed.

    >>> read_medical("kvasir", "/no/such/folder")
    Traceback (most recent call last):
    segue.core.errors.DataError: got no image of kvasir in /no/such/folder; expected the layout images/ masks/
    """
    row, found = MEDICAL[name], list(_READERS[name](Path(folder)))
    if not found:
        raise DataError(f"no image of {name} in {folder}", f"the layout {row.layout}")
    return found


def with_texts(sample: Sample, name: str) -> Sample:
    """``sample`` with texts made from each mask and its class name, or ``name`` where it has none."""

    def load() -> AnnotatedImage:
        image = sample.load()
        each = (a if a.texts else replace(a, texts=texts_for(a.mask, a.name or name)) for a in image.annotations)
        return replace(image, annotations=tuple(each))

    return replace(sample, load=load)


def _sample(image: Path, objects: Callable[[], Sequence[Annotation]], split: str, id: str = "") -> Sample:
    def load() -> AnnotatedImage:
        annotations = tuple(objects())
        size = annotations[0].rle.size if annotations else photo_size(image)
        return AnnotatedImage(image.name, size, annotations, image, group=split)

    return Sample(id or image.stem, load, split)


def _images(folder: Path, pattern: str) -> list[Path]:
    return sorted((p for p in folder.glob(pattern) if p.suffix.lower() in SUFFIXES), key=natural_sort_key)


def _existing(folder: Path, stems: Sequence[str]) -> Path | None:
    files = (folder / f"{stem}{suffix}" for stem in stems for suffix in sorted(SUFFIXES))
    return next((f for f in files if f.is_file()), None)


def _named(mask: Mask, id: str, name: str) -> Annotation:
    return Annotation.from_mask(mask, name, id, texts_for(mask, name))


def _one(mask: Path, stem: str, name: str) -> Sequence[Annotation]:
    return [_named(binary(read_labels(mask)), stem, name)]


def _union(masks: Sequence[Path], stem: str, name: str) -> Sequence[Annotation]:
    return [_named(np.logical_or.reduce([binary(read_labels(m)) for m in masks]), stem, name)]


def _neoplasms(mask: Path, stem: str) -> Sequence[Annotation]:
    colours = read_image(mask).astype(int)
    red, green = (colours[..., i] - colours[..., 1 - i] > 100 for i in (0, 1))
    masks = [(red, "neoplastic polyp"), (green, "non-neoplastic polyp")]
    return [_named(m, f"{stem}#{k}", name) for k, (m, name) in enumerate(masks, 1) if m.any()]


def _volume(path: Path) -> Any:
    if path.suffix == ".mhd":
        return _read_mhd(path)
    with naming_extras():
        import nibabel
    return np.asarray(nibabel.load(path).dataobj).squeeze().T


def _read_mhd(path: Path) -> Any:
    """The pixels of a MetaImage header and its uncompressed raw file, (H, W)."""
    header = dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in path.read_text().splitlines() if "=" in line)
    types = {"MET_UCHAR": "u1", "MET_USHORT": "<u2", "MET_SHORT": "<i2", "MET_FLOAT": "<f4"}
    try:
        shape = [int(v) for v in header["DimSize"].split()][::-1]
        data = np.fromfile(path.with_name(header["ElementDataFile"].strip()), types[header["ElementType"].strip()])
        return data.reshape(shape).squeeze()
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} ({error})", "an uncompressed MetaImage with its .raw file beside it") from error


def _camus_annotated(path: Path, target: Path, stem: str) -> AnnotatedImage:
    labels = _volume(target)
    masks = [(labels == k, name) for k, name in CAMUS_PARTS.items() if (labels == k).any()]
    annotations = tuple(_named(mask, f"{stem}#{k}", name) for k, (mask, name) in enumerate(masks, 1))
    return AnnotatedImage(
        f"{stem}.png", (labels.shape[0], labels.shape[1]), annotations, pixels=partial(_camus_image, path)
    )


def _camus_image(path: Path) -> Image:
    return as_image(_volume(path).astype(np.uint8))


def _findings(findings: Mapping[str, Any], key: str) -> Sequence[Annotation]:
    masks = [(Rle.from_coco(packed).mask(), name.lower()) for name, packed in findings.items()]
    return [_named(m, f"{key}#{k}", name) for k, (m, name) in enumerate(masks, 1) if m.any()]
