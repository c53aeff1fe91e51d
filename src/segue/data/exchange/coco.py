"""COCO instances: run lengths (lossless) or polygons with slits; unknown keys kept; files of any size."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.data.exchange.base import (
    Choices,
    Entry,
    Exchange,
    Finder,
    Loss,
    Sheet,
    Writer,
    image_size,
    outline,
    outline_losses,
    safe_name,
)
from segue.data.exchange.coco_polygon import rle_of_polygons
from segue.data.exchange.jsonstream import element_at, elements
from segue.data.exchange.sink import Sink
from segue.data.rle import Rle, overlap, union

_ANNOTATION = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"}
_IMAGE = {"id", "file_name", "width", "height"}
CROWD = "crowd"


class CocoWriter(Writer):
    """``annotations/instances.json`` and ``images/``; compressed run lengths unless polygons are chosen.

    Void pixels become one crowd annotation an image. Images and annotations are numbered from 1 anew, in the
    order in which they come.
    """

    def __init__(self, sink: Sink, choices: Choices, names: Sequence[str] = ()) -> None:
        super().__init__(sink, choices, names)
        self._images = sink.stream("annotations/instances.json")
        self._annotations = sink.stream("annotations/.annotations")
        self._images.write(b'{"images":[')
        self._counts = [0, 0]

    def add(self, sheet: Sheet) -> list[Loss]:
        name = self.place(f"images/{safe_name(sheet.file_name)}", sheet).removeprefix("images/")
        self._counts[0] += 1
        number, (height, width) = self._counts[0], sheet.size
        kept = {k: v for k, v in sheet.extra.get("coco", {}).items() if k not in _IMAGE}
        self._put(self._images, 0, {"id": number, "file_name": name, "width": width, "height": height} | kept)
        losses = []
        for entry in sheet.entries:
            segmentation, lost = self._segmentation(sheet, entry)
            losses += lost
            self._annotation(number, entry, segmentation, 0)
        if sheet.ignore_mask is not None and sheet.ignore_mask.area:
            self._annotation(number, Entry(CROWD, sheet.ignore_mask), _run_lengths(sheet.ignore_mask), 1)
        return losses

    def finish(self) -> None:
        self._images.write(b'],"annotations":[')
        self.sink.move(self._annotations, self._images)
        kinds = [{"id": k + 1, "name": name} for name, k in self.classes.items()]
        self._images.write(b'],"categories":' + json.dumps(kinds).encode() + b"}")
        self.sink.keep(self._images)

    def _segmentation(self, sheet: Sheet, entry: Entry) -> tuple[Any, list[Loss]]:
        if not self.choices.polygons or not entry.rle.area:
            return _run_lengths(entry.rle), []
        drawn = outline(entry.rle, self.choices.tolerance)
        rings = [[round(float(v), 2) for v in ring.reshape(-1)] for ring in drawn.rings]
        losses = outline_losses(sheet, entry, drawn)
        if losses and self.choices.tolerance:  # as pycocotools will read it, rings united
            iou = overlap(rle_of_polygons(rings, entry.rle.size), entry.rle)
            losses = [Loss(one.image, one.what, one.object, iou) for one in losses]
        return rings, losses

    def _annotation(self, image: int, entry: Entry, segmentation: Any, crowd: int) -> None:
        x0, y0, x1, y1 = entry.rle.box
        kept = {k: v for k, v in entry.extra.get("coco", {}).items() if k not in _ANNOTATION}
        self._counts[1] += 1
        row = {
            "id": self._counts[1],
            "image_id": image,
            "category_id": self.number(entry.name) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": entry.rle.area,
            "iscrowd": crowd,
            "segmentation": segmentation,
        }
        self._put(self._annotations, 1, row | kept)

    def _put(self, file: BinaryIO, which: int, row: Mapping[str, Any]) -> None:
        comma = "," if self._counts[which] > 1 else ""
        file.write(f"{comma}\n{json.dumps(row, separators=(',', ':'))}".encode())


class Coco(Exchange):
    """Lin et al., ECCV 2014. Crowds become void pixels, unless ``keep_crowds``.

    >>> Coco().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "coco"
    writer_type: ClassVar[type[Writer]] = CocoWriter

    def detect(self, folder: Path) -> bool:
        return any(_looks_like_instances(file) for file in _candidates(folder))

    def read(self, folder: Path) -> Iterator[Sheet]:
        files = [file for file in _candidates(folder) if _looks_like_instances(file)]
        if not files:
            raise DataError(f"no COCO instances in {folder}", "annotations/*.json with images and annotations")
        for file in files:
            yield from _sheets(file, folder)

    def classes(self, folder: Path) -> Sequence[str]:
        for file in _candidates(folder):
            if _looks_like_instances(file):
                return list(_index(file).names.values())
        return ()


