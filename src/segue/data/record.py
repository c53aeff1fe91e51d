"""The record that every data format reads and writes: one image and the objects annotated in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, overload

from segue.core.errors import DataError, ImageError
from segue.core.types import Image, Mask
from segue.data.io.image import SUFFIXES, read_image
from segue.data.photo_size import as_photo
from segue.data.rle import Rle

EMPTY = "object without a pixel"


@dataclass(frozen=True, eq=False)
class Annotation:
    """One object of an image: class ``name`` ('' for none), mask as run lengths, ``id`` (unique in the data set),
    ``texts`` that one could say to mean it, under its format's name in ``extra`` whatever else the format holds of it,
    for the way back, and the ``layer``: where objects overlap, the higher lies on top.

    >>> Annotation("cat", Rle.empty((2, 2))).area
    0
    """

    name: str
    rle: Rle
    id: str = ""
    texts: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    layer: int = 0

    @classmethod
    def from_mask(cls, mask: Mask, name: str = "", id: str = "", texts: tuple[str, ...] = ()) -> Annotation:
        """The object whose pixels are ``mask`` (H, W) bool."""
        return cls(name, Rle.from_mask(mask), id, texts)

    @property
    def mask(self) -> Mask:
        """(H, W) bool, decoded anew at each call."""
        return self.rle.mask()

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return self.rle.area

    @property
    def label(self) -> str:
        """How losses call it."""
        return self.id or self.name


@dataclass(frozen=True)
class Loss:
    """What a file could not hold or could not be read: in which ``image``, ``what`` happened, to which ``object``, the
    ``iou`` of what is left with the mask (None where that has no meaning), and in which ``file``.

    >>> Loss("a.jpg", "holes filled", "cat#1", 0.93).iou
    0.93
    """

    image: str
    what: str
    object: str = ""
    iou: float | None = None
    file: str = ""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image and its objects: ``file_name`` as the format spells it, upright ``size`` (H, W), the image's
    ``file`` or its ``pixels`` where there are any, pixels that belong to nobody and never count (``ignore_rle``), the
    ``losses`` of reading it, and what ``group`` it belongs to (a split, an object's folder).

    >>> AnnotatedImage("a/b.jpg", (4, 6)).stem
    'a/b'
    """

    file_name: str
    size: tuple[int, int]
    annotations: tuple[Annotation, ...] = ()
    file: Path | None = None
    ignore_rle: Rle | None = None
    losses: tuple[Loss, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    pixels: Callable[[], Image] | None = None
    group: str = ""

    @classmethod
    def from_arrays(
        cls,
        file_name: str,
        image: Image,
        annotations: Sequence[Annotation] = (),
        ignore_mask: Mask | None = None,
        group: str = "",
    ) -> AnnotatedImage:
        """From an ``image`` (H, W, 3) in memory and ``ignore_mask`` (H, W) bool.

        >>> import numpy as np
        >>> AnnotatedImage.from_arrays("a.png", np.zeros((2, 3, 3), np.uint8)).size
        (2, 3)
        """
        ignore_rle = None if ignore_mask is None else Rle.from_mask(ignore_mask)
        size = image.shape[0], image.shape[1]
        return cls(file_name, size, tuple(annotations), None, ignore_rle, pixels=lambda: image, group=group)

    @property
    def stem(self) -> str:
        """``file_name`` without its suffix, folders kept."""
        name = PurePosixPath(self.file_name)
        return str(name.with_suffix("") if name.suffix.lower() in SUFFIXES else name)

    @property
    def ignore_mask(self) -> Mask | None:
        """(H, W) bool of the pixels that never count, without the objects' own: an object inside void (a crowd, say)
        counts as object. None where there is no such pixel.

        >>> import numpy as np
        >>> objects = [Annotation.from_mask(np.array([[True, False]]))]
        >>> image = AnnotatedImage.from_arrays("a", np.zeros((1, 2, 3), np.uint8), objects, np.array([[True, True]]))
        >>> image.ignore_mask
        array([[False,  True]])
        """
        if self.ignore_rle is None or not self.ignore_rle.area:
            return None
        rest = self.ignore_rle.mask()
        for annotation in self.annotations:
            crop, x, y = annotation.rle.crop()
            rest[y : y + crop.shape[0], x : x + crop.shape[1]] &= ~crop
        return rest if rest.any() else None

    def image(self) -> Image:
        """(H, W, 3) upright; raises ``ImageError`` where there is none."""
        if self.pixels is not None:
            return self.pixels()
        if self.file is None:
            fix = "copy it there, or put both together: segue convert-data DATA --photos PHOTOS --to coco -o NEW"
            raise ImageError(f"no image file for {self.file_name}", "it beside the annotations", fix)
        return read_image(self.file)

    def losing(self, *losses: Loss) -> AnnotatedImage:
        """The same image with ``losses`` added."""
        return replace(self, losses=(*self.losses, *losses))


@dataclass(frozen=True)
class Sample:
    """A place in a data set: its ``id``, what ``group`` it belongs to (an object's folder in PerSeg, a split), and
    ``load``, which reads the annotations when asked.

    >>> import numpy as np
    >>> objects = [Annotation.from_mask(np.ones((2, 2), bool), "cat")]
    >>> sample = Sample.from_arrays("a", np.zeros((2, 2, 3), np.uint8), objects)
    >>> sample.read()[1].annotations[0].name
    'cat'
    """

    id: str
    load: Callable[[], AnnotatedImage]
    group: str = ""

    @classmethod
    def from_arrays(
        cls,
        id: str,
        image: Image,
        annotations: Sequence[Annotation] = (),
        ignore_mask: Mask | None = None,
        group: str = "",
    ) -> Sample:
        """A sample whose pixels and masks are in memory."""
        name = id if PurePosixPath(id).suffix.lower() in SUFFIXES else f"{id}.png"
        return cls(id, partial(AnnotatedImage.from_arrays, name, image, annotations, ignore_mask, group), group)

    def read(self) -> tuple[Image, AnnotatedImage]:
        """The pixels (H, W, 3) and the annotations. Raises ``DataError`` where their sizes differ."""
        annotated = self.load()
        pixels = annotated.image()
        every = [a.rle for a in annotated.annotations] + ([annotated.ignore_rle] if annotated.ignore_rle else [])
        for height, width in (annotated.size, *(rle.size for rle in every)):
            if (height, width) != pixels.shape[:2]:
                raise DataError(
                    f"a mask of {width} x {height} pixels for the image '{self.id}'",
                    f"the image's size {pixels.shape[1]} x {pixels.shape[0]}",
                    "pair every image with its own mask",
                )
        return pixels, annotated


def counted_on(ids: Sequence[str]) -> Sequence[str]:
    """``ids``, those that are there already with a number; '' stays.

    >>> counted_on(["a", "b", "a", "a"])
    ['a', 'b', 'a (2)', 'a (3)']
    """
    taken = set(ids)
    if len(taken) == len(ids):
        return ids
    own: list[str] = []
    counts: dict[str, int] = {}
    for id in ids:
        counts[id] = count = counts.get(id, 0) + 1
        name = (
            id
            if count == 1 or not id
            else next(name for k in itertools.count(count) if (name := f"{id} ({k})") not in taken)
        )
        taken.add(name)
        own.append(name)
    return own


class Samples(Sequence[Sample]):
    """Samples that are made when asked for: the ``ids``, and ``load``, which reads the annotations of the i-th.

    Each annotated image is compared with its photo, as ``as_photo`` says; objects without a pixel are named, and ids
    that come twice are counted on, because results are kept by them.

    >>> import numpy as np
    >>> blank = AnnotatedImage.from_arrays("a.png", np.zeros((2, 3, 3), np.uint8))
    >>> [sample.id for sample in Samples(["a", "b"], lambda i: blank)[1:]]
    ['b']
    """

    def __init__(self, ids: Sequence[str], load: Callable[[int], AnnotatedImage], groups: Sequence[str] = ()) -> None:
        self.ids, self._load, self._groups = counted_on(ids), load, groups

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self.ids))[index]
        return Sample(self.ids[index], partial(self.load, index), self._groups[index] if self._groups else "")

    def __len__(self) -> int:
        return len(self.ids)

    def load(self, index: int) -> AnnotatedImage:
        """The annotated image, in the frame of its photo."""
        annotated = self._upright(index)
        other = next((a for a in annotated.annotations if a.rle.size != annotated.size), None)
        if other is not None:
            raise DataError(
                f"the object {other.label} of size {list(other.rle.size)} in '{annotated.file_name}'",
                f"the image's size {list(annotated.size)}",
            )
        own = counted_on([a.id for a in annotated.annotations])
        annotations = [a if a.id == id else replace(a, id=id) for a, id in zip(annotated.annotations, own, strict=True)]
        empty = [Loss(annotated.file_name, EMPTY, a.label) for a in annotations if not a.area]
        return replace(annotated, annotations=tuple(annotations)).losing(*empty)

    def _upright(self, index: int) -> AnnotatedImage:
        annotated = self._load(index)
        if annotated.file is None:
            return annotated
        turn, what = as_photo(annotated.file, self.ids[index], annotated.size)
        if turn is None:
            return annotated
        annotations = tuple(replace(a, rle=turn(a.rle), extra={}) for a in annotated.annotations)
        ignore_rle = None if annotated.ignore_rle is None else turn(annotated.ignore_rle)
        size = annotated.size[1], annotated.size[0]
        turned = replace(annotated, size=size, annotations=annotations, ignore_rle=ignore_rle)
        return turned.losing(Loss(annotated.file_name, what, iou=1.0))


