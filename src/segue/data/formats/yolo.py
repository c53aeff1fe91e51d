"""YOLO segmentation: one line an object, one ring of relative coordinates; holes by slits, parts by bridges."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.files import natural_sorted, read_json, read_text
from segue.data.formats.base import (
    SPLITS,
    Format,
    WriteOptions,
    Writer,
    empty_loss,
    outline,
    split_in,
    stem_of,
    void_loss,
)
from segue.data.formats.locate import is_image
from segue.data.formats.output import OutputFolder
from segue.data.formats.signs import Listing, label_files
from segue.data.photo_size import photo_size
from segue.data.rasterize import rle_of_rings
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples

VAL_EVERY = 5
_DECIMALS = 7  # a hundredth of a pixel in an image 100,000 pixels wide
_BEYOND = 2.0  # relative coordinates beyond this are no slip of the mouse: they are pixels, or damaged
_LISTS = ("classes.txt", "obj.names", "data.names", "labels.txt", "_darknet.labels")


class YoloWriter(Writer):
    """``images/<split>/``, ``labels/<split>/`` and a ``data.yaml`` that training takes as it is. An image without
    objects has an empty file; of images without a split every ``VAL_EVERY``-th is for validation."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._splits: dict[str, int] = dict.fromkeys(SPLITS, 0)

    def add(self, image: AnnotatedImage) -> list[Loss]:
        last = sum(self._splits.values()) % VAL_EVERY == VAL_EVERY - 1
        split, name = self.split_of(image, "val" if last else "train")
        self._splits[split] += 1
        stem = self.output.free(f"{split}/{name.with_suffix('')}")
        self.place(f"images/{stem}{name.suffix}", image)
        height, width = image.size
        lines, losses = [], void_loss(image)
        for annotation in image.annotations:
            number = self.number(annotation.name)
            if not annotation.rle.area:
                losses.append(empty_loss(image, annotation))
                continue
            drawn = outline(annotation.rle, self.options.tolerance, single=True)
            losses += drawn.losses(image, annotation)
            relative = np.clip(drawn.rings[0] / (width, height), 0, 1).reshape(-1)
            lines.append(f"{number}" + f" %.{_DECIMALS}f" * relative.size % tuple(relative.tolist()))
        self.output.put(f"labels/{stem}.txt", "".join(f"{line}\n" for line in lines).encode())
        return losses

    def finish(self) -> None:
        names = "".join(f"  {k}: {json.dumps(name, ensure_ascii=False)}\n" for name, k in self.classes.items())
        # without ``path`` it is the file's own folder; a split that is named and not there stops a training
        there = [split for split in SPLITS if self._splits[split]] or [SPLITS[0]]
        places = {"train": there[0], "val": "val" if "val" in there else there[0]}
        places |= {"test": "test"} if "test" in there else {}
        head = "".join(f"{split}: images/{place}\n" for split, place in places.items())
        self.output.put("data.yaml", f"{head}names:\n{names}".encode() if names else f"{head}names: {{}}\n".encode())


class Yolo(Format):
    """The layout of Ultralytics, a folder ``labels`` where the path of the image says ``images``, and that of Darknet,
    text files beside the images. Class names stand in ``data.yaml``, ``classes.txt`` or ``obj.names``."""

    name = "yolo"
    writer_type = YoloWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        listing = Listing(folder)
        classes = _Classes(listing)
        labels = {file: file for file in label_files(listing)}
        images = _images(listing)
        pairs = [(image, _label_file(image, folder, labels)) for image in images]
        left = _orphans(pairs, labels)
        alone = Counter(image.stem for image, label in pairs if label is None)
        pairs = [(image, label or _elsewhere(image, left, alone)) for image, label in pairs]
        losses = [*classes.losses, *(_orphan(file) for file in left.values())]
        if options.split is not None:
            pairs = [pair for pair in pairs if options.split in _name(pair[0], folder).parts]
        names = [str(_name(image, folder)) for image, _ in pairs]

        def load(index: int) -> AnnotatedImage:
            image, label = pairs[index]
            return _annotated(image, names[index], label, classes)

        return DataSet(self.name, folder, Samples(names, load), classes.names, losses)


