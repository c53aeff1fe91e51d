"""The table of data formats, and the door through which data sets are opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError
from segue.core.registry import Registry, RegistryEntry
from segue.data.formats import signs
from segue.data.formats.base import Format
from segue.data.formats.signs import Listing
from segue.data.record import DataSet, Options


@dataclass(frozen=True)
class FormatEntry(RegistryEntry):
    """One format: its ``layout`` in a few words, the ``signs`` by which it is recognised, and what it can hold:
    ``many`` objects an image, ``ignore_mask`` pixels, ``overlap``, ``polygons`` as a choice, ``names`` of classes;
    ``exchange`` if other tools read and write it, ``writes`` if segue does; ``lossy`` if images come back nearly equal.

    >>> FORMATS["davis"].layout
    'img/ gt/'
    """

    layout: str = ""
    signs: Callable[[Listing], bool] = lambda listing: False
    many: bool = True
    ignore_mask: bool = False
    overlap: bool = False
    polygons: bool = False
    names: bool = False
    exchange: bool = False
    writes: bool = True
    lossy: bool = False


def _row(module: str, summary: str, layout: str, signs: Callable[[Listing], bool], **can: bool | str) -> FormatEntry:
    target = module if ":" in module else f"{module}:FORMAT"
    return FormatEntry(f"segue.data.formats.{target}", summary, layout=layout, signs=signs, **can)  # type: ignore[arg-type]


def _exchange(module: str, summary: str, layout: str, signs: Callable[[Listing], bool], **can: bool) -> FormatEntry:
    return _row(module, summary, layout, signs, **{"names": True, "exchange": True, "overlap": True, **can})


FORMATS: Registry[FormatEntry] = Registry(
    "format",
    {
        "coco": _exchange(
            "coco:Coco",
            "COCO instances and LVIS, crowds void",
            "images/ annotations/*.json",
            signs.coco,
            ignore_mask=True,
            polygons=True,
        ),
        "coco-panoptic": _row(
            "coco_panoptic:CocoPanoptic",
            "COCO panoptic, segments in PNGs",
            "images/ annotations/panoptic_*.json panoptic_*/*.png",
            signs.coco_panoptic,
            ignore_mask=True,
            writes=False,
        ),
        "yolo": _exchange(
            "yolo:Yolo", "YOLO segmentation", "images/ labels/*.txt data.yaml", signs.yolo, polygons=True
        ),
        "labelme": _exchange("labelme:Labelme", "Labelme", "*.json beside the images", signs.labelme, polygons=True),
        "voc": _exchange(
            "voc:Voc",
            "Pascal VOC palette PNG, 255 void; CVAT's segmentation masks",
            "JPEGImages/ SegmentationObject/ SegmentationClass/",
            signs.voc,
            ignore_mask=True,
            overlap=False,
        ),
        "cvat": _exchange(
            "cvat:Cvat", "CVAT 1.1 for images and for video", "annotations.xml images/", signs.cvat, polygons=True
        ),
        "label-studio": _exchange(
            "label_studio:LabelStudio",
            "Label Studio JSON, brush or polygon",
            "*.json images/",
            signs.label_studio,
            polygons=True,
        ),
        "folder": _exchange(
            "folder:Folder",
            "binary masks or label maps, 8 or 16 bit",
            "images/ masks/",
            signs.folder,
            ignore_mask=True,
            overlap=False,
        ),
        "numpy": _exchange(
            "numpy_masks:NumpyMasks",
            "NumPy masks, .npz or .npy",
            "images/ masks/*.npz",
            signs.numpy_masks,
            ignore_mask=True,
        ),
        "image-text-mask": _row(
            "image_text_mask:ImageTextMask",
            "masks with texts, in splits",
            "images/ masks/ anns/*.json",
            signs.image_text_mask,
            overlap=True,
        ),
        "berkeley": _row(
            "paired:BERKELEY",
            "Berkeley: a mask file for each object",
            "images/ masks/ (several masks an image)",
            signs.berkeley,
            overlap=True,
        ),
        "grabcut": _row(
            "paired:GRABCUT",
            "GrabCut: 0, 128 void, 255",
            "data_GT/ boundary_GT/",
            signs.grabcut,
            many=False,
            ignore_mask=True,
        ),
        "davis": _row("paired:DAVIS", "DAVIS click benchmark: one object", "img/ gt/", signs.davis, many=False),
        "davis585": _row(
            "davis585:Davis585",
            "DAVIS-585: objects with masks to start from",
            "*/NNNNN.jpg */objectK_NNNNN.png */init_sp_objectK_NNNNN.png",
            signs.davis585,
            overlap=True,
            writes=False,
        ),
        "saliency": _row(
            "saliency:Saliency",
            "HQSeg44K and its members: a grey mask an image",
            "im/ gt/, or NAME.jpg beside NAME.png ...",
            signs.saliency,
            many=False,
            writes=False,
        ),
        "perseg": _row("paired:PERSEG", "PerSeg, one-shot", "Images/*/ Annotations/*/", signs.perseg, many=False),
        "sstem": _row("paired:SSTEM", "ssTEM: components of a mask", "raw/*.tif mitochondria/*.png", signs.sstem),
        "oaizib": _row("paired:OAIZIB", "OAI-ZIB slices", "test/image/ test/annotations/", signs.oaizib),
        "sbd": _row("sbd:Sbd", "Semantic Boundaries (.mat)", "img/ inst/*.mat val.txt", signs.sbd),
        "brats": _row(
            "brats:Brats",
            "BraTS: largest tumour slice of a NIfTI volume",
            "*/*_flair.nii.gz */*_seg.nii.gz",
            signs.brats,
            many=False,
            lossy=True,
        ),
    },
)
OTHER_NAMES = {"png": "folder"}  # what a format is called too


def known_name(name: str) -> str:
    """The name of the format that is called ``name``. Raises ``UnknownName``.

    >>> known_name("png")
    'folder'
    """
    plain = OTHER_NAMES.get(name, name)
    FORMATS[plain]
    return plain


def format_named(name: str) -> Format:
    """The format ``name``. Raises ``UnknownName``, and ``MissingExtra`` where its library is not installed.

    >>> format_named("labelme").name
    'labelme'
    """
    form: Format = FORMATS.load(known_name(name))
    return form() if isinstance(form, type) else form


def open_data(source: str | Path, format: str = "auto", options: Options | None = None) -> DataSet:
    """Open the data set in a folder, or of one annotation file; "auto" recognises the format by its content.

    Raises ``MissingFile`` for no folder, ``DataError`` for content that is of no format, of several, or not of the one
    named, ``UnknownName`` for an unknown format, ``MissingExtra`` where its library is not installed.

    >>> open_data("/no/such/folder")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got /no/such/folder, which is not there; expected a folder with a data set, or an annotation file. Check the spelling.
    """  # noqa: E501
    listing = Listing(Path(source))
    name = known_name(format) if format != "auto" else ""
    if not name:
        name, listing = _recognised(listing)
    elif not FORMATS[name].signs(listing) and not _may_be(name, listing):
        raise DataError(
            f"{source}, which holds {listing.describe()}",
            f"the layout of '{name}': {FORMATS[name].layout}",
            "leave the format at 'auto'",
        )
    opened = format_named(name).open(listing.only or listing.folder, options or Options())
    if not opened.samples:
        raise DataError(
            f"{source} without an image, as '{name}' reads it; it holds {listing.describe()}", "one or more"
        )
    return opened


def recognise(source: Path) -> str:
    """The name of the format that ``source`` is in. Raises ``DataError`` where it is of none, or of several.

    >>> import tempfile, numpy as np
    >>> from segue.data.io.image import write_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("img", "gt"):
    ...         write_labels(Path(folder, name, "a.png"), np.eye(2, dtype=bool))
    ...     recognise(Path(folder))
    'davis'
    """
    return _recognised(Listing(source))[0]


def _recognised(listing: Listing) -> tuple[str, Listing]:
    """The format, and where it is: in the folder itself or, where that holds nothing else, in the one in it."""
    names = [name for name, row in FORMATS.items() if row.signs(listing)]
    if len(names) > 1:
        raise DataError(
            f"{listing.folder}, which may be {' or '.join(names)}: it holds {listing.describe()}",
            "one format, as two may say different things",
            f"name it: --from {names[0]} (or --format {names[0]})",
        )
    if names:
        return names[0], listing
    inside = [p for p in listing.folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if listing.only is None and len(inside) == 1:
        try:
            return _recognised(Listing(inside[0]))
        except DataError:
            pass
    raise DataError(
        f"{listing.only or listing.folder}, which is of no known format: it holds {listing.describe()}",
        f"one of: {', '.join(FORMATS)}",
        "arrange images/ and masks/ in it, with files of equal names",
    )


def _may_be(name: str, listing: Listing) -> bool:
    """Whether a format that the user names may be read where its signs do not tell: the plain folders."""
    return name in ("berkeley", "folder", "saliency") and listing.has("images", "masks")