class _Index:
    """Where each image and each of its annotations stands in the file: three numbers an annotation."""

    def __init__(self) -> None:
        self.images: dict[Any, tuple[int, int]] = {}
        self.names: dict[Any, str] = {}
        self._places = array("q")
        self._rows: dict[Any, int] = {}
        self.sorted: NDArray[np.int64] = np.zeros((0, 3), np.int64)

    def annotation(self, image: Any, start: int, length: int) -> None:
        self._places.extend((self._rows.setdefault(image, len(self._rows)), start, length))

    def close(self) -> None:
        places = np.frombuffer(self._places, np.int64).reshape(-1, 3) if self._places else self.sorted
        self.sorted = places[np.argsort(places[:, 0], kind="stable")]

    def of_image(self, image: Any) -> list[tuple[int, int]]:
        row = self._rows.get(image, -1)
        low, high = np.searchsorted(self.sorted[:, 0], [row, row + 1])
        return [(int(start), int(length)) for _, start, length in self.sorted[low:high]]


def _index(file: Path) -> _Index:
    index = _Index()
    try:
        for element in elements(file):
            if not element.listed:
                continue
            if element.key == "images":
                index.images[element.value["id"]] = element.start, element.length
            elif element.key == "annotations":
                index.annotation(element.value["image_id"], element.start, element.length)
            elif element.key == "categories":
                index.names[element.value["id"]] = str(element.value["name"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{file}: an element without {error}", "COCO instances") from error
    index.close()
    return index


def _sheets(file: Path, folder: Path) -> Iterator[Sheet]:
    index = _index(file)
    split = file.stem.removeprefix("instances_")
    finder = Finder(folder / "images", folder, folder / split, folder / "images" / split, file.parent)
    with file.open("rb") as stream:
        for number, (start, length) in index.images.items():
            image = element_at(stream, start, length)
            rows = [element_at(stream, *place) for place in index.of_image(number)]
            try:
                yield _sheet(image, rows, index.names, finder)
            except (KeyError, TypeError, ValueError) as error:
                if isinstance(error, DataError):
                    raise DataError(f"image {image.get('file_name')} of {file}: {error}") from error
                raise DataError(f"image {number} of {file} that does not read ({error})", "COCO instances") from error


def _sheet(
    image: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], names: Mapping[Any, str], finder: Finder
) -> Sheet:
    name = str(image["file_name"])
    path = finder.find(name)
    if "height" in image and "width" in image:
        size = int(image["height"]), int(image["width"])
    elif path is not None:
        size = image_size(path)
    else:
        raise DataError(f"the image {name} without width and height", "both, as the file itself is not there")
    entries, ignore_mask, losses = [], None, []
    for row in rows:
        if not row.get("segmentation"):
            losses.append(Loss(name, "annotation without a mask", str(row.get("id", ""))))
            continue
        rle = decode(row["segmentation"], size)
        if row.get("iscrowd"):
            ignore_mask = rle if ignore_mask is None else union((ignore_mask, rle))
            continue
        kept = {k: v for k, v in row.items() if k not in _ANNOTATION}
        entries.append(Entry(names.get(row["category_id"], ""), rle, str(row["id"]), {"coco": kept} if kept else {}))
    kept = {k: v for k, v in image.items() if k not in _IMAGE}
    return Sheet(name, size, tuple(entries), path, ignore_mask, tuple(losses), {"coco": kept} if kept else {})


def decode(segmentation: Any, size: tuple[int, int]) -> Rle:
    """COCO ``segmentation`` -> the mask of ``size`` (H, W): polygons, whose rings are united, or run lengths as a
    list or as text. Raises ``DataError`` for anything else, or another size.

    >>> decode([[0, 0, 2, 0, 2, 1, 0, 1]], (2, 3)).area
    2
    """
    if isinstance(segmentation, list):
        return rle_of_polygons(segmentation, size)
    rle = Rle.from_coco(segmentation)
    if rle.size != size:
        raise DataError(f"a mask of size {list(rle.size)}", f"the image's size {list(size)}")
    return rle


def _run_lengths(rle: Rle) -> dict[str, Any]:
    return {"size": list(rle.size), "counts": rle.text}


def _candidates(folder: Path) -> list[Path]:
    return [*sorted((folder / "annotations").glob("*.json")), *sorted(folder.glob("*.json"))]


def _looks_like_instances(file: Path) -> bool:
    """By the keys of the file's beginning and end: reading all of a COCO to recognise it would take a minute."""
    with file.open("rb") as stream:
        head = stream.read(1 << 16)
        stream.seek(max(0, file.stat().st_size - (1 << 16)))
        both = head + stream.read()
    named = b'"annotations"' in both or (b'"image_id"' in both and b'"segmentation"' in both)
    return head.lstrip()[:1] == b"{" and named and b'"images"' in both
