"""Masks as run lengths: column-major, background first, as COCO counts them; light however large the image is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.geometry import mask_box
from segue.core.types import Mask, check_mask

Runs: TypeAlias = NDArray[np.int64]  # (n,) lengths of background, object, background, ...

_GROUPS = 13  # five-bit groups that a 64-bit number can need


@dataclass(frozen=True, eq=False)
class Rle:
    """A mask of ``size`` (H, W) as ``runs`` down its columns, beginning with background (0 if the first pixel
    is object). Two are equal when their masks are.

    Raises ``DataError`` where runs are negative or do not fill the size.
    Source: COCO data format, "Object Detection", RLE.

    >>> rle = Rle.from_mask(np.array([[False, True], [True, True]]))
    >>> rle.runs.tolist(), rle.text, rle.area, rle.box
    ([1, 3], '13', 3, (0, 0, 2, 2))
    """

    size: tuple[int, int]
    runs: Runs

    def __post_init__(self) -> None:
        height, width = self.size
        if self.runs.size and int(self.runs.min()) < 0:
            raise DataError("run lengths below zero", "lengths of background, object, background, ...")
        if int(self.runs.sum()) != height * width:
            raise DataError(f"run lengths over {int(self.runs.sum())} pixels", f"{height} x {width} = {height * width}")

    @classmethod
    def from_mask(cls, mask: Mask) -> Rle:
        """Encode ``mask`` (H, W) bool."""
        check_mask(mask, mask.shape)
        size, box = (mask.shape[0], mask.shape[1]), mask_box(mask)
        if box is None:
            return cls.empty(size)
        x0, y0, x1, y1 = box
        return cls.from_crop(mask[y0:y1, x0:x1], x0, y0, size)

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Rle:
        """No pixel of ``size`` (H, W)."""
        return cls(size, np.array([size[0] * size[1]], np.int64))

    @classmethod
    def from_crop(cls, crop: Mask, x: int, y: int, size: tuple[int, int]) -> Rle:
        """The mask of ``size`` (H, W) whose pixels from (x, y) on are ``crop`` (h, w) bool, the rest background.

        >>> Rle.from_crop(np.ones((1, 1), bool), 1, 2, (4, 3)).runs.tolist()
        [6, 1, 5]
        """
        height, width = size
        h, w = crop.shape
        if x < 0 or y < 0 or x + w > width or y + h > height:
            raise DataError(f"a mask of {w} x {h} at ({x}, {y})", f"one inside the image of {width} x {height} pixels")
        lined = np.zeros((w, h + 1), np.int8)  # a background pixel below each column ends its runs
        lined[:, :h] = crop.T
        change = np.diff(lined.reshape(-1), prepend=np.int8(0))
        starts, ends = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
        moved = [(at // (h + 1) + x) * height + at % (h + 1) + y for at in (starts, ends)]
        return cls.from_spans(moved[0], moved[1], size)

    @classmethod
    def from_spans(cls, starts: Runs, ends: Runs, size: tuple[int, int]) -> Rle:
        """From object spans [start, end) in column-major order, rising, not overlapping; touching ones merge."""
        if not starts.size:
            return cls.empty(size)
        apart = starts[1:] != ends[:-1]
        edges = np.stack((starts[np.r_[True, apart]], ends[np.r_[apart, True]]), 1).reshape(-1)
        total = size[0] * size[1]
        edges = np.r_[0, edges, total] if edges[-1] != total else np.r_[0, edges]
        return cls(size, np.diff(edges).astype(np.int64))

    @classmethod
    def from_coco(cls, segmentation: Any) -> Rle:
        """``{"size": [h, w], "counts": [numbers] or text}`` as COCO stores it.

        Raises ``DataError`` for anything else.

        >>> Rle.from_coco({"size": [2, 2], "counts": "13"}) == Rle.from_coco({"size": [2, 2], "counts": [1, 3]})
        True
        """
        try:
            size, counts = (int(segmentation["size"][0]), int(segmentation["size"][1])), segmentation["counts"]
            if isinstance(counts, list):
                return cls(size, _whole(counts))
            return cls(size, _runs_of_text(counts if isinstance(counts, bytes) else counts.encode("ascii")))
        except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"run lengths that do not read ({error})", "size and counts as COCO's") from error

    @property
    def text(self) -> str:
        """COCO's compressed counts."""
        runs = self.runs.copy()
        runs[3:] -= self.runs[1:-2]  # each run but the first three, less the one two before
        return _text_of_runs(runs)

    @cached_property
    def spans(self) -> tuple[Runs, Runs]:
        """(starts, ends) of the object's runs, column-major, ends exclusive, empty runs left out."""
        ends = np.cumsum(self.runs)
        starts = ends - self.runs
        some = self.runs[1::2] > 0
        return starts[1::2][some], ends[1::2][some]

    @property
    def area(self) -> int:
        """Pixels of the object."""
        return int(self.runs[1::2].sum())

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) around the object, right and bottom exclusive; four zeros without one."""
        starts, ends = self.spans
        if not starts.size:
            return 0, 0, 0, 0
        height = self.size[0]
        first, last = starts // height, (ends - 1) // height
        whole = bool((first != last).any())  # a run over a column's end touches bottom and top
        top, bottom = (0, height) if whole else (int((starts % height).min()), int(((ends - 1) % height).max()) + 1)
        return int(first[0]), top, int(last[-1]) + 1, bottom

    def crop(self) -> tuple[Mask, int, int]:
        """The object's pixels alone, (h, w) bool, and where they lie: (crop, x, y)."""
        x0, y0, x1, y1 = self.box
        starts, ends = self.spans
        height = self.size[0]
        change = np.zeros((x1 - x0) * height + 1, np.int8)
        change[starts - x0 * height] += 1
        np.subtract.at(change, ends - x0 * height, 1)
        columns = np.cumsum(change[:-1], dtype=np.int8).reshape(x1 - x0, height)[:, y0:y1]
        return np.ascontiguousarray(columns.T).astype(bool), x0, y0

    def mask(self) -> Mask:
        """(H, W) bool."""
        whole = np.zeros(self.size, bool)
        crop, x, y = self.crop()
        whole[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        return whole

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rle) or self.size != other.size:
            return False
        return all(np.array_equal(a, b) for a, b in zip(self._merged(), other._merged(), strict=True))

    def __hash__(self) -> int:
        return hash((self.size, *(part.tobytes() for part in self._merged())))

    def _merged(self) -> tuple[Runs, Runs]:
        starts, ends = self.spans
        apart = starts[1:] != ends[:-1]
        keep_start, keep_end = (np.r_[True, apart], np.r_[apart, True]) if starts.size else (apart, apart)
        return starts[keep_start], ends[keep_end]


