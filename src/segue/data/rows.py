"""The table of data formats, and the door through which data sets are opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError, MissingExtra, MissingFile
from segue.core.registry import Registry, Row
from segue.data.sample import Format, Options, Sample


@dataclass(frozen=True)
class FormatRow(Row):
    """One format: its ``layout`` in a few words, and what it can hold: ``many`` objects an image, ``void``
    pixels, ``overlap``; ``lossy`` if images come back only nearly equal.

    >>> FORMATS["davis"].layout
    'img/ gt/'
    """

    layout: str = ""
    many: bool = False
    void: bool = False
    overlap: bool = False
    lossy: bool = False


FORMATS: Registry[FormatRow] = Registry(
    "format",
    {
        "image-text-mask": FormatRow(
            "segue.data.image_text_mask:FORMAT",
            "masks with texts, in splits",
            layout="images/ masks/ anns/*.json",
            many=True,
            overlap=True,
        ),
        "grabcut": FormatRow(
            "segue.data.grabcut:FORMAT", "GrabCut: 0, 128 void, 255", layout="data_GT/ boundary_GT/", void=True
        ),
        "davis": FormatRow("segue.data.davis:FORMAT", "DAVIS click benchmark: one object", layout="img/ gt/"),
        "sbd": FormatRow(
            "segue.data.sbd:FORMAT",
            "Semantic Boundaries (.mat)",
            layout="img/ inst/*.mat val.txt",
            many=True,
            lossy=True,
        ),
        "voc": FormatRow(
            "segue.data.voc:FORMAT",
            "Pascal VOC palette PNG, 255 void",
            layout="JPEGImages/ SegmentationObject/",
            many=True,
            void=True,
            lossy=True,
        ),
        "perseg": FormatRow("segue.data.perseg:FORMAT", "PerSeg, one-shot", layout="Images/*/ Annotations/*/"),
        "sstem": FormatRow(
            "segue.data.sstem:FORMAT", "ssTEM: components of a mask", layout="raw/*.tif mitochondria/*.png", many=True
        ),
        "oaizib": FormatRow(
            "segue.data.oaizib:FORMAT", "OAI-ZIB slices", layout="test/image/ test/annotations/", many=True
        ),
        "brats": FormatRow(
            "segue.data.brats:FORMAT",
            "BraTS: largest tumour slice of a NIfTI volume",
            "medical",
            layout="*/*_flair.nii.gz */*_seg.nii.gz",
            lossy=True,
        ),
        "yolo": FormatRow(
            "segue.data.exchange.yolo:FORMAT",
            "YOLO segmentation",
            layout="images/ labels/ data.yaml",
            many=True,
            overlap=True,
        ),
        "labelme": FormatRow(
            "segue.data.exchange.labelme:FORMAT",
            "Labelme",
            layout="*.json beside the images",
            many=True,
            overlap=True,
        ),
        "cvat": FormatRow(
            "segue.data.exchange.cvat:FORMAT",
            "CVAT for images 1.1",
            layout="annotations.xml images/",
            many=True,
            overlap=True,
        ),
        "label-studio": FormatRow(
            "segue.data.exchange.labelstudio:FORMAT",
            "Label Studio JSON, brush or polygon",
            layout="*.json images/",
            many=True,
            overlap=True,
        ),
        "numpy": FormatRow(
            "segue.data.exchange.arrays:FORMAT",
            "NumPy masks, .npz or .npy",
            layout="images/ masks/*.npz",
            many=True,
            void=True,
            overlap=True,
        ),
        "coco": FormatRow(
            "segue.data.coco:FORMAT",
            "COCO instances, crowds void",
            layout="images/ annotations/*.json",
            many=True,
            void=True,
            overlap=True,
        ),
        "berkeley": FormatRow(
            "segue.data.berkeley:FORMAT",
            "Berkeley: a mask file for each object",
            layout="images/ masks/ (several masks an image)",
            many=True,
            overlap=True,
        ),
        "folder": FormatRow(
            "segue.data.folder:FORMAT", "binary masks or label maps", layout="images/ masks/", many=True, void=True
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
