"""Labelme: a JSON file beside each image; masks as ``mask`` shapes (lossless) or polygons; unknown keys kept."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import PIL.Image
from PIL import ImageOps

from segue.core.errors import DataError
from segue.core.types import Image, Mask
from segue.data.exchange.base import (
    Entry,
    Exchange,
    Finder,
    Loss,
    Sheet,
    Writer,
    empty_loss,
    image_size,
    lazy_samples,
    outline,
    outline_losses,
    safe_name,
    void_loss,
)
from segue.data.exchange.rings import rle_of_rings
from segue.data.rle import Rle, union
from segue.data.sample import Options, Sample

VERSION = "5.5.0"  # of the file format written: the first with "mask" shapes and "description"
_CIRCLE = 180  # corners of the polygon that stands for a circle
_KEYS = {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}


class LabelmeWriter(Writer):
    """``<name>.json`` beside a copy of each image. An object whose mask did not change since a Labelme file was
    read is written with the very shapes that it had; others as one ``mask`` shape, or as polygons, one a part,
    that share a ``group_id``."""

    def add(self, sheet: Sheet) -> list[Loss]:
        stem = self.sink.free(str(safe_name(sheet.file_name).with_suffix("")))
        suffix = PurePosixPath(sheet.file_name).suffix
        name = self.place(f"{stem}{suffix}", sheet)
        before = sheet.extra.get("labelme", {})
        losses, shapes = void_loss(sheet), list(before.get("others", ()))
        groups = _Groups(sheet)
        for entry in sheet.entries:
            made, lost = self._shapes(sheet, entry, groups)
            shapes += made
            losses += lost
        content = {
            "version": VERSION,
            "flags": {},
            **before.get("keys", {}),
            "shapes": shapes,
            "imagePath": PurePosixPath(name).name,
            "imageData": None,
            "imageHeight": sheet.size[0],
            "imageWidth": sheet.size[1],
        }
        self.sink.put(f"{stem}.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
        return losses

    def _shapes(self, sheet: Sheet, entry: Entry, groups: _Groups) -> tuple[list[dict[str, Any]], list[Loss]]:
        before = entry.extra.get("labelme", {})
        first = before.get("shapes", [{}])[0]
        if before and before["rle"] == entry.rle and not self.choices.polygons:
            return [{**shape, "label": entry.name} for shape in before["shapes"]], []
        if not entry.rle.area:
            return [], [empty_loss(sheet, entry)]
        base = {
            "label": entry.name or "object",
            "group_id": None,
            "description": "",
            "flags": {},
            **{k: v for k, v in first.items() if k not in ("label", "points", "shape_type", "mask")},
        }
        if not self.choices.polygons:
            return [base | _mask_shape(entry.rle)], []
        drawn = outline(entry.rle, self.choices.tolerance)
        if len(drawn.rings) > 1:
            base["group_id"] = groups.number(base["group_id"])
        made = [base | {"points": np.round(r, 2).tolist(), "shape_type": "polygon", "mask": None} for r in drawn.rings]
        return made, outline_losses(sheet, entry, drawn)


class _Groups:
    """Group numbers that no shape of the image has yet."""

    def __init__(self, sheet: Sheet) -> None:
        known = (s.get("group_id") for e in sheet.entries for s in e.extra.get("labelme", {}).get("shapes", ()))
        self._last = max((k for k in known if isinstance(k, int)), default=-1)

    def number(self, own: int | None) -> int:
        if own is None:
            self._last += 1
            return self._last
        return own


class Labelme(Exchange):
    """Wada, labelme. Polygons, rectangles, circles and masks become objects, those of one label and ``group_id``
    one object; points and lines are carried along.

    >>> Labelme().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "labelme"
    writer_type: ClassVar[type[Writer]] = LabelmeWriter

    def detect(self, folder: Path) -> bool:
        first = next((file for file in _files(folder)), None)
        if first is None:
            return False
        with first.open("rb") as stream:
            head = stream.read(1 << 16)
            stream.seek(max(0, first.stat().st_size - (1 << 16)))
            both = head + stream.read()
        return b'"shapes"' in both and b'"imagePath"' in both

    def read(self, folder: Path) -> Iterator[Sheet]:
        for file in _files(folder):
            yield _sheet(file, folder)

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        return lazy_samples(_files(folder), lambda p: _stem(p, folder), lambda p: _sheet(p, folder))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.json") if not p.name.startswith("."))


