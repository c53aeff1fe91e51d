"""Clicks in images too large to hold: the model sees a window around them, the mask is run lengths of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from segue.core.errors import InputError
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Prompt
from segue.data.rle import Rle
from segue.session.session import Session

Window = tuple[int, int, int, int]

SIDE = 1024  # pixels of the window around a click
LARGEST = 4096


class Windows(Protocol):
    """An image that is read in parts, for instance ``segue.data.io.image.open_image``."""

    def size(self, page: int = 0) -> tuple[int, int]: ...

    def window(self, window: Window | None = None, page: int = 0) -> Image: ...


class WindowedSession:
    """One object in a gigapixel image. The window lies around the prompts and grows, doubling, when the mask
    touches its edge or a click falls outside, up to ``largest`` pixels a side; the mask so far is brought along.

    Source: ours; inside a window everything is ``Session``.

    >>> import segue
    >>> class Plain:
    ...     def size(self, page=0): return (5000, 6000)
    ...     def window(self, window=None, page=0): return np.zeros((window[3] - window[1], window[2] - window[0], 3), np.uint8)
    >>> session = WindowedSession(segue.load("nano"), Plain(), side=64, largest=64)
    >>> session.add(Click(5900, 4900)).size, session.area
    ((5000, 6000), (5868, 4868, 5932, 4932))
    """  # noqa: E501

    def __init__(
        self, model: Segmenter, source: Windows, page: int = 0, *, side: int = SIDE, largest: int = LARGEST
    ) -> None:
        self.model, self.source, self.page = model, source, page
        self.size = source.size(page)
        self.area: Window | None = None
        self._side, self._largest = side, max(side, largest)
        self._prompts: tuple[Prompt, ...] = ()
        self._session: Session | None = None

    def add(self, *prompts: Prompt) -> Rle:
        """Answer clicks and boxes in pixels of the whole image: the mask as run lengths.

        Raises ``InputError`` for other prompts, prompts outside the image, or further apart than the largest window.
        """
        every = (*self._prompts, *prompts)
        needed = _around(every, self.size)
        if max(needed[2] - needed[0], needed[3] - needed[1]) > self._largest:
            raise InputError("prompts too far apart", f"all within {self._largest} pixels", "begin another object")
        if self._session is None or self.area is None or not _inside(needed, self.area):
            self._open(_grown(needed, self._side, self.size))
            fresh: Sequence[Prompt] = every
        else:
            fresh = prompts
        self._answer(fresh)
        self._prompts = every
        while self._touches_edge():
            assert self.area is not None
            side = 2 * max(self.area[2] - self.area[0], self.area[3] - self.area[1])
            if side > self._largest:
                break
            self._open(_grown(needed, side, self.size))
            self._answer(every)
        return self.mask

    @property
    def mask(self) -> Rle:
        """The mask of the whole image; empty before the first prompt."""
        mask = self._session.mask if self._session is not None else None
        if mask is None or self.area is None:
            return Rle.empty(self.size)
        return Rle.from_crop(mask, self.area[0], self.area[1], self.size)

    @property
    def score(self) -> float:
        """The model's own confidence in the current mask, in [0, 1]; 0 before the first prompt."""
        return self._session.score if self._session is not None else 0.0

    def undo(self) -> Rle:
        """Take the last step inside the window back."""
        if self._session is not None:
            self._session.undo()
            self._prompts = self._prompts[: len(self._session.prompts)]
        return self.mask

    def _open(self, area: Window) -> None:
        before, was = self.mask, self.area
        self.area = area
        self._session = Session(self.model, self.source.window(area, self.page))
        if was is not None and before.area:
            x0, y0, x1, y1 = area
            seen = np.zeros((y1 - y0, x1 - x0), bool)
            crop, x, y = before.crop()
            top, left = max(y, y0), max(x, x0)
            part = crop[top - y : y1 - y, left - x : x1 - x]
            seen[top - y0 : top - y0 + part.shape[0], left - x0 : left - x0 + part.shape[1]] = part
            self._session.set_mask(seen)

    def _answer(self, prompts: Sequence[Prompt]) -> None:
        assert self._session is not None
        assert self.area is not None
        x, y = self.area[:2]
        self._session.add(*(_moved(prompt, -x, -y) for prompt in prompts))

    def _touches_edge(self) -> bool:
        """Whether the mask reaches an edge of the window that is not the image's own."""
        mask = self._session.mask if self._session is not None else None
        if mask is None or self.area is None:
            return False
        x0, y0, x1, y1 = self.area
        edges = (
            (x0 > 0, mask[:, 0]),
            (y0 > 0, mask[0]),
            (x1 < self.size[1], mask[:, -1]),
            (y1 < self.size[0], mask[-1]),
        )
        return any(inner and bool(pixels.any()) for inner, pixels in edges)


def _moved(prompt: Prompt, x: float, y: float) -> Prompt:
    if isinstance(prompt, Click):
        return replace(prompt, x=prompt.x + x, y=prompt.y + y)
    if isinstance(prompt, Box):
        return Box(prompt.x0 + x, prompt.y0 + y, prompt.x1 + x, prompt.y1 + y)
    raise InputError(f"a {type(prompt).__name__} prompt", "clicks and boxes, as only a window is seen")


def _around(prompts: Sequence[Prompt], size: tuple[int, int]) -> Window:
    """The least window that holds all prompts. Raises ``InputError`` where one lies outside the image."""
    corners = []
    for prompt in prompts:
        if isinstance(prompt, Click):
            corners.append((prompt.x, prompt.y, prompt.x, prompt.y))
            if not (0 <= prompt.x < size[1] and 0 <= prompt.y < size[0]):
                where = f"0 <= x < {size[1]} and 0 <= y < {size[0]}"
                raise InputError(f"a click at ({prompt.x:g}, {prompt.y:g})", where, "click inside the image")
        elif isinstance(prompt, Box):
            x0, y0, x1, y1 = prompt.x0, prompt.y0, prompt.x1, prompt.y1
            if x0 >= size[1] or y0 >= size[0] or x1 <= 0 or y1 <= 0:
                raise InputError(f"the box {x0:g},{y0:g},{x1:g},{y1:g}", "a box that meets the image")
            corners.append((max(x0, 0), max(y0, 0), min(x1, size[1]) - 1, min(y1, size[0]) - 1))
        else:
            _moved(prompt, 0, 0)
    if not corners:
        raise InputError("no prompt", "at least one click or box")
    low, high = np.array(corners).min(0), np.array(corners).max(0)
    return int(low[0]), int(low[1]), int(high[2]) + 1, int(high[3]) + 1


def _inside(inner: Window, outer: Window) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _grown(needed: Window, side: int, size: tuple[int, int]) -> Window:
    """``needed`` grown to ``side`` around its middle, kept inside the image."""
    bounds = []
    for low, high, most in ((needed[0], needed[2], size[1]), (needed[1], needed[3], size[0])):
        length = min(max(side, high - low), most)
        start = min(max((low + high - length) // 2, 0), most - length)
        bounds.append((start, start + length))
    return bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]