@dataclass(frozen=True)
class Options:
    """How to read a data set where its files leave a choice: label values that mean ``ignore_mask`` (None: what the
    format or its README says), the ``split`` (None: the format's default) or ``all_splits``, which ``results`` of Label
    Studio count, and the folder of the ``photos`` where they do not lie beside the annotations.

    >>> Options(ignore_values=(255,)).split is None
    True
    """

    ignore_values: tuple[int, ...] | None = None
    split: str | None = None
    all_splits: bool = False
    results: str = "annotations"
    photos: Path | None = None

    def places(self, *own: Path) -> tuple[Path, ...]:
        """The folders to look for photos in: ``photos``, then the data set's ``own``."""
        return own if self.photos is None else (self.photos, *own)


@dataclass(frozen=True, eq=False)
class DataSet:
    """An opened data set: its ``format``, ``folder``, ``samples`` in a stable order, ``classes`` in the order of
    their numbers, and the ``losses`` that belong to no image of it.

    >>> DataSet("davis", Path("DAVIS"), ()).format
    'davis'
    """

    format: str
    folder: Path
    samples: Sequence[Sample]
    classes: Sequence[str] = ()
    losses: Sequence[Loss] = ()

    def read(self) -> Iterator[AnnotatedImage]:
        """Every annotated image, one in memory at a time."""
        return (sample.load() for sample in self.samples)
