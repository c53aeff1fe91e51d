"""What every format shares: how it is opened, how it is written, and what a conversion cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal

from segue.core.errors import DataError
from segue.data.formats.locate import safe_name
from segue.data.formats.output import OutputFolder
from segue.data.io.image import Labels
from segue.data.parts import Part, bridge, from_parts, slit, to_parts
from segue.data.polygon import Ring
from segue.data.rasterize import labels_of_rles, rles_of_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Sample
from segue.data.rle import Rle, overlap

EMPTY = "empty object dropped"
SPLITS = ("train", "val", "test")
_SPLITS = {
    **{name: name for name in SPLITS},
    "valid": "val",
    "validation": "val",
    "training": "train",
    "testing": "test",
}


@dataclass(frozen=True)
class WriteOptions:
    """How to write: masks as ``polygons`` where a format knows both, simplified by at most ``tolerance``
    pixels, and the ``images`` copied, hard-linked or left out.

    >>> WriteOptions().tolerance
    0.0
    """

    polygons: bool = False
    tolerance: float = 0.0
    images: Literal["copy", "link", "none"] = "copy"


class Writer(ABC):
    """Takes annotated images one by one and writes them into a folder, or (folder None) only says what would be
    lost."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        self.output, self.options = output, options
        self.classes = {name: k for k, name in enumerate(names)}

    @abstractmethod
    def add(self, image: AnnotatedImage) -> list[Loss]:
        """Write one image's objects; what the format could not hold. Raises ``DataError`` for an image that it
        cannot hold at all; nothing of it is written then."""

    def finish(self) -> None:  # noqa: B027 - formats of one file an image have nothing left to do
        """Write what belongs to the whole; called once, after the last image."""

    def place(self, name: str, image: AnnotatedImage) -> str:
        """Put the photo below the folder under ``name``, as the options say; the name it got."""
        return self.output.image(name, image.file, image.pixels, self.options.images)

    def place_flat(self, folder: str, image: AnnotatedImage) -> str:
        """Put the photo into ``folder`` itself, for formats without folders in it; its stem there."""
        name = safe_name(image.file_name)
        stem = self.output.free(str(name.with_suffix("")).replace("/", "_"))
        self.place(f"{folder}/{stem}{name.suffix}", image)
        return stem

    def split_of(self, image: AnnotatedImage, otherwise: str = SPLITS[0]) -> tuple[str, PurePosixPath]:
        """The split that an image belongs to, by its group or the beginning of its path, else ``otherwise``; and its
        path in the split."""
        name = safe_name(image.file_name)
        first = name.parts[0] if len(name.parts) > 1 else ""
        split = split_in((image.group, first)) or otherwise
        return split, name.relative_to(first) if split_in((first,)) else name

    def number(self, name: str) -> int:
        """The class's number, from 0, in the order in which they come."""
        return self.classes.setdefault(name or "object", len(self.classes))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.output.close()


class Format(ABC):
    """One way to lay out images and annotations in a folder.

    >>> from segue.data.formats.registry import FORMATS
    >>> isinstance(FORMATS.load("grabcut"), Format)
    True
    """

    name: str
    writer_type: type[Writer]

    @abstractmethod
    def open(self, folder: Path, options: Options) -> DataSet:
        """The data set in ``folder``, in a stable order; annotations are read when a sample is.

        Raises ``DataError`` for a folder without what the format looks for.
        """

    def read(self, folder: Path, options: Options | None = None) -> Iterator[AnnotatedImage]:
        """Every annotated image, one in memory at a time."""
        return self.open(folder, options or Options()).read()

    def writer(self, folder: Path | None, options: WriteOptions | None = None, names: Sequence[str] = ()) -> Writer:
        """A writer into ``folder``; None writes nothing. ``names`` are classes whose numbers shall be kept."""
        return self.writer_type(OutputFolder(folder), options or WriteOptions(), names)

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        """Write ``samples``, one at a time. Raises ``DataError`` for what the format cannot hold."""
        with self.writer(folder) as writer:
            for sample in samples:
                losses = writer.add(replace(sample.load(), group=sample.group))
                lost = next((loss for loss in losses if loss.iou != 1.0), None)
                if lost is not None:
                    raise DataError(
                        f"{lost.what} in '{sample.id}'",
                        f"what the format '{self.name}' can hold",
                        "write the format 'coco' instead",
                    )


def split_in(words: Sequence[str]) -> str:
    """The split, by whichever of its names, that the first of ``words`` that is one means; '' for none.

    >>> split_in(("images", "valid")), split_in(("images",))
    ('val', '')
    """
    return next((_SPLITS[word] for word in words if word in _SPLITS), "")


def no_split(options: Options, name: str) -> None:
    """Raise ``DataError`` if a split was asked of a format that has none.

    >>> no_split(Options(), "davis")
    """
    if options.split is not None:
        raise DataError(f"the split '{options.split}'", f"none, as the format '{name}' has no splits", "leave it out")


