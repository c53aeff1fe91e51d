"""Where nano looks closely at a correction: around the click, and around what it changed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segue.core.frame import Frame
from segue.core.geometry import mask_box
from segue.core.types import Click
from segue.models.nano.canvas import Logits, Mask, canvas_frame, spot, window
from segue.models.nano.views import Point, expanded, zoomed

REACH = 5.0  # a first look shows this many times the distance from the click to where the mask is right
FARTHEST = 0.12  # of the photo's longer side; beyond this distance a first look would have to be wide
BORDER = 0.02  # of a view's side: a change that comes so near to it goes on outside


@dataclass(frozen=True)
class CloseLook:
    """Views of ``size`` pixels, of at least ``min_crop`` longer sides of the photo, ``expansion`` times what changed.

    >>> whole = Frame.longest((600, 800), 384)
    >>> canvas = np.full((600, 800), -5.0, np.float32)
    >>> canvas[:, :400] = 5.0
    >>> CloseLook(256, 0.12, 1.4).around(Click(419, 300), canvas, whole).crop
    (369, 250, 470, 351)
    """

    size: int
    min_crop: float
    expansion: float

    def around(self, click: Click, canvas: Logits, whole: Frame) -> Frame | None:
        """The view that a correction is first looked for in: the wider, the farther the click is from where the mask
        on the ``canvas`` has its label already. None where that is at the click itself or far away."""
        longest = max(whole.size)
        distance = distance_to_label(canvas, click, whole, FARTHEST * longest)
        if not 0 < distance < FARTHEST * longest:
            return None
        place = np.array([click.x, click.y])
        return self._view(place, place + 1, 1.0, max(self.min_crop * longest, REACH * distance), whole)

    def around_change(self, change: Mask, click: Click, whole: Frame) -> Frame:
        """The view around a ``change`` (h, w) of the canvas and the click."""
        sx, sy = canvas_frame(whole.size).scale
        low, high = np.array([click.x, click.y]), np.array([click.x + 1, click.y + 1])
        box = mask_box(change)
        if box is not None:
            low = np.minimum(low, (box[0] / sx, box[1] / sy))
            high = np.maximum(high, (box[2] / sx, box[3] / sy))
        return self._view(low, high, self.expansion, self.min_crop * max(whole.size), whole)

    def _view(self, low: Point, high: Point, expansion: float, least: float, whole: Frame) -> Frame:
        return zoomed(whole, expanded(low, high, expansion, least, whole.size), self.size, 0.0)


def distance_to_label(canvas: Logits, click: Click, whole: Frame, most: float) -> float:
    """How far, in pixels of the photo, the click is from where the mask has its label already; 0 where it has it at the
    click itself, ``most`` where there is none within that.

    >>> canvas = np.full((60, 80), -5.0, np.float32)
    >>> canvas[:, :20] = 5.0
    >>> distance_to_label(canvas, Click(23, 30), Frame.longest((60, 80), 64), 9.0)
    4.0
    """
    (sx, _), (rows, columns) = canvas_frame(whole.size).scale, spot(click, whole.size)
    reach, y, x = int(np.ceil(most * sx)) + 1, rows.start, columns.start
    top, left = max(0, y - reach), max(0, x - reach)
    other = ((canvas[top : y + reach + 1, left : x + reach + 1] > 0) != click.positive).astype(np.uint8)
    if other.all():
        return most
    return min(most, float(cv2.distanceTransform(other, cv2.DIST_L2, 5)[y - top, x - left]) / sx)


def is_cut(change: Mask, view: Frame) -> bool:
    """Whether a ``change`` in the window of ``view`` comes so near to its border that it may go on outside the view,
    though not outside the photo.

    >>> view = Frame.longest((60, 80), 64).zoomed((10, 20, 40, 60), (64, 48))
    >>> change = np.zeros((40, 30), bool)
    >>> change[20:, 10] = True
    >>> is_cut(change, view), is_cut(change[:, ::-1].T, view)
    (False, True)
    """
    rows, columns = window(view)
    h, w = canvas_frame(view.size).grid
    edge = max(1, round(BORDER * max(change.shape)))
    open_sides = (rows.start > 0, rows.stop < h, columns.start > 0, columns.stop < w)
    strips = (change[:edge], change[-edge:], change[:, :edge], change[:, -edge:])
    return any(is_open and bool(strip.any()) for is_open, strip in zip(open_sides, strips, strict=True))