class _Classes:
    """Class ``names`` by number, how many values the key points of a pose row have, and what does not fit together."""

    def __init__(self, listing: Listing) -> None:
        self.losses: list[Loss] = []
        self.pose = 0
        known: list[tuple[str, list[str]]] = []
        for file in sorted(listing.files(".yaml", ".yml"), key=lambda p: (len(p.parts), p.stem != "data", p)):
            names = self._of_yaml(file)
            if names:
                known.append((file.name, names))
        for file in listing.files(".txt", ".names", ".labels"):
            if file.name in _LISTS:
                known.append((file.name, _of_lines(read_text(file))))
        for file in listing.files(".json"):
            if file.name == "notes.json":  # Label Studio's
                known.append((file.name, _of_notes(file)))
        self.names = known[0][1] if known else []
        for file_name, names in known[1:]:
            if names != self.names:
                what = f"class names that differ from those of {known[0][0]}, which count"
                self.losses.append(Loss("", what, file=file_name))
        for name in sorted({name for name in self.names if self.names.count(name) > 1}):
            numbers = ", ".join(str(k) for k, one in enumerate(self.names) if one == name)
            self.losses.append(Loss("", f"classes {numbers} have one name", name, 1.0, known[0][0]))
        if not known:
            self.losses.append(Loss("", "no class names: classes are called by their numbers", iou=1.0))

    def _of_yaml(self, file: Path) -> list[str]:
        try:
            content = yaml.load(read_text(file), yaml.BaseLoader)
            if not isinstance(content, dict) or not content.get("names"):
                return []
            names: Any = content["names"]
            if isinstance(names, str):
                raise TypeError(f"names: {names}")
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            known = {int(k): str(name) for k, name in pairs}
            self.pose = self.pose or math.prod(int(n) for n in content.get("kpt_shape", (0,)))
        except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{file}, which does not read ({why})", "names: a list, or numbers with names") from error
        if max(known, default=0) > 1_000_000 or min(known, default=0) < 0:
            raise DataError(f"class numbers up to {max(known)} in {file}", "numbers from 0 on")
        return [known.get(k, str(k)) for k in range(max(known, default=-1) + 1)]


def _of_lines(text: str) -> list[str]:
    """The names in a list, one a line; an empty line between others keeps its number."""
    return [line.strip() or str(k) for k, line in enumerate(text.rstrip().splitlines())]


