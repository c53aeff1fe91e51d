"""What every data format yields: samples, light until their image and masks are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.core.errors import DataError
from segue.core.types import Image, Mask
from segue.data.io.image import Labels


@dataclass(frozen=True, eq=False)
class Instance:
    """One object of an image: its ``id`` (unique in the data set), ``mask`` (H, W) bool, class ``name`` or '',
    and ``texts`` that one could say to mean it.

    >>> Instance("cat/00", np.ones((2, 2), bool)).area
    4
    """

    id: str
    mask: Mask
    name: str = ""
    texts: tuple[str, ...] = ()

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class Target:
    """All objects of an image, and the ``ignore_mask`` pixels (H, W) bool that belong to nobody and never count.

    >>> Target((Instance("a", np.ones((2, 2), bool)),)).ignore_mask is None
    True
    """

    instances: tuple[Instance, ...]
    ignore_mask: Mask | None = None

    @classmethod
    def from_instances(cls, instances: Iterable[Instance], ignore_mask: Mask | None) -> Target:
        """``ignore_mask`` without the objects' own pixels: an object inside void (a crowd, say) counts as object.

        >>> Target.from_instances([Instance("a", np.array([[True, False]]))], np.array([[True, True]])).ignore_mask
        array([[False,  True]])
        """
        instances = tuple(instances)
        rest = (
            None
            if ignore_mask is None
            else ignore_mask & ~np.any([np.zeros_like(ignore_mask), *(i.mask for i in instances)], 0)
        )
        return cls(instances, rest if rest is not None and rest.any() else None)


@dataclass(frozen=True)
class Sample:
    """One image of a data set and its objects, read when asked. ``group`` names what belongs together: an
    object's folder in PerSeg, a case in BraTS.

    >>> image, target = np.zeros((2, 2, 3), np.uint8), Target((Instance("a", np.ones((2, 2), bool)),))
    >>> len(Sample("a", lambda: image, lambda: target).read()[1].instances)
    1
    """

    id: str
    load_image: Callable[[], Image]
    load_truth: Callable[[], Target]
    group: str = ""

    def read(self) -> tuple[Image, Target]:
        """The image (H, W, 3) and its objects. Raises ``DataError`` where their sizes differ."""
        image, target = self.load_image(), self.load_truth()
        for mask in (
            *(i.mask for i in target.instances),
            *(() if target.ignore_mask is None else (target.ignore_mask,)),
        ):
            if mask.shape != image.shape[:2]:
                raise DataError(
                    f"a mask of {mask.shape[1]} x {mask.shape[0]} pixels for the image '{self.id}'",
                    f"the image's size {image.shape[1]} x {image.shape[0]}",
                    "pair every image with its own mask",
                )
        return image, target


@dataclass(frozen=True)
class Options:
    """How to read a data set where its files leave a choice: label values that mean ``ignore_mask`` (None: what the
    format or its README says) and the ``split`` (None: the format's default).

    >>> Options(ignore_values=(255,)).split is None
    True
    """

    ignore_values: tuple[int, ...] | None = None
    split: str | None = None


class Format(ABC):
    """One way to lay out images and masks in a folder: it recognises, reads and writes it.

    >>> from segue.data.formats.registry import FORMATS
    >>> isinstance(FORMATS.load("grabcut"), Format)
    True
    """

    @abstractmethod
    def detect(self, folder: Path) -> bool:
        """Whether ``folder`` is laid out like this; looks at names only."""

    def fits(self, folder: Path) -> bool:
        """Whether ``folder`` can be read as this format when the user says so."""
        return self.detect(folder)

    @abstractmethod
    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        """The samples in a stable order. Raises ``DataError`` for a layout with missing or extra files."""

    @abstractmethod
    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        """Write ``samples``, one at a time. Raises ``DataError`` for what the format cannot hold."""


def truth_of_labels(
    labels: Labels, stem: str, ignore_mask: Sequence[int] = (), names: dict[str, str] | None = None
) -> Target:
    """(H, W) label map -> one instance per id, 0 background, the values of ``ignore_mask`` void.

    An only object is named ``stem``, several ``stem#label``; ``names`` maps labels (as text) to classes.
    Source: label maps as in the data folders' README files.

    >>> [i.id for i in truth_of_labels(np.array([[0, 1, 2, 255]]), "photo", ignore_mask=(255,)).instances]
    ['photo#1', 'photo#2']
    """
    nothing = np.isin(labels, (0, *ignore_mask))
    ids = np.unique(labels[~nothing]).tolist()
    instances = tuple(
        Instance(stem if len(ids) == 1 else f"{stem}#{k}", labels == k, (names or {}).get(str(k), "")) for k in ids
    )
    ignored = nothing & (labels != 0)
    return Target(instances, ignored if ignored.any() else None)


def labels_of_truth(
    target: Target, size: tuple[int, int], sample: str, ignore_mask: int = 255, value: int | None = None
) -> Labels:
    """The inverse of ``truth_of_labels``: instances become 1, 2, ... (or ``value``), void pixels ``ignore_mask``.

    Raises ``DataError`` where instances overlap, or where a label would meet ``ignore_mask``.
    Source: as ``truth_of_labels``.

    >>> labels_of_truth(Target((Instance("a", np.array([[True, False]])),)), (1, 2), "a")
    array([[1, 0]], dtype=int32)
    """
    labels = np.zeros(size, np.int32)
    for k, instance in enumerate(target.instances, start=1):
        if (labels[instance.mask] != 0).any():
            raise DataError(
                f"overlapping objects in '{sample}'",
                "objects apart, as a label map holds one per pixel",
                "write the format 'coco' or 'berkeley' instead",
            )
        if value is None and target.ignore_mask is not None and k == ignore_mask:
            raise DataError(
                f"more than {ignore_mask - 1} objects beside void pixels in '{sample}'",
                f"labels below {ignore_mask}",
                "write the format 'coco' instead",
            )
        labels[instance.mask] = k if value is None else value
    if target.ignore_mask is not None:
        labels[target.ignore_mask] = ignore_mask
    return labels


def only_instance(target: Target, sample: str, form: str) -> Instance:
    """The single object of an image. Raises ``DataError`` where ``form`` would lose others.

    >>> only_instance(Target(()), "photo", "davis")
    Traceback (most recent call last):
    segue.core.errors.DataError: got 0 objects in 'photo'; expected one, as the format 'davis' holds. Write 'folder' or 'coco' instead.
    """  # noqa: E501
    if len(target.instances) != 1:
        raise DataError(
            f"{len(target.instances)} objects in '{sample}'",
            f"one, as the format '{form}' holds",
            "write 'folder' or 'coco' instead",
        )
    return target.instances[0]


def no_void(target: Target, sample: str, form: str) -> None:
    """Raise ``DataError`` where ``form`` would lose void pixels.

    >>> no_void(Target((), None), "photo", "davis")
    """
    if target.ignore_mask is not None and target.ignore_mask.any():
        raise DataError(
            f"void pixels in '{sample}'",
            f"none, as the format '{form}' has no word for them",
            "write 'folder', 'voc' or 'coco' instead",
        )