class PackedRle(Rle):
    """A mask of ``size`` whose COCO ``counts`` are trusted, and decoded only when its runs are asked for.

    >>> rle = PackedRle((2, 2), b"13")
    >>> rle.text, rle.runs.tolist(), rle == Rle((2, 2), np.array([1, 3]))
    ('13', [1, 3], True)
    """

    def __init__(self, size: tuple[int, int], counts: bytes) -> None:
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "_counts", counts)

    @cached_property
    def runs(self) -> Runs:
        return _runs_of_text(self.__dict__["_counts"])

    @property
    def text(self) -> str:
        """COCO's compressed counts."""
        return bytes(self.__dict__["_counts"]).decode("ascii")


def union(masks: Sequence[Rle]) -> Rle:
    """All pixels of any of ``masks``, which share one size.

    >>> union([Rle((1, 3), np.array([0, 1, 2])), Rle((1, 3), np.array([1, 1, 1]))]).runs.tolist()
    [0, 2, 1]
    """
    return _combined(masks, 1)


def intersection(masks: Sequence[Rle]) -> Rle:
    """The pixels of all of ``masks``, which share one size.

    >>> intersection([Rle((1, 3), np.array([0, 2, 1])), Rle((1, 3), np.array([1, 2]))]).runs.tolist()
    [1, 1, 1]
    """
    return _combined(masks, len(masks))