def _stem(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _sheet(file: Path, folder: Path) -> Sheet:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        path = Finder(file.parent).find(str(content["imagePath"]))
        name = file.relative_to(folder).with_name(safe_name(str(content["imagePath"])).name).as_posix()
        pixels = None
        if path is None and content.get("imageData"):
            pixels = partial(_decoded, content["imageData"])
        size = _size(content, path)
        entries, others, losses = _entries(content["shapes"], size, name)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{file}, which does not read ({error})", "a Labelme file: shapes and imagePath") from error
    keys = {k: v for k, v in content.items() if k in ("flags", "version") or k not in _KEYS}
    extra = {"labelme": {"keys": keys, "others": others}}
    return Sheet(name, size, tuple(entries), path, None, tuple(losses), extra, pixels)


def _size(content: Mapping[str, Any], path: Path | None) -> tuple[int, int]:
    if path is not None:
        return image_size(path)
    if content.get("imageHeight") and content.get("imageWidth"):
        return int(content["imageHeight"]), int(content["imageWidth"])
    shape = _decoded(content["imageData"]).shape
    return shape[0], shape[1]


def _entries(
    shapes: Sequence[Mapping[str, Any]], size: tuple[int, int], name: str
) -> tuple[list[Entry], list[Mapping[str, Any]], list[Loss]]:
    """Objects, the shapes that are none, and what that loses."""
    groups: dict[tuple[Any, ...], list[tuple[Mapping[str, Any], Rle]]] = {}
    others: list[Mapping[str, Any]] = []
    losses = []
    for number, shape in enumerate(shapes):
        rle = _rle(shape, size)
        if rle is None:
            others.append(shape)
            losses.append(Loss(name, f"{shape.get('shape_type')} shape without a mask left out", str(shape["label"])))
            continue
        group = shape.get("group_id")
        groups.setdefault(("alone", number) if group is None else (shape["label"], group), []).append((shape, rle))
    entries = []
    for number, members in enumerate(groups.values()):
        rle = union([r for _, r in members])
        kept = {"shapes": [s for s, _ in members], "rle": rle}
        entries.append(Entry(str(members[0][0]["label"]), rle, str(number), {"labelme": kept}))
    return entries, others, losses


def _rle(shape: Mapping[str, Any], size: tuple[int, int]) -> Rle | None:
    kind = shape.get("shape_type") or "polygon"
    points = np.array(shape["points"], np.float64).reshape(-1, 2)
    if kind == "mask":
        return _rle_of_mask(_decoded_mask(shape["mask"]), int(points[0, 0]), int(points[0, 1]), size)
    if kind in ("polygon", "oriented_rectangle"):
        return rle_of_rings([points], size) if len(points) > 2 else Rle.empty(size)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points.min(0), points.max(0)
        return rle_of_rings([np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])], size)
    if kind == "circle":
        angles = np.linspace(0, 2 * math.pi, _CIRCLE, endpoint=False)
        radius = math.dist(points[0], points[1])
        return rle_of_rings([points[0] + radius * np.stack((np.cos(angles), np.sin(angles)), 1)], size)
    return None


def _rle_of_mask(crop: Mask, x: int, y: int, size: tuple[int, int]) -> Rle:
    """A crop that may reach over the image's edge."""
    left, top = max(0, -x), max(0, -y)
    crop = crop[top : max(top, size[0] - y), left : max(left, size[1] - x)]
    return Rle.from_crop(crop, max(0, x), max(0, y), size) if crop.size else Rle.empty(size)


def _mask_shape(rle: Rle) -> dict[str, Any]:
    crop, x, y = rle.crop()
    buffer = BytesIO()
    PIL.Image.fromarray(crop.astype(np.uint8) * 255).convert("1").save(buffer, "PNG")
    corners = [[float(x), float(y)], [float(x + crop.shape[1] - 1), float(y + crop.shape[0] - 1)]]
    return {"points": corners, "shape_type": "mask", "mask": base64.b64encode(buffer.getvalue()).decode()}


def _decoded_mask(text: str) -> Mask:
    with PIL.Image.open(BytesIO(_bytes(text))) as image:
        return np.asarray(image.convert("L")) > 0


def _decoded(text: str) -> Image:
    with PIL.Image.open(BytesIO(_bytes(text))) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"base64: {error}") from error


FORMAT = Labelme()
