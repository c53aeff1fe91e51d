"""What every exchange format shares: sheets (an image and its objects), writers, and what a conversion cost."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, ClassVar, Literal

import PIL.Image

from segue.core.errors import DataError, ImageError
from segue.core.types import Image
from segue.data.exchange.rings import labels_of_rles
from segue.data.exchange.sink import Sink
from segue.data.io.image import SUFFIXES, Labels, read_image
from segue.data.parts import Part, bridge, from_parts, slit, to_parts
from segue.data.polygon import Ring
from segue.data.rle import Rle, overlap
from segue.data.sample import Format, Instance, Options, Sample, Target

_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_ORIENTATION = 0x0112
EMPTY = "empty object dropped"


@dataclass(frozen=True, eq=False)
class Entry:
    """One object of an image: class ``name`` ('' for none), mask, ``id``, and under its format's name in
    ``extra`` whatever else the format said of it, for the way back.

    >>> Entry("cat", Rle.empty((2, 2))).rle.area
    0
    """

    name: str
    rle: Rle
    id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """What a file could not hold: in which ``image``, ``what`` happened, to which ``object``, and the ``iou``
    of what is left with the mask (None where that has no meaning).

    >>> Loss("a.jpg", "holes filled", "cat#1", 0.93).iou
    0.93
    """

    image: str
    what: str
    object: str = ""
    iou: float | None = None


@dataclass(frozen=True, eq=False)
class Sheet:
    """One image and its objects: ``file_name`` as the format spells it, upright ``size`` (H, W), the image's
    ``file`` or its ``pixels`` where there are any, ``ignore_mask`` pixels, and the ``losses`` of reading it.

    >>> Sheet("a/b.jpg", (4, 6)).stem
    'a/b'
    """

    file_name: str
    size: tuple[int, int]
    entries: tuple[Entry, ...] = ()
    file: Path | None = None
    ignore_mask: Rle | None = None
    losses: tuple[Loss, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    pixels: Callable[[], Image] | None = None

    @classmethod
    def from_sample(cls, sample: Sample) -> Sheet:
        """The sheet of any data set's ``sample``."""
        image, target = sample.read()
        entries = tuple(Entry(i.name, Rle.from_mask(i.mask), i.id) for i in target.instances)
        ignore_mask = None if target.ignore_mask is None else Rle.from_mask(target.ignore_mask)
        name = sample.id if PurePosixPath(sample.id).suffix.lower() in SUFFIXES else f"{sample.id}.png"
        return cls(name, (image.shape[0], image.shape[1]), entries, None, ignore_mask, pixels=lambda: image)

    @property
    def stem(self) -> str:
        """``file_name`` without its suffix, folders kept."""
        return str(PurePosixPath(self.file_name).with_suffix(""))

    def image(self) -> Image:
        """(H, W, 3) upright; raises ``ImageError`` where there is none."""
        if self.pixels is not None:
            return self.pixels()
        if self.file is None:
            raise ImageError(f"no image file for {self.file_name}", "it beside the annotations", "copy it there")
        return read_image(self.file)

    def target(self) -> Target:
        """The objects as masks; an object inside void counts as object."""
        stem = PurePosixPath(self.file_name).stem
        instances = (
            Instance(f"{stem}#{k}", entry.rle.mask(), entry.name) for k, entry in enumerate(self.entries, start=1)
        )
        return Target.from_instances(instances, None if self.ignore_mask is None else self.ignore_mask.mask())

    def sample(self) -> Sample:
        """The sheet as every data set yields its images."""
        return Sample(self.file_name, self.image, self.target)

    def losing(self, *losses: Loss) -> Sheet:
        """The same sheet with ``losses`` added."""
        return replace(self, losses=(*self.losses, *losses))


@dataclass(frozen=True)
class Choices:
    """How to write: masks as ``polygons`` where a format knows both, simplified by at most ``tolerance``
    pixels, and the ``images`` copied, hard-linked or left out.

    >>> Choices().tolerance
    0.0
    """

    polygons: bool = False
    tolerance: float = 0.0
    images: Literal["copy", "link", "none"] = "copy"