def overlap(a: Rle, b: Rle) -> float:
    """Intersection over union of two masks of one size; 1 where both are empty.

    >>> overlap(Rle((1, 4), np.array([0, 2, 2])), Rle((1, 4), np.array([1, 2, 1])))
    0.3333333333333333
    """
    together = _combined((a, b), 1).area
    return intersection((a, b)).area / together if together else 1.0


def _combined(masks: Sequence[Rle], least: int) -> Rle:
    """Pixels that at least so many of ``masks`` hold."""
    if len(masks) == 1 and least == 1:
        return masks[0]
    if len({m.size for m in masks}) != 1:
        raise DataError(f"masks of the sizes {sorted({m.size for m in masks})}", "one size for all")
    at = np.concatenate([part for m in masks for part in m.spans])
    step = np.concatenate(
        [np.r_[np.ones(m.spans[0].size, np.int64), -np.ones(m.spans[0].size, np.int64)] for m in masks]
    )
    places, index = np.unique(at, return_inverse=True)
    inside = np.cumsum(np.bincount(index, weights=step, minlength=places.size)) >= least
    change = np.diff(inside.astype(np.int8), prepend=0)
    return Rle.from_spans(places[change > 0], places[change < 0], masks[0].size)


def runs_of(flat: NDArray[np.bool_]) -> Runs:
    """Runs of a flat sequence, background first.

    >>> runs_of(np.array([True, True, False])).tolist()
    [0, 2, 1]
    """
    edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=np.int8(0)))
    runs: Runs = np.diff(np.r_[0, edges, flat.size]).astype(np.int64)
    return runs


def flat_of(runs: Runs, length: int) -> NDArray[np.bool_]:
    """The inverse of ``runs_of``; raises ``DataError`` where the runs do not fill ``length``."""
    if (runs.size and int(runs.min()) < 0) or int(runs.sum()) != length:
        raise DataError(f"run lengths over {int(runs.sum())} pixels", f"{length} pixels")
    return np.repeat((np.arange(runs.size) & 1).astype(bool), runs)


def _text_of_runs(values: Runs) -> str:
    """Five bits a character from the low end, 32 for "more follows", 48 added; signed."""
    left, live = values.copy(), np.ones(values.size, bool)
    columns = np.zeros((_GROUPS, values.size), np.uint8)
    for k in range(_GROUPS):
        low = left & 31
        left >>= 5
        more = live & (left != np.where(low & 16, -1, 0))
        columns[k] = np.where(live, low + 32 * more + 48, 0)
        live = more
        if not live.any():
            break
    flat = columns.T.reshape(-1)
    return flat[flat > 0].tobytes().decode("ascii")


def _whole(counts: list[Any]) -> Runs:
    """Run lengths as integers. Raises ``ValueError`` for numbers that are not whole."""
    runs = np.array(counts, np.float64)
    if (runs != np.rint(runs)).any():
        raise ValueError("lengths that are not whole")
    return runs.astype(np.int64)


def _runs_of_text(text: bytes) -> Runs:
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((codes & 32) == 0)
    if not codes.size or codes.min() < 0 or codes.max() > 63 or last.size == 0 or last[-1] != codes.size - 1:
        raise DataError("compressed run lengths with other characters or a torn end", "COCO's ASCII counts")
    first = np.r_[0, last[:-1] + 1]
    place = np.arange(codes.size) - np.repeat(first, last - first + 1)
    if int(place.max()) >= _GROUPS:
        raise DataError("a run length of more than 64 bits", "COCO's ASCII counts")
    values = np.add.reduceat((codes & 31) << (5 * place), first, dtype=np.int64)
    negative = (codes[last] & 16) > 0
    values[negative] |= np.int64(-1) << (5 * (place[last] + 1))[negative]
    for parity in (1, 2):
        values[parity::2] = np.cumsum(values[parity::2])
    runs: Runs = values
    return runs
