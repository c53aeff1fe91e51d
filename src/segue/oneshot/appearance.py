"""What an object looks like from near: its patches at one size whatever its size in the photo, and its colors.

The search compares whole photos, in which a distant thing of another kind may look like the example. What was found is
therefore looked at once more, cut out and as large as the example, and both are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array
from segue.core.frame import Crop, Frame
from segue.core.geometry import mask_box
from segue.core.types import Image, Mask
from segue.oneshot.matching import COVERED, cover, thinned, unit

MARGIN = 0.3  # of the object's longer side, on every side
BINS = (6, 10, 10)  # of lightness and the two color axes
RANGES = ((0, 256), (74, 182), (74, 182))  # of OpenCV's 8-bit Lab; few objects are more saturated

Patches: TypeAlias = Callable[[Image, Frame], Array]  # (image, frame) -> (c, h, w) unit vectors


@dataclass(frozen=True, eq=False)
class Appearance:
    """One object from near: unit ``patches`` (n, c), the share ``colors`` of every color, the ``spread`` (3,) of
    lightness and color axes over its pixels."""

    patches: Array
    colors: Array
    spread: Array


def close_crop(mask: Mask) -> Crop:
    """What is seen of the object (H, W) bool from near: its surroundings, inside the image.

    >>> mask = np.zeros((100, 200), bool); mask[40:60, 40:80] = True
    >>> close_crop(mask)
    (28, 18, 92, 82)
    """
    height, width = mask.shape
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, width, height)
    half = max(x1 - x0, y1 - y0) * (0.5 + MARGIN)
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    left, right = max(0, int(middle[0] - half)), min(width, int(np.ceil(middle[0] + half)))
    top, bottom = max(0, int(middle[1] - half)), min(height, int(np.ceil(middle[1] + half)))
    return left, top, right, bottom


def appearance(image: Image, mask: Mask, frames: list[Frame], patches: Patches) -> Appearance:
    """The object (H, W) bool of ``image`` in every one of ``frames``, the patches of all together."""
    seen = []
    for frame in frames:
        found = patches(image, frame)
        covered = cover(frame.view(mask.astype(np.float32)), (found.shape[1], found.shape[2]))
        inside = covered > COVERED if (covered > COVERED).any() else covered == covered.max()
        seen.append(found[:, inside].T)
    pixels = lab(image, mask)
    counts, _ = np.histogramdd(pixels, bins=BINS, range=RANGES)
    colors = (counts / max(1.0, counts.sum())).astype(np.float32)
    return Appearance(thinned(np.concatenate(seen)), colors, pixels.std(0))


def lab(image: Image, mask: Mask) -> NDArray[np.float32]:
    """(n, 3) lightness and color axes of the masked pixels, 0 to 255."""
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, 1, 1)
    crop = np.ascontiguousarray(image[y0:y1, x0:x1])
    pixels: NDArray[Any] = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)[mask[y0:y1, x0:x1]]
    return pixels.astype(np.float32) if len(pixels) else np.zeros((1, 3), np.float32)


def compare(example: Appearance, found: Appearance, layers: list[int]) -> dict[str, float]:
    """Evidence, by name, that two objects are one: likeness of their means by layer (channel counts ``layers``), how
    near the nearest patch is both ways, shared colors, difference of their spread.

    >>> one = Appearance(np.eye(4, dtype=np.float32)[:2], np.ones((1, 1, 1), np.float32), np.zeros(3, np.float32))
    >>> evidence = compare(one, one, [4])
    >>> evidence["near_forward"], evidence["colors"], evidence["near_likeness"]
    (1.0, 1.0, 1.0)
    """
    between = found.patches @ example.patches.T
    means = found.patches.mean(0), example.patches.mean(0)
    parts = [np.split(mean, np.cumsum(layers)[:-1]) for mean in means]
    return {
        "near_forward": float(between.max(1).mean()),
        "near_backward": float(between.max(0).mean()),
        "near_likeness": round(float(unit(means[0], 0) @ unit(means[1], 0)), 6),
        **{f"near_layer_{i}": float(unit(a, 0) @ unit(b, 0)) for i, (a, b) in enumerate(zip(*parts, strict=True))},
        "colors": float(np.minimum(example.colors, found.colors).sum()),
        "color_spread": float(np.linalg.norm(example.spread - found.spread) / 30),
    }