def _of_notes(file: Path) -> list[str]:
    try:
        rows = {int(c["id"]): str(c["name"]) for c in read_json(file)["categories"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}, which does not read ({error})", "categories with id and name") from error
    return [rows.get(k, str(k)) for k in range(max(rows, default=-1) + 1)]


def _images(listing: Listing) -> list[Path]:
    """The images: those below a folder ``images`` where there is one, else all, in natural order."""
    below = [listing.folder / folder / name for folder, names in listing.names.items() for name in names]
    images = [path for path in below if is_image(path)]
    inside = [path for path in images if "images" in path.relative_to(listing.folder).parts[:-1]]
    return natural_sorted(inside or images)


def _name(image: Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(*(part for part in image.relative_to(folder).parts if part != "images"))


def _label_file(image: Path, folder: Path, labels: Mapping[Path, Path]) -> Path | None:
    """The file under ``labels`` where the image lies under ``images``, or the one beside it."""
    parts = list(image.relative_to(folder).with_suffix(".txt").parts)
    places = [image.with_suffix(".txt")]
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        places.insert(0, folder.joinpath(*parts[:last], "labels", *parts[last + 1 :]))
    return next((place for place in places if place in labels), None)


def _orphans(pairs: Sequence[tuple[Path, Path | None]], labels: Mapping[Path, Path]) -> dict[str, Path]:
    """Label files that no image has by its place, by stem; of several of one stem under their paths."""
    used = {label for _, label in pairs}
    left: dict[str, Path] = {}
    for file in labels:
        if file not in used:
            left[str(file) if file.stem in left else file.stem] = file
    return left


def _elsewhere(image: Path, left: dict[str, Path], alone: Mapping[str, int]) -> Path | None:
    """The label file of this stem in some other folder, where only one image can be meant by it."""
    label = left.get(image.stem)
    if label is None or alone[image.stem] > 1:
        return None
    splits = [split for split in (split_in(image.parts), split_in(label.parts)) if split]
    return left.pop(image.stem) if len(set(splits)) < 2 else None


def _orphan(file: Path) -> Loss:
    lines = sum(bool(line.strip()) for line in read_text(file).splitlines())
    return Loss("", f"label file without an image: {lines} lines left out", file=file.name)


def _annotated(image: Path, name: str, file: Path | None, classes: _Classes) -> AnnotatedImage:
    size = photo_size(image)
    annotations: list[Annotation] = []
    losses: list[Loss] = []
    for number, line in enumerate(read_text(file).splitlines() if file is not None else (), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            kind, flat = _class_number(fields[0]), np.array(fields[1:], np.float64)
            what = _no_mask(flat, classes.pose)
            if what:
                losses.append(Loss(name, what, f"line {number}"))
                continue
            flat, note = _relative(flat, size)
        except ValueError as error:
            raise DataError(
                f"line {number} of {file}, which does not read ({error})",
                "<class> x1 y1 x2 y2 x3 y3 ..., relative to the image's size",
            ) from error
        if note:
            losses.append(Loss(name, note, f"line {number}", 1.0))
        if kind >= len(classes.names) and classes.names:
            losses.append(Loss(name, f"class {kind} has no name", f"line {number}", 1.0))
        rle = rle_of_rings([flat.reshape(-1, 2) * (size[1], size[0])], size)
        label = classes.names[kind] if kind < len(classes.names) else str(kind)
        annotations.append(Annotation(label, rle, f"{stem_of(name)}#{number}"))
    split = split_in(PurePosixPath(name).parts[:-1])
    return AnnotatedImage(name, size, tuple(annotations), image, losses=tuple(losses), group=split)


def _class_number(text: str) -> int:
    number = float(text)
    if not number.is_integer() or number < 0:
        raise ValueError(f"the class {text}")
    return int(number)


def _no_mask(flat: NDArray[np.float64], pose: int) -> str:
    """What a row is that holds no polygon: a box, with or without a score, or key points; '' for a polygon."""
    if not np.isfinite(flat).all():
        raise ValueError("numbers that are not finite")
    if flat.size in (4, 5) or (flat.size == 6 and flat[5] > 1 and flat[:5].max() <= 1):
        return "box without a mask left out"  # with a score, with the number of a track
    seen = flat[6::3] if flat.size > 6 and (flat.size - 4) % 3 == 0 else flat[:0]
    marked = seen.size > 0 and bool(np.isin(seen, (0, 1, 2)).all()) and (flat.size % 2 == 1 or bool((seen == 2).any()))
    if marked or (pose and flat.size == 4 + pose):
        return "pose row without a mask left out"
    if flat.size % 2 or flat.size < 6:
        raise ValueError(f"{flat.size} numbers")
    return ""


def _relative(flat: NDArray[np.float64], size: tuple[int, int]) -> tuple[NDArray[np.float64], str]:
    """Coordinates as shares of the image's size, and what to say of those that were not."""
    if flat.max() <= _BEYOND and flat.min() >= 1 - _BEYOND:
        return flat, ""
    points = flat.reshape(-1, 2)
    inside = points.min() >= 0 and (points.max(0) <= (size[1], size[0])).all()
    if not inside or ((points > 0) & (points < 1)).any():
        raise ValueError(f"coordinates up to {flat.max():g}, neither shares of the image nor pixels of it")
    return (points / (size[1], size[0])).reshape(-1), "coordinates in pixels read as such"