def from_labels(
    labels: Labels, stem: str, ignore_values: Sequence[int] = (), names: Mapping[str, str] | None = None
) -> tuple[tuple[Annotation, ...], Rle | None]:
    """(H, W) label map -> one object per id, 0 background, and the pixels of ``ignore_values``.

    An only object has the id ``stem``, several ``stem#label``; ``names`` maps labels (as text) to classes.

    >>> import numpy as np
    >>> objects, ignored = from_labels(np.array([[0, 1, 2, 255]]), "photo", ignore_values=(255,))
    >>> [a.id for a in objects], ignored.area
    (['photo#1', 'photo#2'], 1)
    """
    every = list(rles_of_labels(labels))
    objects = [(k, rle) for k, rle in every if k not in ignore_values]
    annotations = tuple(
        Annotation((names or {}).get(str(k), ""), rle, stem if len(objects) == 1 else f"{stem}#{k}")
        for k, rle in objects
    )
    ignored = [rle.mask() for k, rle in every if k in ignore_values]
    return annotations, Rle.from_mask(sum(ignored[1:], ignored[0])) if ignored else None


@dataclass(frozen=True)
class Outline:
    """An object as polygons: its ``rings``, how well they cover the mask (``iou``), and what was done to them."""

    rings: tuple[Ring, ...]
    iou: float
    changes: tuple[str, ...]

    def losses(self, image: AnnotatedImage, annotation: Annotation) -> list[Loss]:
        """What was done, as losses; slits and bridges keep the pixels (IoU 1) but not the structure."""
        return [Loss(image.file_name, what, annotation.label, self.iou) for what in self.changes]


def outline(rle: Rle, tolerance: float = 0.0, single: bool = False) -> Outline:
    """The object as one ring a part, holes joined by slits; ``single`` joins the parts as well.

    Slits and bridges cover no pixel's centre, so ``iou`` is 1 for ``tolerance`` 0.

    >>> import numpy as np
    >>> outline(Rle.from_mask(np.eye(2, dtype=bool)), single=True).changes
    ('parts joined by bridges',)
    """
    crop, x, y = rle.crop()
    parts = to_parts(crop, tolerance)
    changes = ["simplified"] if tolerance else []
    if any(part.holes for part in parts):
        changes.append("holes joined by slits")
    rings = [slit(part) for part in parts]
    if single and len(rings) > 1:
        changes.append("parts joined by bridges")
        rings = [bridge(rings)]
    moved = tuple(Part(ring).moved(x, y).outer for ring in rings)
    iou = 1.0
    if tolerance and crop.any():
        filled = from_parts(parts, (crop.shape[0], crop.shape[1]))
        iou = float((filled & crop).sum() / (filled | crop).sum())
        if iou == 1.0:
            changes.remove("simplified")
    return Outline(moved, iou, tuple(changes))


def empty_loss(image: AnnotatedImage, annotation: Annotation) -> Loss:
    """The loss of an object without a pixel."""
    return Loss(image.file_name, EMPTY, annotation.label)


def void_loss(image: AnnotatedImage) -> list[Loss]:
    """The loss of void pixels in a format without a word for them."""
    void = image.ignore_rle is not None and image.ignore_rle.area
    return [Loss(image.file_name, "void pixels dropped")] if void else []


def label_map(image: AnnotatedImage, numbers: Sequence[int]) -> tuple[Labels, list[Loss]]:
    """The image's objects as one label map (H, W), object k as ``numbers[k]``, later ones and higher layers on top;
    and what that loses: objects beyond the numbers, covered ones and empty ones.

    >>> import numpy as np
    >>> a, b = Annotation("a", Rle((1, 2), np.array([0, 2]))), Annotation("b", Rle((1, 2), np.array([1, 1])))
    >>> labels, losses = label_map(AnnotatedImage("x.jpg", (1, 2), (a, b)), [1, 2])
    >>> labels, [(loss.what, loss.object, loss.iou) for loss in losses]
    (array([[1, 2]], dtype=int32), [('covered by another object', 'a', 0.5)])
    """
    held, beyond = image.annotations[: len(numbers)], image.annotations[len(numbers) :]
    what = f"more than {len(numbers)} objects: dropped"
    losses = [Loss(image.file_name, what, annotation.label, 0.0) for annotation in beyond]
    order = sorted(range(len(held)), key=lambda k: held[k].layer)
    labels = labels_of_rles([held[k].rle for k in order], image.size, [numbers[k] for k in order])
    for annotation, number in zip(held, numbers, strict=False):
        x0, y0, x1, y1 = annotation.rle.box
        iou = overlap(annotation.rle, Rle.from_crop(labels[y0:y1, x0:x1] == number, x0, y0, image.size))
        if not annotation.rle.area:
            losses.append(empty_loss(image, annotation))
        elif iou < 1:
            losses.append(Loss(image.file_name, "covered by another object", annotation.label, iou))
    return labels, losses


def stem_of(name: str) -> str:
    """A path without its suffix, folders kept.

    >>> stem_of("a/b.c.jpg")
    'a/b.c'
    """
    return str(PurePosixPath(name).with_suffix(""))
