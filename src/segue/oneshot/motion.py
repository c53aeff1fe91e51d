"""How pixels moved since the frame before, and masks carried along by it.

Source: dense inverse search (Kroeger et al., 2016), by OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array
from segue.core.frame import Frame
from segue.core.types import Image, Probability

LONGEST = 480  # pixels of the longer side on which motion is looked for
GREY_LEVELS = 16.0  # a difference of grey levels by which a pixel counts as another one
LEAST_SIDE = 16  # pixels of a side with less of which nothing is looked for


def grey(image: Image, longest: int = LONGEST) -> NDArray[np.uint8]:
    """(H, W, 3) -> (h, w) grey, the longer side at most ``longest`` pixels."""
    scale = min(1.0, longest / max(image.shape))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


class Motion:
    """From every pixel of a frame to where it was in the frame before; both (h, w) grey, of one size.

    ``trust`` (h, w) in [0, 1] says how alike the two ends look.

    >>> before = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    >>> before = cv2.GaussianBlur(before, (0, 0), 3)
    >>> motion = Motion(np.roll(before, 2, 1), before)
    >>> bool(abs(np.median(motion.flow[..., 0]) + 2) < 0.5)
    True
    """

    def __init__(self, now: NDArray[np.uint8], before: NDArray[np.uint8]) -> None:
        height, width = now.shape
        if min(height, width) < LEAST_SIDE:
            self.flow: Array = np.zeros((height, width, 2), np.float32)
        else:
            search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_FAST)
            self.flow = np.asarray(search.calc(now, before, np.zeros((height, width, 2), np.float32)), np.float32)
        across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        there = cv2.remap(before, across + self.flow[..., 0], down + self.flow[..., 1], cv2.INTER_LINEAR)
        difference = cv2.absdiff(there, now).astype(np.float32) / np.float32(GREY_LEVELS)
        self.trust: Array = cv2.blur(np.exp(-np.square(difference)), (7, 7))

    def warp(self, probability: Probability, view: Frame, grid: tuple[int, int]) -> tuple[Array, Array]:
        """The (H, W) map of the frame before, carried into the ``view`` of this one at ``grid`` (h, w): that map, 0
        beyond the image, and how far the motion there can be trusted."""
        rows, columns = (
            (np.arange(n, dtype=np.float32) + np.float32(0.5)) * (side / n)
            for n, side in zip(grid, view.grid, strict=True)
        )
        across, down = (m.astype(np.float32) for m in np.meshgrid(columns, rows))
        at = view.to_image(np.stack([across, down], -1)).astype(np.float32)
        height, width = probability.shape
        scale = np.array([self.flow.shape[1] / width, self.flow.shape[0] / height], np.float32)
        small = np.ascontiguousarray(at * scale - np.float32(0.5))
        flow = cv2.remap(self.flow, small[..., 0], small[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        trust = cv2.remap(self.trust, small[..., 0], small[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        source = np.ascontiguousarray(at + flow / scale - np.float32(0.5))
        moved = cv2.remap(probability, source[..., 0], source[..., 1], cv2.INTER_LINEAR)
        outside = (across >= view.resized[1]) | (down >= view.resized[0])
        moved[outside], trust[outside] = 0, 0
        return moved, trust

    def box(self, probability: Probability) -> tuple[float, float, float, float] | None:
        """x0 y0 x1 y1, in image pixels, of where the (H, W) map of the frame before exceeds one half now."""
        h, w = self.flow.shape[:2]
        moved, _ = self.warp(probability, Frame.resize((probability.shape[0], probability.shape[1]), (h, w)), (h, w))
        rows, columns = np.flatnonzero((moved > 0.5).any(1)), np.flatnonzero((moved > 0.5).any(0))
        if not rows.size:
            return None
        sx, sy = probability.shape[1] / w, probability.shape[0] / h
        return columns[0] * sx, rows[0] * sy, (columns[-1] + 1) * sx, (rows[-1] + 1) * sy
