"""Segmenting in images too large for memory: a session on a window that follows the object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from segue.core.errors import InputError
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Mask, check_prompts
from segue.session.session import Session

SIDE = 1024


class Page(Protocol):
    """An image read in parts, for instance ``segue.data.tiff.TiffWindows``: its ``size`` (H, W), and every
    ``step``-th pixel of a part as (h, w, 3) uint8."""

    size: tuple[int, int]

    def read(self, x0: int, y0: int, x1: int, y1: int, step: int = 1) -> Image: ...


@dataclass(frozen=True)
class Window:
    """Part x0 ... x1, y0 ... y1 (exclusive ends) of a page, seen at every ``step``-th pixel.

    >>> Window(100, 50, 300, 150, 2).size
    (50, 100)
    """

    x0: int
    y0: int
    x1: int
    y1: int
    step: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of what is seen."""
        return -(-(self.y1 - self.y0) // self.step), -(-(self.x1 - self.x0) // self.step)

    def holds(self, prompt: Click | Box) -> bool:
        """Whether a prompt in page pixels lies inside."""
        x0, y0, x1, y1 = _extent((prompt,))
        return self.x0 <= x0 and self.y0 <= y0 and x1 <= self.x1 and y1 <= self.y1

    def to_window(self, prompt: Click | Box) -> Click | Box:
        """Page pixels -> window pixels."""
        if isinstance(prompt, Click):
            x, y = (prompt.x - self.x0) / self.step, (prompt.y - self.y0) / self.step
            return Click(min(x, self.size[1] - 1), min(y, self.size[0] - 1), prompt.positive)
        corners = ((prompt.x0, self.x0), (prompt.y0, self.y0), (prompt.x1, self.x0), (prompt.y1, self.y0))
        return Box(*((value - origin) / self.step for value, origin in corners))


@dataclass(frozen=True, eq=False)
class _Step:
    window: Window
    session: Session
    prompts: tuple[Click | Box, ...]


class WindowSession:
    """Clicks and boxes in page pixels; the model sees a window of about ``side`` pixels a side around them.

    Where the mask meets the edge of the window, or a click falls outside, the window grows to twice the size
    (coarser once it is larger than 2 x ``side``) and all prompts are asked again there, until the object fits.
    Memory follows the window. Raises ``InputError`` for other prompts and for ones off the page.
    Source: the zoom-in of interactive segmentation (f-BRS), turned round: from the click outwards.

    >>> import segue
    >>> class Grey:
    ...     size = (5000, 8000)
    ...     def read(self, x0, y0, x1, y1, step=1):
    ...         return np.full((-(-(y1 - y0) // step), -(-(x1 - x0) // step), 3), 90, np.uint8)
    >>> session = WindowSession(segue.load("nano"), Grey(), side=256)
    >>> session.add(segue.Click(4000, 2500)).shape == session.window.size
    True
    """

    def __init__(self, model: Segmenter, page: Page, side: int = SIDE) -> None:
        self.model, self.page, self.side = model, page, side
        self._steps: list[_Step] = []

    def add(self, *prompts: Click | Box) -> Mask:
        """Answer ``prompts`` on top of all before them: (h, w) bool, the mask inside ``window``."""
        check_prompts(prompts, self.page.size, self.model.accepts & {Click, Box})
        if not prompts:
            raise InputError("no prompt", "at least one click or box")
        every = (*self.prompts, *prompts)
        last = self._steps[-1] if self._steps else None
        if last is not None and all(map(last.window.holds, prompts)):
            window, session = last.window, last.session
            mask = session.add(*map(window.to_window, prompts))
        else:
            window = self._around(_extent(every), self.side if last is None else _longest(last.window) * 2)
            session, mask = self._ask(window, every)
        while self._cut(mask, window):
            window = self._around(_extent(every, _on_page(mask, window)), 2 * _longest(window))
            session, mask = self._ask(window, every)
        self._steps.append(_Step(window, session, every))
        return mask

    def undo(self) -> Mask | None:
        """Take the last step back, its window included; the mask before it, or None at the beginning."""
        if self._steps:
            gone = self._steps.pop()
            if self._steps and self._steps[-1].session is gone.session:
                gone.session.undo()
        return self.mask

    @property
    def prompts(self) -> tuple[Click | Box, ...]:
        """Every prompt so far, in page pixels."""
        return self._steps[-1].prompts if self._steps else ()

    @property
    def window(self) -> Window:
        """What the model sees now; the whole page, coarsely, before the first prompt."""
        return self._steps[-1].window if self._steps else self._around((0, 0, 1, 1), max(self.page.size))

    @property
    def mask(self) -> Mask | None:
        """(h, w) bool inside ``window``, or None before the first prompt."""
        return self._steps[-1].session.mask if self._steps else None

    def tiles(self, side: int = 512) -> Iterator[Mask]:
        """The mask of the whole page as (side, side) bool tiles in row-major order, cropped at no edge: what
        lies beyond the page is background. For ``segue.data.tiff.write_tiles``."""
        mask, window = self.mask, self.window
        for top in range(0, self.page.size[0], side):
            for left in range(0, self.page.size[1], side):
                yield np.zeros((side, side), bool) if mask is None else _tile(mask, window, left, top, side)

    def _ask(self, window: Window, prompts: Sequence[Click | Box]) -> tuple[Session, Mask]:
        pixels = self.page.read(window.x0, window.y0, window.x1, window.y1, window.step)
        session = Session(self.model, pixels)
        return session, session.add(*map(window.to_window, prompts))

    def _cut(self, mask: Mask, window: Window) -> bool:
        """Whether the object goes on beyond an edge of the window that is no edge of the page."""
        height, width = self.page.size
        edges = ((window.x0 > 0, mask[:, 0]), (window.x1 < width, mask[:, -1]),
                 (window.y0 > 0, mask[0]), (window.y1 < height, mask[-1]))  # fmt: skip
        return any(inner and bool(edge.any()) for inner, edge in edges)

    def _around(self, extent: tuple[float, float, float, float], side: int) -> Window:
        """A window of at least ``side`` pixels a side around ``extent``, moved inside the page."""
        x0, y0, x1, y1 = extent
        (height, width), ends = self.page.size, []
        for low, high, limit in ((x0, x1, width), (y0, y1, height)):
            length = min(limit, max(side, math.ceil(1.5 * (high - low))))
            start = min(max(0, round((low + high - length) / 2)), limit - length)
            ends.append((start, start + length))
        (left, right), (top, bottom) = ends
        step = -(-max(right - left, bottom - top) // (2 * self.side))
        return Window(left, top, right, bottom, step)


def _longest(window: Window) -> int:
    return max(window.x1 - window.x0, window.y1 - window.y0)


def _extent(
    prompts: Sequence[Click | Box], mask: tuple[float, float, float, float] | None = None
) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) around prompts and the box of a mask; a click is one pixel."""
    corners = [(p.x, p.y, p.x + 1, p.y + 1) if isinstance(p, Click) else (p.x0, p.y0, p.x1, p.y1) for p in prompts]
    corners += [mask] if mask is not None else []
    return (min(c[0] for c in corners), min(c[1] for c in corners),
            max(c[2] for c in corners), max(c[3] for c in corners))  # fmt: skip


def _on_page(mask: Mask, window: Window) -> tuple[float, float, float, float]:
    """The box of a mask (h, w) that has pixels, in page pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y, step = window.x0, window.y0, window.step
    return (x + float(columns[0]) * step, y + float(rows[0]) * step,
            x + float(columns[-1] + 1) * step, y + float(rows[-1] + 1) * step)  # fmt: skip


def _tile(mask: Mask, window: Window, left: int, top: int, side: int) -> Mask:
    """(side, side) part of the page at (left, top): the window's mask at full size, background elsewhere."""
    tile = np.zeros((side, side), bool)
    x0, x1 = max(left, window.x0), min(left + side, window.x1)
    y0, y1 = max(top, window.y0), min(top + side, window.y1)
    if x0 < x1 and y0 < y1:
        rows, columns = (np.arange(y0, y1) - window.y0) // window.step, (np.arange(x0, x1) - window.x0) // window.step
        tile[y0 - top : y1 - top, x0 - left : x1 - left] = mask[np.ix_(rows, columns)]
    return tile
