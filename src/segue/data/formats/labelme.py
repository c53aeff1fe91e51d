"""Labelme: a JSON file an image; masks as ``mask`` shapes (lossless) or polygons; unknown keys kept."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL.Image

from segue.core.errors import DataError, SegueError
from segue.core.files import natural_sorted, read_json
from segue.core.types import Image, Mask
from segue.data.formats.base import Format, Writer, empty_loss, no_split, outline, stem_of, void_loss
from segue.data.formats.coco import key_of, name_of
from segue.data.formats.embedded import image_of_base64, mask_of_base64
from segue.data.formats.locate import ImageLocator, safe_name
from segue.data.formats.signs import Listing, kind_of_json
from segue.data.photo_size import stated_size
from segue.data.rasterize import rle_of_rings
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle, union

VERSION = "5.5.0"  # of the file format written: the first with "mask" shapes and "description"
_CIRCLE = 180  # corners of the polygon that stands for a circle
_KEYS = {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}


class LabelmeWriter(Writer):
    """``<name>.json`` beside a copy of each image. An object whose mask did not change since a Labelme file was
    read is written with the very shapes that it had; others as one ``mask`` shape, or as polygons, one a part,
    that share a ``group_id``."""

    def add(self, image: AnnotatedImage) -> list[Loss]:
        stem = self.output.free(str(safe_name(image.file_name).with_suffix("")))
        suffix = PurePosixPath(image.file_name).suffix
        name = self.place(f"{stem}{suffix}", image)
        before = image.extra.get("labelme", {})
        losses, shapes = void_loss(image), list(before.get("others", ()))
        groups = _Groups(image)
        for annotation in image.annotations:
            made, lost = self._shapes(image, annotation, groups)
            shapes += made
            losses += lost
        content = {
            "version": VERSION,
            "flags": {},
            **before.get("keys", {}),
            "shapes": shapes,
            "imagePath": PurePosixPath(name).name,
            "imageData": None,
            "imageHeight": image.size[0],
            "imageWidth": image.size[1],
        }
        self.output.put(f"{stem}.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
        return losses

    def _shapes(
        self, image: AnnotatedImage, annotation: Annotation, groups: _Groups
    ) -> tuple[list[dict[str, Any]], list[Loss]]:
        before = annotation.extra.get("labelme", {})
        first = before.get("shapes", [{}])[0]
        if before and before["rle"] == annotation.rle and not self.options.polygons:
            return [{**shape, "label": annotation.name} for shape in before["shapes"]], []
        if not annotation.rle.area:
            return [], [empty_loss(image, annotation)]
        base = {
            "label": annotation.name or "object",
            "group_id": None,
            "description": "",
            "flags": {},
            **{k: v for k, v in first.items() if k not in ("label", "points", "shape_type", "mask")},
        }
        if not self.options.polygons:
            return [base | _mask_shape(annotation.rle)], []
        drawn = outline(annotation.rle, self.options.tolerance)
        if len(drawn.rings) > 1:
            base["group_id"] = groups.number(base["group_id"])
        made = [base | {"points": np.round(r, 2).tolist(), "shape_type": "polygon", "mask": None} for r in drawn.rings]
        return made, drawn.losses(image, annotation)


class _Groups:
    """Group numbers that no shape of the image has yet."""

    def __init__(self, image: AnnotatedImage) -> None:
        known = (s.get("group_id") for a in image.annotations for s in a.extra.get("labelme", {}).get("shapes", ()))
        self._last = max((k for k in known if isinstance(k, int)), default=-1)

    def number(self, own: int | None) -> int:
        if own is None:
            self._last += 1
            return self._last
        return own


class Labelme(Format):
    """Wada, labelme. Polygons, rectangles, circles and masks become objects, those of one label and ``group_id``
    one object; points and lines are carried along. Files may lie beside the images or in a folder of their own."""

    name = "labelme"
    writer_type = LabelmeWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        no_split(options, self.name)
        listing = Listing(folder)
        every = list(listing.files(".json"))
        files = natural_sorted([file for file in every if kind_of_json(file) == "labelme"])
        if not files:
            raise DataError(f"no Labelme file in {folder}", "JSON files with shapes and imagePath")
        others = sorted(set(every) - set(files))
        losses = [Loss("", "JSON file that is no Labelme file left out", file=file.name) for file in others]
        locator = ImageLocator(*options.places(listing.folder))
        ids = [file.relative_to(listing.folder).with_suffix("").as_posix() for file in files]
        samples = Samples(ids, lambda index: _annotated(files[index], listing.folder, locator))
        return DataSet(self.name, listing.folder, samples, (), losses)


def _annotated(file: Path, folder: Path, locator: ImageLocator) -> AnnotatedImage:
    try:
        content = read_json(file)
        stated = str(content["imagePath"]) if content.get("imagePath") else f"{file.stem}.png"
        path = _image(stated, file, folder, locator)
        name = file.relative_to(folder).with_name(safe_name(stated).name).as_posix()
        if path is not None and path.is_relative_to(folder):
            name = path.relative_to(folder).as_posix().removeprefix("images/")
        pixels = None
        if path is None and content.get("imageData"):
            pixels = partial(image_of_base64, content["imageData"], file.name)
        size = _size(content, path, pixels, name)
        annotations, others, losses = _annotations(content["shapes"], size, name)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        what = error if isinstance(error, SegueError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{file}, which does not read ({what})", "a Labelme file: shapes and imagePath") from error
    keys = {k: v for k, v in content.items() if k in ("flags", "version") or k not in _KEYS}
    extra = {"labelme": {"keys": keys, "others": others}}
    return AnnotatedImage(name, size, tuple(annotations), path, None, tuple(losses), extra, pixels)


def _image(stated: str, file: Path, folder: Path, locator: ImageLocator) -> Path | None:
    """The image: where the path leads, else by its name, else the one beside the file that is named like it."""
    direct = Path(os.path.normpath(file.parent / stated.replace("\\", "/")))
    if direct.is_file() and direct.is_relative_to(folder):
        return direct
    beside = ImageLocator(file.parent)
    here = file.parent / safe_name(stated).name
    return here if here.is_file() else locator.find(stated) or beside.any_suffix(file.stem)


def _size(
    content: Mapping[str, Any], path: Path | None, pixels: Callable[[], Image] | None, name: str
) -> tuple[int, int]:
    if not content.get("imageHeight") and pixels is not None:
        shape = pixels().shape
        return shape[0], shape[1]
    return stated_size(content.get("imageHeight"), content.get("imageWidth"), path, name)


def _annotations(
    shapes: Sequence[Mapping[str, Any]], size: tuple[int, int], name: str
) -> tuple[list[Annotation], list[Mapping[str, Any]], list[Loss]]:
    """Objects, the shapes that are none, and what that loses."""
    groups: dict[tuple[Any, ...], list[tuple[Mapping[str, Any], Rle]]] = {}
    others: list[Mapping[str, Any]] = []
    losses = []
    for number, shape in enumerate(shapes):
        rle = _rle(shape, size, name)
        if rle is None:
            others.append(shape)
            losses.append(Loss(name, f"{shape.get('shape_type')} shape without a mask left out", str(shape["label"])))
            continue
        group = shape.get("group_id")
        key = ("alone", number) if group is None else (name_of(shape["label"]), key_of(group))
        groups.setdefault(key, []).append((shape, rle))
        box = _box_that_differs(shape)
        if box:
            losses.append(Loss(name, box, name_of(shape["label"]), 1.0))
    annotations = []
    for number, members in enumerate(groups.values()):
        rle = union([r for _, r in members])
        extra = {"labelme": {"shapes": [s for s, _ in members], "rle": rle}}
        annotations.append(Annotation(name_of(members[0][0]["label"]), rle, f"{stem_of(name)}#{number}", extra=extra))
    return annotations, others, losses


def _rle(shape: Mapping[str, Any], size: tuple[int, int], name: str) -> Rle | None:
    kind = shape.get("shape_type") or "polygon"
    points = np.array(shape["points"], np.float64).reshape(-1, 2)
    if kind == "mask":
        return _rle_of_mask(mask_of_base64(shape["mask"], name), int(points[0, 0]), int(points[0, 1]), size)
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


def _box_that_differs(shape: Mapping[str, Any]) -> str:
    """What to say of a mask that its box does not fit; its pixels count, from the first corner on."""
    points = shape["points"]
    if shape.get("shape_type") != "mask" or len(points) < 2:
        return ""
    height, width = mask_of_base64(shape["mask"], "").shape
    sides = [abs(int(points[1][k]) - int(points[0][k])) for k in (0, 1)]
    if abs(sides[0] + 1 - width) < 2 and abs(sides[1] + 1 - height) < 2:
        return ""
    return f"mask of {width} x {height} in a box of {sides[0] + 1} x {sides[1] + 1}: placed by the box's corner"


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
