"""The canvas: nano's mask so far over the whole photo, on which a correction changes what it is connected to.

Arrays only. A canvas (h, w) float32 holds the logits of the whole photo at its own size, or at ``CANVAS`` pixels if it
is larger; the logits of a view (h', w') lie at half of its grid.

Source: FocalClick (Chen et al., 2022), section 3.3, for taking over only the change that a click is part of.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.frame import Frame, Size
from segue.core.types import Click

CANVAS = 1024  # pixels of the longer side of a large photo's canvas
OUTSIDE = -16.0  # the logit where nothing has been looked at
FIRM = 0.1  # the least logit, so that every threshold around one half shows the same mask
STRENGTH = 2.0  # the least logit under a click
Logits: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Window: TypeAlias = tuple[slice, slice]  # rows, columns


def canvas_frame(size: Size) -> Frame:
    """The whole photo of ``size`` (H, W), the longer side at most ``CANVAS`` pixels.

    >>> canvas_frame((300, 400)).grid, canvas_frame((3000, 4000)).grid
    ((300, 400), (768, 1024))
    """
    return Frame.longest(size, CANVAS, enlarge=False)


def empty_canvas(size: Size) -> Logits:
    """A canvas on which nothing has been looked at."""
    return np.full(canvas_frame(size).grid, OUTSIDE, np.float32)


def canvas_of(probability: NDArray[np.float32]) -> Logits:
    """The canvas that shows a map (H, W) in [0, 1].

    >>> canvas_of(np.array([[0.0, 0.5, 1.0]], np.float32)).tolist()
    [[-16.0, -0.10000000149011612, 16.0]]
    """
    h, w = canvas_frame((probability.shape[0], probability.shape[1])).grid
    small = cv2.resize(probability, (w, h), interpolation=cv2.INTER_AREA)
    least = 1 / (1 + np.exp(-OUTSIDE))
    inside = np.clip(small, least, 1 - least).astype(np.float64)
    return firm(np.log(inside / (1 - inside)).clip(OUTSIDE, -OUTSIDE).astype(np.float32))


def firm(logits: Logits) -> Logits:
    """No logit nearer to 0 than ``FIRM``."""
    firmed: Logits = np.where(logits > 0, np.maximum(logits, FIRM), np.minimum(logits, -FIRM)).astype(np.float32)
    return firmed


def window(view: Frame) -> Window:
    """The part of the canvas that ``view`` shows, to the nearest cell.

    >>> whole = Frame.longest((60, 80), 64)
    >>> window(whole.zoomed((10, 20, 40, 50), (32, 32)))
    (slice(20, 50, None), slice(10, 40, None))
    """
    canvas = canvas_frame(view.size)
    (sx, sy), (x0, y0, x1, y1) = canvas.scale, view.crop
    left, top = min(round(x0 * sx), canvas.grid[1] - 1), min(round(y0 * sy), canvas.grid[0] - 1)
    right, bottom = min(canvas.grid[1], round(x1 * sx)), min(canvas.grid[0], round(y1 * sy))
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def on_canvas(logits: Logits, view: Frame) -> Logits:
    """A view's logits (h', w') resampled to its ``window``."""
    rows, columns = window(view)
    sx, sy = canvas_frame(view.size).scale
    (gx, gy), (x0, y0) = view.scale, view.crop[:2]
    across, down = gx / sx / 2, gy / sy / 2  # cells of the view per cell of the canvas
    place = np.array(
        [
            [across, 0.0, (columns.start + 0.5) * across - x0 * gx / 2 - 0.5],
            [0.0, down, (rows.start + 0.5) * down - y0 * gy / 2 - 0.5],
        ]
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    seen = logits[: -(-view.resized[0] // 2), : -(-view.resized[1] // 2)]  # without the padding
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return firm(cv2.warpAffine(seen, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def in_view(canvas: Logits, view: Frame) -> Logits:
    """The probability (h', w') of the canvas at half the grid of ``view``, 0 in its padding."""
    part = canvas[window(view)]
    size = (max(1, round(view.resized[1] / 2)), max(1, round(view.resized[0] / 2)))
    method = cv2.INTER_AREA if size[0] < part.shape[1] else cv2.INTER_LINEAR
    shown = cv2.resize(1 / (1 + np.exp(-part)), size, interpolation=method)
    probability = np.zeros((view.grid[0] // 2, view.grid[1] // 2), np.float32)
    probability[: size[1], : size[0]] = shown[: probability.shape[0], : probability.shape[1]]
    return probability


def spot(click: Click, size: Size) -> Window:
    """The cells of the canvas that the clicked pixel of a photo of ``size`` (H, W) is interpolated from; one where the
    canvas has the photo's own size.

    >>> spot(Click(30.2, 20.9), (60, 80))
    (slice(20, 21, None), slice(30, 31, None))
    """
    canvas = canvas_frame(size)
    (sx, sy), (h, w) = canvas.scale, canvas.grid
    cells = []
    for place, scale, length in ((click.y, sy, h), (click.x, sx, w)):
        centre = (np.floor(place) + 0.5) * scale - 0.5
        low, high = max(0, int(np.floor(centre))), min(length - 1, int(np.ceil(centre)))
        cells.append(slice(low, high + 1))
    return cells[0], cells[1]


def connected_change(before: Mask, after: Mask, where: Window) -> Mask:
    """Where two masks (h, w) differ, as far as it is connected, diagonally too, to their difference in ``where``.

    >>> before, after = np.zeros((2, 5), bool), np.array([[1, 1, 0, 0, 1], [0, 1, 0, 0, 1]], bool)
    >>> connected_change(before, after, (slice(0, 1), slice(1, 2))).astype(int).tolist()
    [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0]]
    """
    _, parts = cv2.connectedComponents((before != after).astype(np.uint8), connectivity=8)
    held = np.setdiff1d(parts[where], [0])
    change: Mask = parts == held[0] if len(held) == 1 else np.isin(parts, held)
    return change


def corrected(canvas: Logits, fresh: Logits, part: Window, click: Click, size: Size) -> tuple[Logits, Mask]:
    """The canvas of a photo of ``size`` (H, W) with what the click changes in a ``part`` of it, where ``fresh`` is the
    answer to it, and that change, of the part's size.

    All else stays as it is, bit for bit. The clicked cells take the click's label in any case.
    """
    rows, columns = spot(click, size)
    here, fresh = (_within(rows, part[0]), _within(columns, part[1])), fresh.copy()
    _mark(fresh[here], click)
    change = connected_change(canvas[part] > 0, fresh > 0, here)
    result = canvas.copy()
    result[part][change] = fresh[change]
    _mark(result[rows, columns], click)
    return result, change


def everywhere(canvas: Logits) -> Window:
    """The whole of a canvas as a window."""
    return slice(0, canvas.shape[0]), slice(0, canvas.shape[1])


def _within(cells: slice, part: slice) -> slice:
    return slice(max(0, cells.start - part.start), max(0, cells.stop - part.start))


def _mark(cells: Logits, click: Click) -> None:
    """Give the cells, in place, the click's label."""
    if click.positive:
        np.maximum(cells, STRENGTH, out=cells)
    else:
        np.minimum(cells, -STRENGTH, out=cells)
