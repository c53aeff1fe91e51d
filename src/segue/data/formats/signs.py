"""What a folder holds, and by which signs of its content a format is recognised; no format is loaded for it."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from segue.core.errors import MissingFile
from segue.data.formats.locate import files_below, is_image

SNIFFED = 8  # annotation files of one folder that are looked at to recognise it
_HEAD = 1 << 16
_LABEL_LINE = re.compile(r"^\s*\d+(\.0*)?(\s+[-+.\deE]+){4,}\s*$")
_NOT_LABELS = (
    "classes",
    "readme",
    "license",
    "labelmap",
    "labels",
    "train",
    "val",
    "test",
    "valid",
    "notes",
    "requirements",
)
_CONTINUED = re.compile(r"^(.+?)[_#-][^_#-]*$")


class Listing:
    """The files of a data set: those of a folder and the folders in it, or one annotation file (whose images lie
    beside it or one folder up). Raises ``MissingFile`` where there is neither.

    >>> Listing(Path("/no/such/folder"))
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got /no/such/folder, which is not there; expected a folder with a data set, or an annotation file. Check the spelling.
    """  # noqa: E501

    def __init__(self, source: Path) -> None:
        if not source.exists():
            raise MissingFile(f"{source}", "a folder with a data set, or an annotation file", "check the spelling")
        self.only = source if source.is_file() else None
        self.folder = source
        if self.only is not None:
            self.folder = source.parent.parent if source.parent.name in ("annotations", "anns") else source.parent

    @cached_property
    def names(self) -> dict[PurePosixPath, list[str]]:
        """File names by folder (relative), in natural order; hidden files and folders are not looked at."""
        if self.only is not None:
            return {PurePosixPath(self.only.relative_to(self.folder).parent.as_posix()): [self.only.name]}
        below = files_below(self.folder)
        return {PurePosixPath(at.relative_to(self.folder).as_posix()): names for at, names in below}

    def files(self, *suffixes: str) -> Iterator[Path]:
        """The files of these suffixes, sorted folder by folder; those of ``annotations`` first."""
        order = sorted(self.names, key=lambda folder: (folder.name != "annotations", folder))
        for folder in order:
            yield from (self.folder / folder / name for name in self.names[folder] if _suffix(name) in suffixes)

    def json_files(self, kind: str) -> list[Path]:
        """The JSON files of this kind (see ``kind_of_json``)."""
        return [file for file in self.files(".json") if kind_of_json(file) == kind]

    def has(self, *folders: str) -> bool:
        """Whether there are folders of these names, whatever is in them."""
        return all((self.folder / folder).is_dir() for folder in folders)

    def images(self, folder: str) -> list[str]:
        """Names of the image files in the folder ``folder`` itself."""
        return [name for name in self.names.get(PurePosixPath(folder), ()) if is_image(Path(name))]

    def kinds(self, suffix: str) -> set[str]:
        """The kinds of JSON or XML files, of which a few in each folder are looked at."""
        look = kind_of_json if suffix == ".json" else kind_of_xml
        few = (file for names in self._by_folder(suffix) for file in names[:SNIFFED])
        return {look(file) for file in few}

    def _by_folder(self, suffix: str) -> Iterator[list[Path]]:
        for folder, names in self.names.items():
            yield [self.folder / folder / name for name in names if _suffix(name) == suffix]

    def describe(self) -> str:
        """What is there, for messages: folders with the files in them by suffix, and what annotation files hold."""
        if self.only is not None:
            return f"one file ({_described(self.only)})"
        parts = []
        for folder, names in list(self.names.items())[:12]:
            where = "" if folder == PurePosixPath(".") else f"{folder}/: "
            counts = Counter(_suffix(name) or "no suffix" for name in names)
            if counts:
                parts.append(where + ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5)))
        told = [_described(file) for file in [*self.files(".json", ".xml")][:3]]
        return "; ".join([*parts, *told]) or "nothing at all"


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _described(file: Path) -> str:
    if zipfile.is_zipfile(file) or tarfile.is_tarfile(file):
        return f"{file.name} is an archive: unpack it and give the folder"
    kind = {".json": kind_of_json, ".xml": kind_of_xml}.get(file.suffix.lower(), lambda _: "")(file)
    return f"{file.name} is {kind or 'of no kind known here'}"


def ends_of(file: Path) -> str:
    """The first and the last 64 KiB of a text file: reading all of a COCO to recognise it would take a minute."""
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
            stream.seek(max(len(head), file.stat().st_size - _HEAD))
            both = head + stream.read()
    except OSError:
        return ""
    encoding = "utf-16" if both[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return both.decode(encoding, "replace").lstrip()


def kind_of_json(file: Path) -> str:
    """ "coco", "coco-panoptic", "labelme", "label-studio", "image-text-mask", or "" for anything else.

    >>> kind_of_json(Path("/no/such/file.json"))
    ''
    """
    text = ends_of(file)

    def holds(*keys: str) -> bool:
        return all(f'"{key}"' in text for key in keys)

    results = any(holds(key) for key in ("annotations", "completions", "predictions", "drafts", "result"))
    if text[:1] == "[":
        if holds("img_name", "mask_name"):
            return "image-text-mask"
        return "label-studio" if holds("data") and results else ""
    if text[:1] != "{":
        return ""
    if holds("shapes") and (holds("imagePath") or holds("imageData")):
        return "labelme"
    listed = holds("annotations") or holds("image_id", "segmentation")
    if listed and holds("segments_info"):
        return "coco-panoptic"
    if listed and (holds("images") or holds("file_name")):
        return "" if holds("caption") and not holds("segmentation") else "coco"
    return "label-studio" if holds("data") and results else ""


def kind_of_xml(file: Path) -> str:
    """ "cvat" for the root <annotations>, else the root's name in brackets, or "" for no XML."""
    for name in re.findall(r"<([A-Za-z_][\w.:-]*)", ends_of(file)):
        return "cvat" if name == "annotations" else f"XML of <{name}>"
    return ""