class Writer(ABC):
    """Takes sheets one by one and writes them into a folder, or (folder None) only says what would be lost."""

    def __init__(self, sink: Sink, choices: Choices, names: Sequence[str] = ()) -> None:
        self.sink, self.choices = sink, choices
        self.classes = {name: k for k, name in enumerate(names)}

    @abstractmethod
    def add(self, sheet: Sheet) -> list[Loss]:
        """Write one image's objects; what the format could not hold."""

    def finish(self) -> None:  # noqa: B027 - formats of one file an image have nothing left to do
        """Write what belongs to the whole; called once, after the last sheet."""

    def place(self, name: str, sheet: Sheet) -> str:
        """Put the sheet's image below the folder under ``name``, as the choices say; the name it got."""
        return self.sink.image(name, sheet.file, sheet.pixels, self.choices.images)

    def place_flat(self, folder: str, sheet: Sheet) -> str:
        """Put the sheet's image into ``folder`` itself, for formats without folders in it; its stem there."""
        name = safe_name(sheet.file_name)
        stem = self.sink.free(str(name.with_suffix("")).replace("/", "_"))
        self.place(f"{folder}/{stem}{name.suffix}", sheet)
        return stem

    def number(self, name: str) -> int:
        """The class's number, from 0, in the order in which they come."""
        return self.classes.setdefault(name or "object", len(self.classes))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.finish()
        self.sink.close()


class Exchange(Format):
    """A format that other tools own. It is a data set's format too, so that ``--data`` can name its folders.

    >>> from segue.data.exchange.rows import EXCHANGE
    >>> issubclass(EXCHANGE.load("coco"), Exchange)
    True
    """

    name: ClassVar[str]
    writer_type: ClassVar[type[Writer]]

    @abstractmethod
    def read(self, folder: Path) -> Iterator[Sheet]:
        """The sheets in a stable order, one in memory at a time. Raises ``DataError`` for damaged files."""

    def classes(self, folder: Path) -> Sequence[str]:
        """Class names in the order of their numbers, where the format has numbers."""
        return ()

    def writer(self, folder: Path | None, choices: Choices | None = None, names: Sequence[str] = ()) -> Writer:
        """A writer into ``folder``; None writes nothing. ``names`` are classes whose numbers shall be kept."""
        return self.writer_type(Sink(folder), choices or Choices(), names)

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        return [sheet.sample() for sheet in self.read(folder)]

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        with self.writer(folder) as writer:
            for sample in samples:
                losses = writer.add(Sheet.from_sample(sample))
                lost = next((loss for loss in losses if loss.iou != 1.0), None)
                if lost is not None:
                    raise DataError(
                        f"{lost.what} in '{sample.id}'",
                        f"what the format '{self.name}' can hold",
                        "write the format 'coco' instead",
                    )


@dataclass(frozen=True)
class Outline:
    """An object as polygons: its ``rings``, how well they cover the mask (``iou``), and what was done to them."""

    rings: tuple[Ring, ...]
    iou: float
    changes: tuple[str, ...]


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
    moved = tuple(part_moved.outer for part_moved in (Part(ring).moved(x, y) for ring in rings))
    iou = 1.0
    if tolerance and crop.any():
        filled = from_parts(parts, (crop.shape[0], crop.shape[1]))
        iou = float((filled & crop).sum() / (filled | crop).sum())
        if iou == 1.0:
            changes.remove("simplified")
    return Outline(moved, iou, tuple(changes))


def outline_losses(sheet: Sheet, entry: Entry, drawn: Outline) -> list[Loss]:
    """What ``outline`` did, as losses; slits and bridges keep the pixels (IoU 1) but not the structure."""
    return [Loss(sheet.file_name, what, entry.id or entry.name, drawn.iou) for what in drawn.changes]


def empty_loss(sheet: Sheet, entry: Entry) -> Loss:
    """The loss of an object without a pixel."""
    return Loss(sheet.file_name, EMPTY, entry.id or entry.name)


