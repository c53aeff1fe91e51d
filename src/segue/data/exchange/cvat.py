"""CVAT for images 1.1: ``annotations.xml``; masks as run lengths in their box (lossless) or polygons."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from segue.core.errors import DataError, MissingFile
from segue.data.exchange.base import (
    Choices,
    Entry,
    Exchange,
    Finder,
    Loss,
    Sheet,
    Writer,
    empty_loss,
    outline,
    outline_losses,
    safe_name,
    void_loss,
)
from segue.data.exchange.rings import rle_of_rings
from segue.data.exchange.sink import Sink
from segue.data.rle import Rle, flat_of, runs_of, union

FILE = "annotations.xml"
_DEFAULTS = {"source": "manual", "occluded": "0", "z_order": "0"}
_KNOWN = {"label", "points", "rle", "left", "top", "width", "height"}


class CvatWriter(Writer):
    """``annotations.xml`` and ``images/``; polygons of one object share a ``group_id``."""

    def __init__(self, sink: Sink, choices: Choices, names: Sequence[str] = ()) -> None:
        super().__init__(sink, choices, names)
        self._file, self._body = sink.stream(FILE), sink.stream(".images")
        self._count = 0

    def add(self, sheet: Sheet) -> list[Loss]:
        name = self.place(f"images/{safe_name(sheet.file_name)}", sheet).removeprefix("images/")
        height, width = sheet.size
        lines, losses, group = [], void_loss(sheet), 0
        for entry in sheet.entries:
            self.number(entry.name)
            if not entry.rle.area:
                losses.append(empty_loss(sheet, entry))
            elif self.choices.polygons:
                drawn = outline(entry.rle, self.choices.tolerance)
                group += len(drawn.rings) > 1
                losses += outline_losses(sheet, entry, drawn)
                for ring in drawn.rings:
                    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)
                    own = {"group_id": str(group)} if len(drawn.rings) > 1 else {}
                    lines.append(_shape("polygon", entry, {"points": points, **own}))
            else:
                lines.append(_shape("mask", entry, _mask(entry.rle)))
        head = f'  <image id="{self._count}" name={quoteattr(name)} width="{width}" height="{height}">\n'
        self._body.write((head + "".join(lines) + "  </image>\n").encode())
        self._count += 1
        return losses

    def finish(self) -> None:
        labels = "".join(f"<label><name>{escape(n)}</name><attributes></attributes></label>" for n in self.classes)
        head = (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta><task><size>{self._count}</size><labels>{labels}</labels></task></meta>\n"
        )
        self._file.write(head.encode())
        self.sink.move(self._body, self._file)
        self._file.write(b"</annotations>\n")
        self.sink.keep(self._file)


class Cvat(Exchange):
    """CVAT's own format. Polygons of one label and ``group_id`` are one object; boxes, points and lines hold no
    mask and are reported.

    >>> Cvat().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "cvat"
    writer_type: ClassVar[type[Writer]] = CvatWriter

    def detect(self, folder: Path) -> bool:
        return (folder / FILE).is_file()

    def read(self, folder: Path) -> Iterator[Sheet]:
        finder = Finder(folder / "images", folder)
        for element in _elements(folder / FILE, "image"):
            try:
                yield _sheet(element, finder)
            except (KeyError, ValueError, TypeError) as error:
                where = element.get("name", element.get("id"))
                raise DataError(
                    f"image {where} of {folder / FILE} that does not read ({error})",
                    "polygon and mask elements as CVAT writes them",
                ) from error

    def classes(self, folder: Path) -> Sequence[str]:
        names = []
        for element in _elements(folder / FILE, "label", stop="image"):
            name = element.findtext("name")
            if name:
                names.append(name)
        return names


def _elements(file: Path, tag: str, stop: str = "") -> Iterator[ET.Element]:
    """Elements of one kind, each forgotten before the next; nothing after the first ``stop`` is looked at."""
    if not file.is_file():
        raise MissingFile(f"{file}", "CVAT's annotations.xml", "check the path")
    try:
        root: ET.Element | None = None
        for event, element in ET.iterparse(file, ("start", "end")):
            if root is None:
                root = element
            if event == "start":
                if element.tag == stop:
                    return
            elif element.tag == tag:
                yield element
                if tag == "image":
                    root.clear()
    except ET.ParseError as error:
        raise DataError(f"{file}, which is no XML ({error})", "CVAT for images 1.1") from error


def _sheet(element: ET.Element, finder: Finder) -> Sheet:
    name, size = element.attrib["name"], (int(element.attrib["height"]), int(element.attrib["width"]))
    groups: dict[tuple[Any, ...], list[tuple[ET.Element, Rle]]] = {}
    losses = []
    for number, shape in enumerate(element):
        rle = _rle(shape, size)
        if rle is None:
            losses.append(Loss(name, f"{shape.tag} without a mask left out", shape.get("label", "")))
            continue
        group = shape.get("group_id", "0")
        alone = shape.tag == "mask" or group in ("", "0")
        groups.setdefault((number,) if alone else (shape.attrib["label"], group), []).append((shape, rle))
    entries = []
    for number, members in enumerate(groups.values()):
        first = members[0][0]
        kept = {k: v for k, v in first.attrib.items() if k not in _KNOWN}
        values = {a.attrib["name"]: a.text or "" for a in first.findall("attribute")}
        extra = {"cvat": {"keys": kept, "attributes": values}}
        entries.append(Entry(first.attrib["label"], union([r for _, r in members]), str(number), extra))
    return Sheet(name, size, tuple(entries), finder.find(name), None, tuple(losses))


def _rle(shape: ET.Element, size: tuple[int, int]) -> Rle | None:
    if shape.tag == "polygon":
        points = [[float(v) for v in pair.split(",")] for pair in shape.attrib["points"].split(";")]
        return rle_of_rings([np.array(points)], size) if len(points) > 2 else Rle.empty(size)
    if shape.tag == "mask":
        x, y, w, h = (int(float(shape.attrib[k])) for k in ("left", "top", "width", "height"))
        runs = np.array([int(v) for v in shape.attrib["rle"].split(",")], np.int64)
        return Rle.from_crop(flat_of(runs, w * h).reshape(h, w), x, y, size)
    return None


def _mask(rle: Rle) -> dict[str, str]:
    crop, x, y = rle.crop()
    runs = ", ".join(map(str, runs_of(crop.reshape(-1)).tolist()))
    height, width = crop.shape
    return {"rle": runs, "left": str(x), "top": str(y), "width": str(width), "height": str(height)}


def _shape(tag: str, entry: Entry, own: Mapping[str, str]) -> str:
    before = entry.extra.get("cvat", {})
    keys = {**_DEFAULTS, **before.get("keys", {}), **own}
    attributes = "".join(f"{k}={quoteattr(v)} " for k, v in {"label": entry.name or "object", **keys}.items())
    inside = "".join(
        f"<attribute name={quoteattr(k)}>{escape(v)}</attribute>" for k, v in before.get("attributes", {}).items()
    )
    return f"    <{tag} {attributes.rstrip()}>{inside}</{tag}>\n"


FORMAT = Cvat()