def coco(listing: Listing) -> bool:
    return "coco" in listing.kinds(".json")


def coco_panoptic(listing: Listing) -> bool:
    return "coco-panoptic" in listing.kinds(".json")


def labelme(listing: Listing) -> bool:
    return "labelme" in listing.kinds(".json")


def label_studio(listing: Listing) -> bool:
    return "label-studio" in listing.kinds(".json")


def image_text_mask(listing: Listing) -> bool:
    return listing.has("images", "masks") and "image-text-mask" in listing.kinds(".json")


def cvat(listing: Listing) -> bool:
    return "cvat" in listing.kinds(".xml")


def yolo(listing: Listing) -> bool:
    if listing.only is not None:
        return False
    labels = list(label_files(listing))
    few = [file for file in labels if file.stat().st_size][:SNIFFED]
    if few:
        return any(is_label_file(file) for file in few)
    return bool(labels) and any(file.parent.name == "labels" or "labels" in file.parts for file in labels[:1])


def label_files(listing: Listing) -> Iterator[Path]:
    """Text files that may hold YOLO's lines: not lists, class names or a README."""
    for file in listing.files(".txt"):
        if not file.stem.lower().startswith(_NOT_LABELS) or file.parent.name in ("labels", *_SPLITS):
            yield file


_SPLITS = ("train", "val", "test", "valid")


def is_label_file(file: Path) -> bool:
    """Whether the first line is a class number and four numbers or more."""
    lines = [line for line in ends_of(file).splitlines() if line.strip()]
    return bool(lines) and any(_LABEL_LINE.match(line) for line in lines[:3])


def numpy_masks(listing: Listing) -> bool:
    return next(listing.files(".npz", ".npy"), None) is not None


def voc(listing: Listing) -> bool:
    maps = [folder for folder in listing.names if folder.parts[:1] in (("SegmentationObject",), ("SegmentationClass",))]
    return any(listing.images(str(folder)) for folder in maps)


def sbd(listing: Listing) -> bool:
    return any(_suffix(name) == ".mat" for name in listing.names.get(PurePosixPath("inst"), ()))


