"""COCO instances: run lengths (lossless) or polygons with slits; unknown keys kept; files of any size."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, SegueError
from segue.data.formats.base import Format, WriteOptions, Writer, outline, stem_of
from segue.data.formats.json_stream import element_at, elements, open_json
from segue.data.formats.locate import ImageLocator, safe_name
from segue.data.formats.output import OutputFolder
from segue.data.formats.signs import Listing
from segue.data.photo_size import stated_size
from segue.data.rasterize import rle_of_coco_polygons
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle, overlap, union

_ANNOTATION = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"}
_IMAGE = {"id", "file_name", "width", "height"}
_LISTS = ("images", "annotations", "categories")
CROWD = "crowd"


class CocoWriter(Writer):
    """``annotations/instances.json`` and ``images/``; compressed run lengths unless polygons are chosen.

    Void pixels become one crowd annotation an image. Images and annotations are numbered from 1 anew, in the
    order in which they come.
    """

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._images = output.stream("annotations/instances.json")
        self._annotations = output.stream("annotations/.annotations")
        self._images.write(b'{"images":[')
        self._counts = [0, 0]

    def add(self, image: AnnotatedImage) -> list[Loss]:
        name = self.place(f"images/{safe_name(image.file_name)}", image).removeprefix("images/")
        self._counts[0] += 1
        number, (height, width) = self._counts[0], image.size
        kept = {k: v for k, v in image.extra.get("coco", {}).items() if k not in _IMAGE}
        self._put(self._images, 0, {"id": number, "file_name": name, "width": width, "height": height} | kept)
        losses = []
        for annotation in image.annotations:
            segmentation, lost = self._segmentation(image, annotation)
            losses += lost
            self._put_annotation(number, annotation, segmentation, 0)
        if image.ignore_rle is not None and image.ignore_rle.area:
            self._put_annotation(number, Annotation(CROWD, image.ignore_rle), _run_lengths(image.ignore_rle), 1)
        return losses

    def finish(self) -> None:
        self._images.write(b'],"annotations":[')
        self.output.move(self._annotations, self._images)
        kinds = [{"id": k + 1, "name": name} for name, k in self.classes.items()]
        self._images.write(b'],"categories":' + json.dumps(kinds).encode() + b"}")
        self.output.keep(self._images)

    def _segmentation(self, image: AnnotatedImage, annotation: Annotation) -> tuple[Any, list[Loss]]:
        if not self.options.polygons or not annotation.rle.area:
            return _run_lengths(annotation.rle), []
        drawn = outline(annotation.rle, self.options.tolerance)
        rings = [[round(float(v), 2) for v in ring.reshape(-1)] for ring in drawn.rings]
        losses = drawn.losses(image, annotation)
        if losses and self.options.tolerance:  # as pycocotools will read it, rings united
            iou = overlap(rle_of_coco_polygons(rings, annotation.rle.size), annotation.rle)
            losses = [replace(loss, iou=iou) for loss in losses]
        return rings, losses

    def _put_annotation(self, image: int, annotation: Annotation, segmentation: Any, crowd: int) -> None:
        x0, y0, x1, y1 = annotation.rle.box
        kept = {k: v for k, v in annotation.extra.get("coco", {}).items() if k not in _ANNOTATION}
        self._counts[1] += 1
        row = {
            "id": self._counts[1],
            "image_id": image,
            "category_id": self.number(annotation.name) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": annotation.rle.area,
            "iscrowd": crowd,
            "segmentation": segmentation,
        }
        self._put(self._annotations, 1, row | kept)

    def _put(self, file: BinaryIO, which: int, row: Mapping[str, Any]) -> None:
        comma = "," if self._counts[which] > 1 else ""
        file.write(f"{comma}\n{json.dumps(row, separators=(',', ':'))}".encode())


class Coco(Format):
    """Lin et al., ECCV 2014, and LVIS. One object an annotation, with its category's name; crowds become pixels that
    never count. ``split`` chooses among several files by a part of their names.

    Ids are matched by value, whether they are numbers or text; what fits none is a loss with its id.
    """

    name = "coco"
    writer_type = CocoWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        listing = Listing(folder)
        files = [file for file in listing.json_files("coco") if options.split is None or options.split in file.stem]
        if not files:
            of = f" of split {options.split!r}" if options.split else ""
            raise DataError(f"no COCO instances{of} in {folder}", "JSON files with images, annotations and categories")
        if len(files) > 1 and options.split is None and not options.all_splits:
            raise DataError(
                f"{len(files)} JSON files: {', '.join(p.name for p in files)}",
                "one",
                "choose one with the split, a part of its name",
            )
        opened = [CocoFile(file, listing.folder, options) for file in files]
        return joined_files(self.name, listing.folder, opened)


class CocoFile:
    """One file, of which only the places of its images and annotations are in memory.

    ``ids`` are the file names of its images, ``classes`` the category names, ``losses`` the annotations that belong
    to no image. Raises ``DataError`` for a file that is no COCO.
    """

    def __init__(self, file: Path, folder: Path, options: Options) -> None:
        self.file, self.folder = file, folder
        self.index = _Index(file)
        self.ids: Sequence[str] = self.index.file_names
        self.classes: Sequence[str] = list(self.index.names.values())
        self.losses: Sequence[Loss] = self.index.losses()
        split = file.stem.removeprefix("instances_")
        self.locator = ImageLocator(
            *options.places(folder / "images", folder, folder / split, folder / "images" / split, file.parent),
            names=self.index.file_names,
        )

    def load(self, row: int) -> AnnotatedImage:
        """The image in row ``row`` with its annotations."""
        with open_json(self.file) as stream:
            image = element_at(stream, *self.index.images[row])
            rows = [element_at(stream, *place) for place in self.index.of_row(row)]
        name = self.ids[row]
        try:
            return self.annotated(name, image, rows)
        except SegueError as error:
            raise DataError(f"image {name} of {self.file}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise DataError(
                f"image {name} of {self.file} that does not read ({type(error).__name__}: {error})", "COCO instances"
            ) from error

    def annotated(self, name: str, image: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> AnnotatedImage:
        """The annotations of an image's rows."""
        path = self.locator.find(name)
        size = stated_size(image.get("height"), image.get("width"), path, name)
        annotations: list[Annotation] = []
        crowds, losses, stem = [], [], stem_of(name)
        for row in rows:
            which = f"annotation {row.get('id', '?')}"
            if not row.get("segmentation"):
                what = "annotation with a box alone" if row.get("bbox") else "annotation without a mask"
                losses.append(Loss(name, what, which, file=self.file.name))
                continue
            rle = _named(which, row["segmentation"], size)
            crowd, doubt = flag(row.get("iscrowd"))
            if doubt:
                losses.append(Loss(name, doubt, which, 1.0, self.file.name))
            if crowd:
                crowds.append(rle)
                continue
            doubt = self.index.doubt(row.get("category_id"))
            if doubt:
                losses.append(Loss(name, f"{doubt}: object without a class", which, 1.0, self.file.name))
            kind = self.index.names.get(key_of(row.get("category_id")), "")
            id = f"{stem}#{row.get('id', len(annotations))}"
            annotations.append(Annotation(kind, rle, id, extra=_unknown(row, _ANNOTATION)))
        extra = _unknown(image, _IMAGE)
        ignore_rle = union(crowds) if crowds else None
        return AnnotatedImage(name, size, tuple(annotations), path, ignore_rle, tuple(losses), extra)