def void_loss(sheet: Sheet) -> list[Loss]:
    """The loss of void pixels in a format without a word for them."""
    return (
        [Loss(sheet.file_name, "void pixels dropped")]
        if sheet.ignore_mask is not None and sheet.ignore_mask.area
        else []
    )


def label_map(sheet: Sheet, numbers: Sequence[int]) -> tuple[Labels, list[Loss]]:
    """The sheet as one label map (H, W), object k as ``numbers[k]`` and later ones on top of earlier ones; and what
    that loses: objects beyond the numbers, covered ones and empty ones.

    >>> import numpy as np
    >>> entries = Entry("a", Rle((1, 2), np.array([0, 2]))), Entry("b", Rle((1, 2), np.array([1, 1])))
    >>> labels, losses = label_map(Sheet("x.jpg", (1, 2), entries), [1, 2])
    >>> labels, [(loss.what, loss.object, loss.iou) for loss in losses]
    (array([[1, 2]], dtype=int32), [('covered by another object', 'a', 0.5)])
    """
    held, beyond = sheet.entries[: len(numbers)], sheet.entries[len(numbers) :]
    what = f"more than {len(numbers)} objects: dropped"
    losses = [Loss(sheet.file_name, what, entry.id or entry.name, 0.0) for entry in beyond]
    labels = labels_of_rles([entry.rle for entry in held], sheet.size, numbers)
    for entry, number in zip(held, numbers, strict=False):
        who = entry.id or entry.name
        x0, y0, x1, y1 = entry.rle.box
        iou = overlap(entry.rle, Rle.from_crop(labels[y0:y1, x0:x1] == number, x0, y0, sheet.size))
        if not entry.rle.area:
            losses.append(Loss(sheet.file_name, EMPTY, who))
        elif iou < 1:
            losses.append(Loss(sheet.file_name, "covered by another object", who, iou))
    return labels, losses


def image_size(path: Path) -> tuple[int, int]:
    """Upright (H, W) of an image file, from its header. Raises ``ImageError`` as ``read_image``."""
    try:
        with PIL.Image.open(path) as image:
            sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
            return (image.width, image.height) if sideways else (image.height, image.width)
    except (OSError, SyntaxError, ValueError):
        shape = read_image(path).shape  # its own error says best what is wrong
        return shape[0], shape[1]


class Finder:
    """Image files of a folder by whatever name an annotation gives them: the path itself, or the bare name.

    >>> Finder(Path("/no/such/folder")).find("a.jpg") is None
    True
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self._names: dict[str, Path] | None = None

    def find(self, name: str) -> Path | None:
        """The file, or None; names that lead out of the folders are not followed."""
        inside = safe_name(name)
        for folder in self.folders:
            if (folder / inside).is_file():
                return folder / inside
        return self._by_name().get(inside.name)

    def _by_name(self) -> dict[str, Path]:
        if self._names is None:
            self._names = {}
            for folder in reversed(self.folders):
                for root, _, files in os.walk(folder):
                    self._names.update({f: Path(root, f) for f in files if Path(f).suffix.lower() in SUFFIXES})
        return self._names


def safe_name(name: str) -> PurePosixPath:
    """A relative path that stays below its folder, whatever another tool wrote.

    >>> str(safe_name("/../../etc/a.jpg")), str(safe_name("C:\\\\photos\\\\a.jpg"))
    ('etc/a.jpg', 'photos/a.jpg')
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..") and part[-1:] != ":"]
    if not parts:
        raise DataError(f"the image name {name!r}", "the name of a file")
    return PurePosixPath(*parts)


def images_below(folder: Path) -> Iterator[Path]:
    """Image files of ``folder`` and the folders in it, sorted folder by folder."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(root, name) for name in sorted(files) if Path(name).suffix.lower() in SUFFIXES)


def lazy_samples(files: Iterable[Path], names: Callable[[Path], str], sheet: Callable[[Path], Sheet]) -> list[Sample]:
    """Samples of a format with one annotation file an image; nothing is read before it is asked for."""

    def image(path: Path) -> Image:
        return sheet(path).image()

    def target(path: Path) -> Target:
        return sheet(path).target()

    return [Sample(names(path), partial(image, path), partial(target, path)) for path in files]
