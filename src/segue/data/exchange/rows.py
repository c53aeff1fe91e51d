"""The table of exchange formats: a row earns its round-trip tests and its heading in docs/exchange.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError
from segue.core.registry import Registry, RegistryEntry
from segue.data.exchange.base import Exchange


@dataclass(frozen=True)
class ExchangeEntry(RegistryEntry):
    """One format: its ``layout``, and what it can hold besides masks of any shape: ``overlap`` of objects,
    ``ignore_mask`` pixels, ``polygons`` as a choice."""

    layout: str = ""
    overlap: bool = True
    ignore_mask: bool = False
    polygons: bool = True


_HERE = "segue.data.exchange"
EXCHANGE: Registry[ExchangeEntry] = Registry(
    "exchange format",
    {
        "coco": ExchangeEntry(
            f"{_HERE}.coco:Coco", "COCO instances", layout="images/ annotations/*.json", ignore_mask=True
        ),
        "yolo": ExchangeEntry(f"{_HERE}.yolo:Yolo", "YOLO segmentation", layout="images/ labels/ data.yaml"),
        "labelme": ExchangeEntry(f"{_HERE}.labelme:Labelme", "Labelme", layout="*.json beside the images"),
        "voc": ExchangeEntry(
            f"{_HERE}.voc:Voc",
            "Pascal VOC palette PNG",
            layout="JPEGImages/ SegmentationObject/ SegmentationClass/",
            overlap=False,
            ignore_mask=True,
            polygons=False,
        ),
        "cvat": ExchangeEntry(f"{_HERE}.cvat:Cvat", "CVAT for images 1.1", layout="annotations.xml images/"),
        "label-studio": ExchangeEntry(
            f"{_HERE}.labelstudio:LabelStudio", "Label Studio JSON, brush or polygon", layout="*.json images/"
        ),
        "png": ExchangeEntry(
            f"{_HERE}.png:Png",
            "PNG label maps, 8 or 16 bit",
            layout="images/ masks/*.png",
            overlap=False,
            ignore_mask=True,
            polygons=False,
        ),
        "numpy": ExchangeEntry(
            f"{_HERE}.arrays:Arrays",
            "NumPy .npz or .npy",
            layout="images/ masks/*.npz",
            ignore_mask=True,
            polygons=False,
        ),
    },
)


def exchange(name: str) -> Exchange:
    """The format ``name``. Raises ``UnknownName``.

    >>> exchange("labelme").name
    'labelme'
    """
    form: Exchange = EXCHANGE.load(name)()
    return form


def recognise(folder: Path) -> str:
    """The name of the first exchange format that ``folder`` is laid out in. Raises ``DataError`` without one.

    >>> recognise(Path("/no/such/folder"))
    Traceback (most recent call last):
    segue.core.errors.DataError: got /no/such/folder, which is of no format that can be exchanged; expected ...
    """
    for name in EXCHANGE:
        if exchange(name).detect(folder):
            return name
    layouts = "; ".join(f"{name}: {row.layout}" for name, row in EXCHANGE.items())
    raise DataError(f"{folder}, which is of no format that can be exchanged", layouts)