def joined_files(format: str, folder: Path, files: Sequence[CocoFile]) -> DataSet:
    """The images of several files one after another."""
    ends = np.cumsum([len(file.ids) for file in files])

    def load(index: int) -> AnnotatedImage:
        which = int(np.searchsorted(ends, index, side="right"))
        return files[which].load(index - int(ends[which - 1] if which else 0))

    samples = Samples([id for file in files for id in file.ids], load)
    classes = list(dict.fromkeys(name for file in files for name in file.classes))
    return DataSet(format, folder, samples, classes, [loss for file in files for loss in file.losses])


class _Index:
    """Where each image and each of its annotations stands in the file: three numbers an annotation."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.images: list[tuple[int, int]] = []
        self.file_names: list[str] = []
        self.names: dict[str, str] = {}
        self.stuff: set[str] = set()  # category ids that are no things, where the file tells
        self._rows: dict[str, int] = {}
        self._twice: dict[str, list[str]] = {}
        self._classes: dict[str, list[str]] = {}
        self._strays: list[str] = []
        places = array("q")
        self._wanted: dict[str, int] = {}
        try:
            for element in elements(file):
                if element.key in _LISTS and not element.listed and element.value is not None:
                    kind = "an object" if isinstance(element.value, dict) else type(element.value).__name__
                    raise DataError(f"'{element.key}' of {file}, which is {kind}", "a list")
                if not element.listed or element.key not in _LISTS:
                    continue
                if element.key == "images":
                    self._add_image(element.value, element.start, element.length)
                elif element.key == "annotations":
                    if not isinstance(element.value, dict) or "image_id" not in element.value:
                        id = element.value.get("id", "?") if isinstance(element.value, dict) else "?"
                        self._strays.append(f"annotation {id}")
                        continue
                    image = key_of(element.value["image_id"])
                    number = self._wanted.setdefault(image, len(self._wanted))
                    places.extend((number, element.start, element.length))
                else:
                    self._classes.setdefault(key_of(element.value["id"]), []).append(name_of(element.value["name"]))
                    if element.value.get("isthing") == 0:
                        self.stuff.add(key_of(element.value["id"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: an element of {element.key} without {error}", "COCO instances") from error
        every = {id: list(dict.fromkeys(names)) for id, names in self._classes.items()}
        self.names = {id: names[0] for id, names in every.items() if len(names) == 1 and names[0]}
        self._classes = every
        rows = np.frombuffer(places, np.int64).reshape(-1, 3) if places else np.zeros((0, 3), np.int64)
        number_to_row = np.full(len(self._wanted), -1)
        for image, number in self._wanted.items():
            number_to_row[number] = self._rows.get(image, -1) if image not in self._twice else -1
        rows = np.column_stack((number_to_row[rows[:, 0]], rows)) if rows.size else np.zeros((0, 4), np.int64)
        self.sorted: NDArray[np.int64] = rows[np.argsort(rows[:, 0], kind="stable")]

    def _add_image(self, image: Mapping[str, Any], start: int, length: int) -> None:
        key, name = key_of(image["id"]), name_of_image(image)
        if key in self._rows:
            self._twice.setdefault(key, [self.file_names[self._rows[key]]]).append(name)
        self._rows[key] = len(self.images)
        self.images.append((start, length))
        self.file_names.append(name)

    def of_row(self, row: int) -> list[tuple[int, int]]:
        """(start, length) of the annotations of the image in this row."""
        low, high = np.searchsorted(self.sorted[:, 0], [row, row + 1])
        return [(int(start), int(length)) for _, _, start, length in self.sorted[low:high]]

    def doubt(self, category: object) -> str:
        """Why a category id means no class; '' where it does."""
        names = self._classes.get(key_of(category))
        if names is None:
            return f"category id {category!r} is not listed"
        if len(names) > 1:
            return f"category id {category!r} is that of {' and '.join(names)}"
        return "" if names[0] else f"category id {category!r} has no name"

    def losses(self) -> list[Loss]:
        """The annotations whose image id is not listed, that of several images, or not there; and categories of one
        name, which become one."""
        return [*self._same_names(), *self._without_image()]

    def _same_names(self) -> Iterator[Loss]:
        ids: dict[str, list[str]] = {}
        for id, name in self.names.items():
            ids.setdefault(name, []).append(id)
        for name, several in ids.items():
            if len(several) > 1:
                yield Loss("", f"categories {', '.join(several)} have one name", name, 1.0, self.file.name)

    def _without_image(self) -> list[Loss]:
        strays = [Loss("", "annotation without an image id", stray, file=self.file.name) for stray in self._strays]
        unresolved = self.sorted[self.sorted[:, 0] < 0]
        if not len(unresolved) and not self._twice:
            return strays
        keys, lost = list(self._wanted), strays
        with open_json(self.file) as stream:
            for _, number, start, length in unresolved.tolist():
                id = element_at(stream, start, length).get("id", "?")
                images = self._twice.get(keys[number])
                of = f"is that of {' and '.join(images)}" if images else "is not listed"
                lost.append(Loss("", f"image id {keys[number]} {of}", f"annotation {id}", file=self.file.name))
        return lost


def key_of(id: object) -> str:
    """An id by its value: 7, 7.0 and "7" are one.

    >>> key_of(7.0), key_of("7"), key_of(7)
    ('7', '7', '7')
    """
    return str(int(id)) if isinstance(id, float) and id.is_integer() else str(id).strip()


def name_of(value: object) -> str:
    """A class name as text; '' for none.

    >>> name_of(3), name_of(None)
    ('3', '')
    """
    return "" if value is None else str(value)


def name_of_image(image: Mapping[str, Any]) -> str:
    """The file name, or the end of LVIS's address.

    >>> name_of_image({"coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg"})
    'val2017/000000397133.jpg'
    """
    if image.get("file_name"):
        return str(image["file_name"])
    address = urlparse(str(image["coco_url"])).path
    return "/".join(PurePosixPath(address).parts[-2:])


def decode(segmentation: Any, size: tuple[int, int]) -> Rle:
    """COCO ``segmentation`` -> the mask of ``size`` (H, W): polygons, whose rings are united, or run lengths as a
    list or as text. Raises ``DataError`` for anything else, or another size.

    >>> decode([[0, 0, 2, 0, 2, 1, 0, 1]], (2, 3)).area
    2
    """
    if isinstance(segmentation, list):
        single = bool(segmentation) and all(isinstance(v, (int, float)) for v in segmentation)
        return rle_of_coco_polygons([segmentation] if single else segmentation, size)
    rle = Rle.from_coco(segmentation)
    if rle.size != size:
        raise DataError(f"a mask of size {list(rle.size)}", f"the image's size {list(size)}")
    return rle


def _named(which: str, segmentation: Any, size: tuple[int, int]) -> Rle:
    try:
        return decode(segmentation, size)
    except DataError as error:
        raise DataError(f"{error.arrived} in {which}", error.expected, error.fix) from error


def flag(value: object) -> tuple[bool, str]:
    """iscrowd as a truth value, and what to say where it is no such value."""
    text = str(value).strip().lower()
    if text in ("none", "", "0", "0.0", "false"):
        return False, ""
    if text in ("1", "1.0", "true"):
        return True, ""
    return False, f"iscrowd {value!r} is neither 0 nor 1: read as an object"


def _unknown(row: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    rest = {k: v for k, v in row.items() if k not in known}
    return {"coco": rest} if rest else {}


def _run_lengths(rle: Rle) -> dict[str, Any]:
    return {"size": list(rle.size), "counts": rle.text}
