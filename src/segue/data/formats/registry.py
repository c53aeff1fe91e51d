"""The table of data formats, and the door through which data sets are opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError, MissingExtra, MissingFile
from segue.core.registry import Registry, RegistryEntry
from segue.data.sample import Format, Options, Sample


@dataclass(frozen=True)
class FormatEntry(RegistryEntry):
    """One format: its ``layout`` in a few words, and what it can hold: ``many`` objects an image, ``ignore_mask``
    pixels, ``overlap``; ``lossy`` if images come back only nearly equal.

    >>> FORMATS["davis"].layout
    'img/ gt/'
    """

    layout: str = ""
    many: bool = False
    ignore_mask: bool = False
    overlap: bool = False
    lossy: bool = False


FORMATS: Registry[FormatEntry] = Registry(
    "format",
    {
        "image-text-mask": FormatEntry(
            "segue.data.formats.image_text_mask:FORMAT",
            "masks with texts, in splits",
            layout="images/ masks/ anns/*.json",
            many=True,
            overlap=True,
        ),
        "grabcut": FormatEntry(
            "segue.data.formats.grabcut:FORMAT",
            "GrabCut: 0, 128 void, 255",
            layout="data_GT/ boundary_GT/",
            ignore_mask=True,
        ),
        "davis": FormatEntry("segue.data.formats.davis:FORMAT", "DAVIS click benchmark: one object", layout="img/ gt/"),
        "sbd": FormatEntry(
            "segue.data.formats.sbd:FORMAT",
            "Semantic Boundaries (.mat)",
            layout="img/ inst/*.mat val.txt",
            many=True,
            lossy=True,
        ),
        "voc": FormatEntry(
            "segue.data.formats.voc:FORMAT",
            "Pascal VOC palette PNG, 255 void",
            layout="JPEGImages/ SegmentationObject/",
            many=True,
            ignore_mask=True,
            lossy=True,
        ),
        "perseg": FormatEntry(
            "segue.data.formats.perseg:FORMAT", "PerSeg, one-shot", layout="Images/*/ Annotations/*/"
        ),
        "sstem": FormatEntry(
            "segue.data.formats.sstem:FORMAT",
            "ssTEM: components of a mask",
            layout="raw/*.tif mitochondria/*.png",
            many=True,
        ),
        "oaizib": FormatEntry(
            "segue.data.formats.oaizib:FORMAT", "OAI-ZIB slices", layout="test/image/ test/annotations/", many=True
        ),
        "brats": FormatEntry(
            "segue.data.formats.brats:FORMAT",
            "BraTS: largest tumour slice of a NIfTI volume",
            "medical",
            layout="*/*_flair.nii.gz */*_seg.nii.gz",
            lossy=True,
        ),
        "yolo": FormatEntry(
            "segue.data.exchange.yolo:FORMAT",
            "YOLO segmentation",
            layout="images/ labels/ data.yaml",
            many=True,
            overlap=True,
        ),
        "labelme": FormatEntry(
            "segue.data.exchange.labelme:FORMAT",
            "Labelme",
            layout="*.json beside the images",
            many=True,
            overlap=True,
        ),
        "cvat": FormatEntry(
            "segue.data.exchange.cvat:FORMAT",
            "CVAT for images 1.1",
            layout="annotations.xml images/",
            many=True,
            overlap=True,
        ),
        "label-studio": FormatEntry(
            "segue.data.exchange.labelstudio:FORMAT",
            "Label Studio JSON, brush or polygon",
            layout="*.json images/",
            many=True,
            overlap=True,
        ),
        "numpy": FormatEntry(
            "segue.data.exchange.arrays:FORMAT",
            "NumPy masks, .npz or .npy",
            layout="images/ masks/*.npz",
            many=True,
            ignore_mask=True,
            overlap=True,
        ),
        "coco": FormatEntry(
            "segue.data.formats.coco:FORMAT",
            "COCO instances, crowds void",
            layout="images/ annotations/*.json",
            many=True,
            ignore_mask=True,
            overlap=True,
        ),
        "berkeley": FormatEntry(
            "segue.data.formats.berkeley:FORMAT",
            "Berkeley: a mask file for each object",
            layout="images/ masks/ (several masks an image)",
            many=True,
            overlap=True,
        ),
        "folder": FormatEntry(
            "segue.data.formats.folder:FORMAT",
            "binary masks or label maps",
            layout="images/ masks/",
            many=True,
            ignore_mask=True,
        ),
    },
)


@dataclass(frozen=True)
class DataSet:
    """An opened data set: its ``format``, ``folder`` and ``samples`` in a stable order.

    >>> DataSet("davis", Path("DAVIS"), ()).format
    'davis'
    """

    format: str
    folder: Path
    samples: Sequence[Sample]


def open_data(folder: str | Path, format: str = "auto", options: Options | None = None) -> DataSet:
    """Open the data set in ``folder``; "auto" recognises the format by its file names.

    Raises ``MissingFile`` for no folder, ``DataError`` for a layout that is of no format, or not of the one
    named, ``UnknownName`` for an unknown format, ``MissingExtra`` where its library is not installed.
    Source: the command contract (``--format``).

    >>> open_data("/no/such/folder")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got /no/such/folder; expected a folder with a data set. Check the spelling.
    """
    path = Path(folder)
    if not path.is_dir():
        raise MissingFile(f"{path}", "a folder with a data set", "check the spelling")
    name = detect(path) if format == "auto" else format
    form: Format = FORMATS.load(name)
    if not form.fits(path):
        raise DataError(f"{path}", f"the layout of '{name}': {FORMATS[name].layout}", "leave the format at 'auto'")
    return DataSet(name, path, form.samples(path, options or Options()))


def detect(folder: Path) -> str:
    """The name of the first format whose layout ``folder`` has. Raises ``DataError`` where none has.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("img", "gt"):
    ...         Path(folder, name).mkdir()
    ...     detect(Path(folder))
    'davis'
    """
    absent: MissingExtra | None = None
    for name in FORMATS:
        try:
            if FORMATS.load(name).detect(folder):
                return name
        except MissingExtra as error:
            absent = error
    if absent is not None:
        raise absent
    layouts = "; ".join(f"{name}: {row.layout}" for name, row in FORMATS.items())
    raise DataError(f"{folder}, whose layout is of no known format", layouts, "arrange images/ and masks/ in it")
