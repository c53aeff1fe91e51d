"""A known object somewhere else: cut out, turned, bent, in another light, pasted into another photo."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.geometry import mask_box
from segue.core.types import Image, Mask

TURN = 15.0  # degrees, standard deviation
BEND = 0.12  # how far corners move, of the shorter side
SIZES = 0.35, 0.75  # of the pasted object, of the photo's shorter side


def pasted(photo: Image, image: Image, mask: Mask, chance: np.random.Generator) -> tuple[Image, Mask]:
    """The object (H, W) bool of ``image`` somewhere in ``photo``, and its mask there.

    >>> image = np.full((40, 60, 3), 200, np.uint8); mask = np.zeros((40, 60), bool); mask[10:30, 20:45] = True
    >>> made, where = pasted(np.zeros((50, 50, 3), np.uint8), image, mask, np.random.default_rng(0))
    >>> made.shape, bool(made[where].mean() > 60), bool(where.sum() > 100)
    ((50, 50, 3), True, True)
    """
    pixels, alpha = _bent(image, mask, chance)
    scale = chance.uniform(*SIZES) * min(photo.shape[:2]) / max(alpha.shape)
    width, height = (
        min(limit, max(8, round(n * scale))) for n, limit in zip(alpha.shape[::-1], photo.shape[1::-1], strict=True)
    )
    pixels, alpha = (cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) for part in (pixels, alpha))
    top, left = int(chance.integers(photo.shape[0] - height + 1)), int(chance.integers(photo.shape[1] - width + 1))
    where = np.zeros(photo.shape[:2], np.float32)
    where[top : top + height, left : left + width] = alpha
    made = photo.astype(np.float32)
    soft = cv2.GaussianBlur(where, (3, 3), 0)[top : top + height, left : left + width, None]
    spot = made[top : top + height, left : left + width]
    spot += soft * (pixels - spot)
    return np.clip(made, 0, 255).astype(np.uint8), where > 0.5


def _bent(image: Image, mask: Mask, chance: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """The object's pixels (h, w, 3) float32 and its alpha (h, w), turned, bent, perhaps mirrored, in another light."""
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, mask.shape[1], mask.shape[0])
    pad = max(x1 - x0, y1 - y0) // 2
    around = (pad, pad, pad, pad)
    pixels = cv2.copyMakeBorder(image[y0:y1, x0:x1], *around, cv2.BORDER_REPLICATE)
    alpha = cv2.copyMakeBorder(mask[y0:y1, x0:x1].astype(np.float32), *around, cv2.BORDER_CONSTANT)
    height, width = alpha.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + chance.uniform(-BEND, BEND, (4, 2)).astype(np.float32) * min(height, width)
    turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), chance.normal(0, TURN), 1), [0, 0, 1]])
    change = cv2.getPerspectiveTransform(corners, moved) @ turn
    pixels = cv2.warpPerspective(pixels, change, (width, height), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(alpha, change, (width, height))
    if chance.random() < 0.5:
        pixels, alpha = pixels[:, ::-1], alpha[:, ::-1]
    light = chance.uniform(0.75, 1.2) * chance.uniform(0.9, 1.1, 3)
    pixels = 255 * (pixels / np.float32(255)) ** chance.uniform(0.75, 1.35) * light
    left, top, right, bottom = mask_box(alpha > 0.5) or (0, 0, width, height)
    return pixels[top:bottom, left:right].astype(np.float32), np.ascontiguousarray(alpha[top:bottom, left:right])