def grabcut(listing: Listing) -> bool:
    return bool(listing.images("data_GT") and listing.images("boundary_GT"))


def davis(listing: Listing) -> bool:
    return bool(listing.images("img") and listing.images("gt"))


SALIENCY_FOLDERS = (  # of images and of masks
    ("im", "gt"),  # DIS5K
    ("images", "ground_truth_mask"),  # ECSSD
    ("images", "masks_max255"),  # HRSOD in HQSeg44K
    ("images_train", "masks_train"),  # ThinObject-5K in HQSeg44K
    ("images_test", "masks_test"),
    ("HRSOD_train", "HRSOD_train_mask"),
    ("HRSOD_test", "HRSOD_test_mask"),
    ("DUTS-TR-Image", "DUTS-TR-Mask"),
    ("DUTS-TE-Image", "DUTS-TE-Mask"),
    ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
)
_JPEG = (".jpg", ".jpeg")


def saliency(listing: Listing) -> bool:
    """Pairs of folders that only these data sets have, or JPEGs with a PNG of their stem beside each."""
    if listing.only is not None:
        return False
    there = set(listing.names)
    named = any(at.name == a and at.parent / b in there for at in there for a, b in SALIENCY_FOLDERS)
    return named or bool(mixed_folders(listing))


def mixed_folders(listing: Listing) -> list[PurePosixPath]:
    """Folders of JPEGs and PNGs alone, of which each stem has one of both (MSRA10K, FSS-1000, DUTS in HQSeg44K)."""
    return [at for at, names in sorted(listing.names.items()) if _is_mixed(names)]


def _is_mixed(names: Sequence[str]) -> bool:
    files = [PurePosixPath(name) for name in names if is_image(Path(name))]
    photos = sorted(file.stem for file in files if file.suffix.lower() in _JPEG)
    return bool(photos) and photos == sorted(file.stem for file in files if file.suffix.lower() not in _JPEG)


def davis585(listing: Listing) -> bool:
    masks = re.compile(r"init_(sp|stm)_.+\.png$")
    return any(masks.match(name) for names in listing.names.values() for name in names)


def perseg(listing: Listing) -> bool:
    masks = (folder for folder in listing.names if folder.parent == PurePosixPath("Annotations"))
    return listing.has("Images") and any(listing.images(str(folder)) for folder in masks)


def sstem(listing: Listing) -> bool:
    stacks = {folder.parent for folder in listing.names if folder.name == "mitochondria"}
    return any(listing.images(str(stack / "mitochondria")) and listing.images(str(stack / "raw")) for stack in stacks)


def oaizib(listing: Listing) -> bool:
    pairs = ((f"{at}image", f"{at}annotations") for at in ("", "test/"))
    return any(listing.images(images) and listing.images(masks) for images, masks in pairs)


def brats(listing: Listing) -> bool:
    volume = re.compile(r"(_flair|-t2f)\.nii(\.gz)?$")
    return any(volume.search(name) for names in listing.names.values() for name in names)


def berkeley(listing: Listing) -> bool:
    """One mask for each image is the plain folder; it reads the same unless the name says Berkeley."""
    images = {PurePosixPath(name).stem for name in listing.images("images")}
    masks = {PurePosixPath(name).stem for name in listing.images("masks")}
    if not images or not masks or image_text_mask(listing):
        return False
    continued = bool(masks - images) and all(owner_of_mask(mask, images) is not None for mask in masks)
    return listing.folder.name.lower() == "berkeley" or continued


def folder(listing: Listing) -> bool:
    named = image_text_mask(listing) or berkeley(listing)
    return bool(listing.images("images") and listing.images("masks")) and not named


def owner_of_mask(mask: str, images: Sequence[str] | set[str]) -> str | None:
    """The stem among ``images`` that a mask of stem ``mask`` belongs to.

    >>> owner_of_mask("3096_2", {"3096", "2092"}), owner_of_mask("2092", {"2092"}), owner_of_mask("x", {"2092"})
    ('3096', '2092', None)
    """
    if mask in images:
        return mask
    continued = _CONTINUED.match(mask)
    return continued[1] if continued and continued[1] in images else None
