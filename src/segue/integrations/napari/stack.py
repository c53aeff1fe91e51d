"""Clicks on the slices of an array, without any window: what the napari widget drives."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError
from segue.core.geometry import deepest_point
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask, Prompt, Reference
from segue.data.io.pixels import as_image
from segue.session.memory_cache import MemoryCache
from segue.session.session import Session

Index = tuple[int, ...]  # of a slice: () for a plain image, (z,) in a stack, (t, z) in a film of stacks
CACHED = 16  # slices whose features stay in memory


class Stack:
    """An image, a stack (Z, H, W) or more, grey or ``rgb`` (a last axis of 3 or 4), under annotation slice by slice.

    Slices deeper than 8 bits are stretched each from its own percentiles. Methods may be called from a thread.

    >>> import segue
    >>> stack = Stack(segue.load("nano"), np.zeros((3, 32, 48), np.uint16))
    >>> stack.size, stack.prompt((1,), [Click(20, 10)]).shape
    ((32, 48), (32, 48))
    """

    def __init__(self, model: Segmenter, data: Any, rgb: bool = False) -> None:
        self.model, self.data, self.rgb = model, data, rgb
        shape = tuple(int(n) for n in data.shape)
        if len(shape) < 2 + rgb:
            raise ImageError(f"an array of shape {shape}", "(H, W), (Z, H, W), or with a last axis of colours")
        planes = shape[:-1] if rgb else shape
        self.size: tuple[int, int] = (planes[-2], planes[-1])
        self.leading: Index = planes[:-2]
        self._cache = MemoryCache(model, CACHED)
        self._session: tuple[Index, Session] | None = None
        self._lock = threading.RLock()

    def image(self, index: Index) -> Image:
        """(H, W, 3) uint8 of a slice."""
        return as_image(np.asarray(self.data[index]))

    def has(self, index: Index) -> bool:
        """Whether the slice is encoded."""
        return index in self._cache

    def encode(self, index: Index) -> Index:
        """Encode a slice ahead of its first click; returns the index."""
        with self._lock:
            self._cache.get(index, lambda: self.image(index))
        return index

    def prompt(self, index: Index, prompts: Sequence[Prompt]) -> Mask:
        """The mask (H, W) of exactly these prompts on a slice: those that are new are added to the session, and a
        list that is no continuation starts a new one. No prompt, no mask."""
        with self._lock:
            if not prompts:
                self._session = None
                return np.zeros(self.size, bool)
            known = self._session[1] if self._session and self._session[0] == index else None
            before = known.prompts if known is not None else ()
            if known is None or tuple(prompts[: len(before)]) != before:
                known, before = self._open(index), ()
            if len(prompts) > len(before):
                known.add(*prompts[len(before) :])
            self._session = index, known
            return _answer(known)

    def undo(self) -> int:
        """Take the last step of the session back, exactly; how many prompts are left."""
        with self._lock:
            if self._session is None:
                return 0
            self._session[1].undo()
            return len(self._session[1].prompts)

    def finish(self) -> None:
        """The object is done; the next prompt begins another."""
        with self._lock:
            self._session = None

    def others(self, index: Index, mask: Mask) -> Iterator[tuple[Index, Mask]]:
        """The same object on the other slices of the innermost axis: by one-shot where the model understands
        examples, else carried from slice to slice, outward, until it is gone.

        Raises ``InputError`` for an empty mask or a plain image.
        """
        if not mask.any() or not index:
            raise InputError(
                "no object to look for" if index else "a single image",
                "a mask on one slice of a stack",
                "segment it on this slice first",
            )
        last = self.leading[-1]
        outward = [range(index[-1] + 1, last), range(index[-1] - 1, -1, -1)]
        if Reference in self.model.accepts:
            example = Reference(self.image(index), mask)
            for z in (z for way in outward for z in way):
                with self._lock:
                    yield (*index[:-1], z), self._open((*index[:-1], z)).add(example)
            return
        for way in outward:
            current = mask
            for z in way:
                with self._lock:
                    session = self._open((*index[:-1], z))
                    session.set_mask(current)
                    current = session.add(deepest(current))
                if not current.any():
                    break
                yield (*index[:-1], z), current

    def _open(self, index: Index) -> Session:
        image, features = self._cache.get(index, lambda: self.image(index))
        return Session(self.model, image, features=features)


def deepest(mask: Mask) -> Click:
    """A click where the object is widest.

    >>> deepest(np.pad(np.ones((3, 3), bool), 2))
    Click(x=3.0, y=3.0, positive=True)
    """
    x, y, _ = deepest_point(mask)
    return Click(float(x), float(y))


def painted(base: NDArray[Any], mask: Mask, label: int, preserve: bool) -> NDArray[Any]:
    """A slice of labels with ``mask`` as object ``label``; with ``preserve`` other objects keep their pixels.

    >>> painted(np.array([[2, 0]]), np.array([[True, True]]), 1, preserve=True)
    array([[2, 1]])
    """
    now = np.where(base == label, 0, base)
    now[mask & (now == 0) if preserve else mask] = label
    return now


def _answer(session: Session) -> Mask:
    mask = session.mask
    assert mask is not None
    return mask
