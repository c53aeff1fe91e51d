"""The table of exchange formats: a row earns its round-trip tests and its heading in docs/exchange.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError
from segue.core.registry import Registry, Row
from segue.data.exchange.base import Exchange


@dataclass(frozen=True)
class ExchangeRow(Row):
    """One format: its ``layout``, and what it can hold besides masks of any shape: ``overlap`` of objects,
    ``void`` pixels, ``polygons`` as a choice."""

    layout: str = ""
    overlap: bool = True
    void: bool = False
    polygons: bool = True


_HERE = "segue.data.exchange"
EXCHANGE: Registry[ExchangeRow] = Registry(
    "exchange format",
    {
        "coco": ExchangeRow(f"{_HERE}.coco:Coco", "COCO instances", layout="images/ annotations/*.json", void=True),
        "yolo": ExchangeRow(f"{_HERE}.yolo:Yolo", "YOLO segmentation", layout="images/ labels/ data.yaml"),
        "labelme": ExchangeRow(f"{_HERE}.labelme:Labelme", "Labelme", layout="*.json beside the images"),
        "voc": ExchangeRow(
            f"{_HERE}.voc:Voc", "Pascal VOC palette PNG", layout="JPEGImages/ SegmentationObject/ SegmentationClass/",
            overlap=False, void=True, polygons=False,
        ),
        "cvat": ExchangeRow(f"{_HERE}.cvat:Cvat", "CVAT for images 1.1", layout="annotations.xml images/"),
        "label-studio": ExchangeRow(
            f"{_HERE}.labelstudio:LabelStudio", "Label Studio JSON, brush or polygon", layout="*.json images/"
        ),
        "png": ExchangeRow(
            f"{_HERE}.png:Png", "PNG label maps, 8 or 16 bit", layout="images/ masks/*.png",
            overlap=False, void=True, polygons=False,
        ),
        "numpy": ExchangeRow(
            f"{_HERE}.arrays:Arrays", "NumPy .npz or .npy", layout="images/ masks/*.npz", void=True, polygons=False
        ),
    },
)  # fmt: skip


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
