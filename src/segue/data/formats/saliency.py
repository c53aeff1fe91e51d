"""One object an image in a grey mask, as data for saliency and fine segmentation have it: HQSeg44K and its members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.formats.base import Format
from segue.data.formats.paired import paired
from segue.data.formats.signs import SALIENCY_FOLDERS, Listing, mixed_folders
from segue.data.io.image import read_image
from segue.data.record import AnnotatedImage, Annotation, DataSet, Options, Samples

OBJECT = 127  # grey levels above it are object
TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = {"DIS-TR": TRAIN, "DIS-VD": VAL, "DUTS-TR": TRAIN, "DUTS-TE": TEST}
HQSEG = ("cascade_psp", "thin_object_detection")  # folders of HQSeg44K as a whole, with its own splits


class Saliency(Format):
    """DIS5K, ThinObject-5K, FSS-1000, ECSSD, MSRA10K, DUTS, DUT-OMRON, COIFT, HRSOD, and HQSeg44K of all of them.

    Masks are photographs' mattes: what is brighter than 127 is object. Every pair of folders, and every folder where a
    JPEG and a PNG share a stem, is read; ``split`` chooses among them (all of them without it).
    """

    name = "saliency"

    def open(self, folder: Path, options: Options) -> DataSet:
        found = list(pairs(folder))
        splits = sorted({split for split, _, _ in found if split})
        if options.split is not None:
            found = [row for row in found if row[0] == options.split]
        if not found:
            wanted = f"the split '{options.split}'" if options.split is not None else "an image"
            there = f"one of its splits: {', '.join(splits) or 'none'}" if options.split else "images and masks"
            raise DataError(f"{folder} without {wanted}", there)
        ids = [image.relative_to(folder).with_suffix("").as_posix() for _, image, _ in found]

        def load(index: int) -> AnnotatedImage:
            split, image, mask_file = found[index]
            mask = read_matte(mask_file)
            objects = (Annotation.from_mask(mask, id=ids[index]),) if mask.any() else ()
            name = image.relative_to(folder).as_posix()
            return AnnotatedImage(name, (mask.shape[0], mask.shape[1]), objects, image, group=split)

        return DataSet(self.name, folder, Samples(ids, load, [split for split, _, _ in found]))


def read_matte(path: Path) -> Mask:
    """(H, W) bool: what is brighter than 127, or than 0 in a file of 0 and 1. Raises ``ImageError``."""
    grey = read_image(path)[..., 1]
    mask: Mask = grey > (OBJECT if grey.max() > 1 else 0)
    return mask


def pairs(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """(split or "", image, mask) below ``folder``, in a stable order."""
    listing = Listing(folder)
    whole = listing.has(*HQSEG)
    for at in sorted(listing.names):
        for images, masks in (*SALIENCY_FOLDERS, *plain_folders(at, whole)):
            if at.name == images and at.parent / masks in listing.names:
                split = split_of(at, whole)
                rows = paired(folder / at, folder / at.parent / masks)
                yield from ((split, image, mask) for image, mask in rows)
                break
    for at in mixed_folders(listing):
        for name in listing.names[at]:
            if name.lower().endswith((".jpg", ".jpeg")):
                image = folder / at / name
                mask = next(p for p in (image.with_suffix(s) for s in (".png", ".PNG")) if p.is_file())
                yield split_of(at, whole), image, mask


def plain_folders(at: PurePosixPath, whole: bool) -> Iterable[tuple[str, str]]:
    """``images`` and ``masks``: of the data set itself, or of a member of HQSeg44K as a whole."""
    member = whole and at.parts[:1] == HQSEG[1:]
    return (("images", "masks"),) if member or at == PurePosixPath("images") else ()


def split_of(at: PurePosixPath, whole: bool) -> str:
    """The split that a folder belongs to, "" for none; HQSeg44K as a whole trains on all of ``cascade_psp`` and
    validates on DIS-VD, COIFT, HRSOD and ThinObject-5K's test images (HQ-SAM, section 4.1).

    >>> split_of(PurePosixPath("DIS-TR/im"), False), split_of(PurePosixPath("cascade_psp/DUTS-TE"), True)
    ('train', 'train')
    """
    if whole and at.parts[:1] == HQSEG[:1]:
        return TRAIN
    for part in at.parts:
        if part in SPLITS:
            return SPLITS[part]
        if part.startswith("DIS-TE"):
            return TEST
        for name in (TRAIN, TEST):
            if part.lower().endswith(f"_{name}"):
                return VAL if whole and name == TEST else name
    return VAL if whole else ""
