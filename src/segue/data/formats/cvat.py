"""CVAT 1.1, for images and for video: ``annotations.xml``; masks as run lengths in their box (lossless) or polygons."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from segue.core.errors import DataError, SegueError
from segue.data.formats.base import Format, WriteOptions, Writer, empty_loss, no_split, outline, stem_of, void_loss
from segue.data.formats.cvat_index import XmlIndex, frame_files
from segue.data.formats.locate import ImageLocator, safe_name
from segue.data.formats.output import OutputFolder
from segue.data.formats.signs import Listing, kind_of_xml
from segue.data.photo_size import stated_size
from segue.data.rasterize import rle_of_rings
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle, flat_of, runs_of, union

FILE = "annotations.xml"
_DEFAULTS = {"source": "manual", "occluded": "0"}
_KNOWN = {"label", "points", "rle", "left", "top", "width", "height"}
_TRACK = {"frame", "outside", "keyframe"}  # what only a track's shapes have


class CvatWriter(Writer):
    """``annotations.xml`` and ``images/``; polygons of one object share a ``group_id``."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._file, self._body = output.stream(FILE), output.stream(".images")
        self._count = 0

    def add(self, image: AnnotatedImage) -> list[Loss]:
        name = self.place(f"images/{safe_name(image.file_name)}", image).removeprefix("images/")
        height, width = image.size
        lines, losses, group = [], void_loss(image), 0
        for annotation in image.annotations:
            self.number(annotation.name)
            if not annotation.rle.area:
                losses.append(empty_loss(image, annotation))
            elif self.options.polygons:
                drawn = outline(annotation.rle, self.options.tolerance)
                group += len(drawn.rings) > 1
                losses += drawn.losses(image, annotation)
                for ring in drawn.rings:
                    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)
                    own = {"group_id": str(group)} if len(drawn.rings) > 1 else {}
                    lines.append(_shape("polygon", annotation, {"points": points, **own}))
            else:
                lines.append(_shape("mask", annotation, _mask(annotation.rle)))
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
        self.output.move(self._body, self._file)
        self._file.write(b"</annotations>\n")
        self.output.keep(self._file)


class Cvat(Format):
    """CVAT's own format, for images and for video. Polygons of one label and ``group_id`` are one object; boxes, points
    and lines hold no mask and are reported. A track gives an object in every frame that it is not outside of."""

    name = "cvat"
    writer_type = CvatWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        no_split(options, self.name)
        listing = Listing(folder)
        files = [file for file in listing.files(".xml") if kind_of_xml(file) == "cvat"]
        if not files:
            raise DataError(f"no CVAT annotations in {folder}", f"{FILE} with images or tracks")
        opened = [_File(file, listing.folder, options) for file in files]
        losses = [loss for file in opened for loss in file.losses]
        if not any(file.ids for file in opened):
            raise DataError(
                f"{', '.join(file.name for file in files)} without an image or a track",
                "CVAT for images 1.1 or for video 1.1",
            )
        places = [(file, row) for file in opened for row in range(len(file.ids))]

        def load(index: int) -> AnnotatedImage:
            file, row = places[index]
            return file.load(row)

        ids = [id for file in opened for id in file.ids]
        classes = list(dict.fromkeys(name for file in opened for name in file.classes))
        return DataSet(self.name, listing.folder, Samples(ids, load), classes, losses)


class _File:
    """One file: the places of its images or, for video, of its frames' shapes."""

    def __init__(self, file: Path, folder: Path, options: Options) -> None:
        self.file, self.index = file, XmlIndex(file)
        names = [name for name, _, _ in self.index.images]
        self._locator = ImageLocator(*options.places(folder / "images", folder), names=names)
        self.losses = self.index.losses
        meta = self.index.meta
        self.classes = [n for n in (e.findtext("name") for e in meta.iter("label")) if n] if meta is not None else []
        self.ids: Sequence[str]
        if self.index.images:
            self.ids = names
            if self.index.shapes:
                self.losses.append(Loss("", "tracks beside images left out", file=file.name))
        else:
            self._frames = list(frame_files(options.photos or folder, self.index).items())
            self.ids = [f"frame_{number:06d}.png" if path is None else path.name for number, path in self._frames]

    def load(self, row: int) -> AnnotatedImage:
        """The image, or the frame, in row ``row``."""
        try:
            return self._image(row) if self.index.images else self._frame(row)
        except SegueError as error:
            raise DataError(f"{self.ids[row]} of {self.file}: {error}") from error
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, ET.ParseError) as error:
            raise DataError(
                f"{self.ids[row]} of {self.file} that does not read ({type(error).__name__}: {error})",
                "polygon and mask elements as CVAT writes them",
            ) from error

    def _image(self, row: int) -> AnnotatedImage:
        name, start, length = self.index.images[row]
        element = self.index.element(start, length)
        path = self._locator.find(name)
        size = stated_size(element.get("height"), element.get("width"), path, name)
        return _annotated(name, size, path, list(element))

    def _frame(self, row: int) -> AnnotatedImage:
        number, path = self._frames[row]
        name, meta = self.ids[row], self.index.meta
        stated = [None if meta is None else meta.findtext(f".//original_size/{side}") for side in ("height", "width")]
        size = stated_size(stated[0], stated[1], path, name)
        shapes = []
        for track, start, length in self.index.shapes.get(number, ()):
            shape = self.index.element(start, length)
            of_track = {k: v for k, v in self.index.tracks[track].items() if k in ("label", "source", "group_id")}
            shape.attrib.update(of_track)
            shapes.append(shape)
        return _annotated(name, size, path, shapes)


def _annotated(name: str, size: tuple[int, int], path: Path | None, shapes: Sequence[ET.Element]) -> AnnotatedImage:
    groups: dict[tuple[Any, ...], list[tuple[ET.Element, Rle]]] = {}
    losses = []
    for number, shape in enumerate(shapes):
        rle = _rle(shape, size)
        if rle is None:
            losses.append(Loss(name, f"{shape.tag} without a mask left out", shape.get("label", "")))
            continue
        group = shape.get("group_id", "0")
        alone = shape.tag == "mask" or group in ("", "0")
        groups.setdefault((number,) if alone else (shape.attrib["label"], group), []).append((shape, rle))
    annotations = []
    for number, members in enumerate(groups.values()):
        first = members[0][0]
        kept = {k: v for k, v in first.attrib.items() if k not in _KNOWN}
        values = {a.attrib["name"]: a.text or "" for a in first.findall("attribute")}
        extra = {"cvat": {"keys": kept, "attributes": values}}
        layer = int(float(first.get("z_order") or 0))
        id = f"{stem_of(name)}#{number}"
        rle = union([rle for _, rle in members])
        annotations.append(Annotation(first.attrib["label"], rle, id, extra=extra, layer=layer))
    return AnnotatedImage(name, size, tuple(annotations), path, None, tuple(losses))


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


def _shape(tag: str, annotation: Annotation, own: Mapping[str, str]) -> str:
    before = annotation.extra.get("cvat", {})
    keys = {**_DEFAULTS, "z_order": str(annotation.layer), **before.get("keys", {}), **own}
    named = {"label": annotation.name or "object", **{k: v for k, v in keys.items() if k not in _TRACK}}
    attributes = "".join(f"{k}={quoteattr(v)} " for k, v in named.items())
    inside = "".join(
        f"<attribute name={quoteattr(k)}>{escape(v)}</attribute>" for k, v in before.get("attributes", {}).items()
    )
    return f"    <{tag} {attributes.rstrip()}>{inside}</{tag}>\n"
