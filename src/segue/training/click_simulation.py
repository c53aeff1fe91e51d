"""Simulated users as the papers train with them, on masks of full resolution: RITM's sampler of first clicks and its
next click, and InterFormer's click.

Masks are (H, W) bool; clicks are (k, 3) float32 rows x, y, label in whole pixels, label 1 positive, 0 negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.types import Mask
from segue.training.recipe_config import SimulationConfig

Click: TypeAlias = tuple[float, float, float]  # x, y, label
Clicks: TypeAlias = NDArray[np.float32]
Places: TypeAlias = Sequence[tuple[Mask, float]]  # masks to click in, and the probability of each

ERODED, ERODE_STEPS, LEAST_ERODED = 0.9, 3, 10  # share of objects eroded, how often, pixels that must be left
BORDER = 0.1  # width of an object's own border, times the root of its area
THRESHOLD = 0.49  # of RITM's mask
MASK_SIZE = 5  # of OpenCV's approximate distance, as RITM trains
INNER = 2.0  # RITM's next click is deeper than the deepest / this


@dataclass(frozen=True)
class Scene:
    """What a simulated user wants in a view: the objects joined in the target (``parts``; none: nothing but
    background), how many ``objects`` are in view, and the pixels of any of them (``occupied``).

    >>> bool(Scene((), np.zeros((2, 2), bool), 0).target.any())
    False
    """

    parts: tuple[Mask, ...]
    occupied: Mask
    objects: int

    @property
    def target(self) -> Mask:
        """(H, W) the joined objects."""
        return np.logical_or.reduce(self.parts) if self.parts else np.zeros_like(self.occupied)


def count_odds(values: int, gamma: float) -> NDArray[np.float64]:
    """The odds of ``values`` counts that fall by ``gamma`` each.

    >>> count_odds(3, 0.5).tolist()
    [0.5714285714285714, 0.2857142857142857, 0.14285714285714285]
    """
    odds = gamma ** np.arange(values, dtype=np.float64)
    shares: NDArray[np.float64] = odds / odds.sum()
    return shares


def ritm_clicks(scene: Scene, rng: np.random.Generator, config: SimulationConfig) -> Clicks:
    """RITM's clicks before any answer: 1 to ``most_clicks`` positive ones in the eroded object and 0 to
    ``most_clicks`` negative ones: at the object's own border, in the background, on other objects.

    Where two objects are joined each gets its first click, and both share the others. A strategy without a pixel
    gives no click. Source: RITM, section 3.2, and its published sampler.

    >>> disk = np.zeros((9, 9), bool)
    >>> disk[3:6, 3:6] = True
    >>> clicks = ritm_clicks(Scene((disk,), disk, 1), np.random.default_rng(0), SimulationConfig())
    >>> all(disk[int(y), int(x)] == bool(label) for x, y, label in clicks)
    True
    """
    most, gamma = config.most_clicks, config.count_gamma
    parts = [_eroded(part, rng) for part in scene.parts]
    each = [_placed([(part, 1.0)], 1 + int(rng.choice(most, p=count_odds(most, gamma))), rng) for part in parts]
    each = [points for points in each if points]
    positive = each[0] if len(each) == 1 else [points[0] for points in each]
    if len(each) > 1:
        count = int(rng.choice(most + 1, p=count_odds(most + 1, gamma)))
        shared = _placed([(part, 1 / len(parts)) for part in parts], count, rng)
        room = most - len(positive)
        if len(shared) > room:
            shared = [shared[i] for i in rng.permutation(len(shared))[:room]]
        positive = positive + shared
    count = int(rng.choice(most + 1, p=count_odds(most + 1, gamma)))
    negative = _placed(negative_places(scene, config), count, rng)
    rows = [(x, y, 1.0) for y, x in positive] + [(x, y, 0.0) for y, x in negative]
    return np.array(rows, np.float32).reshape(-1, 3)


def negative_places(scene: Scene, config: SimulationConfig) -> Places:
    """Where RITM's negative clicks fall, with the probability of each: background, other objects, the own border.

    >>> one = np.eye(3, dtype=bool)
    >>> places = negative_places(Scene((one,), one, 1), SimulationConfig())
    >>> [probability for _, probability in places], bool((places[0][0] == places[1][0]).all())
    ([0.1, 0.4, 0.5], True)
    """
    target = scene.target
    free = ~scene.occupied
    background, other, border = config.negatives
    if not scene.parts:
        return [(free, background), (free, other), (free, border)]
    others = ~target if scene.objects <= len(scene.parts) else scene.occupied & ~target
    return [(~target, background), (others, other), (_border(target), border)]


def ritm_next_click(
    probability: NDArray[np.float32], target: Mask, ignore_mask: Mask, rng: np.random.Generator
) -> Click | None:
    """RITM's click on an answer: anywhere in the worse error that is deeper than half of the deepest; None where
    nothing is wrong.

    ``probability`` (H, W) is a mask from 0.49. Ignored pixels are no error (RITM's data have none).
    Source: RITM, section 3.2, and its published training code.

    >>> target = np.zeros((5, 5), bool)
    >>> target[1:4, 1:4] = True
    >>> ritm_next_click(np.zeros((5, 5), np.float32), target, ~target & False, np.random.default_rng(0))
    (2.0, 2.0, 1.0)
    """
    missed = _depths(target & (probability < THRESHOLD) & ~ignore_mask, MASK_SIZE)
    surplus = _depths(~target & (probability > THRESHOLD) & ~ignore_mask, MASK_SIZE)
    return _drawn(*candidates(missed, surplus, 1 / INNER), target.shape[1], rng)


def interformer_click(
    mask: Mask,
    target: Mask,
    ignore_mask: Mask,
    rng: np.random.Generator,
    inner: float,
    clicked: Sequence[tuple[int, int]] = (),
) -> Click | None:
    """InterFormer's click on the answer ``mask``: anywhere in the worse error that is deeper than the deepest /
    ``inner`` (1: the deepest pixels alone); None where nothing is wrong.

    Pixels ``clicked`` (y, x) before leave the error before depths are taken.
    Source: InterFormer, section 3.4, and its published code (1 for the first click, 1.7 for the others).

    >>> target = np.zeros((5, 5), bool)
    >>> target[1:4, 1:4] = True
    >>> interformer_click(~target & False, target, ~target & False, np.random.default_rng(0), inner=1.0)
    (2.0, 2.0, 1.0)
    """
    free = ~ignore_mask
    for y, x in clicked:
        free[y, x] = False
    missed, surplus = _depths(target & ~mask & free, 0), _depths(mask & ~target & free, 0)
    share = 1 / (inner + float(np.finfo(np.float32).eps))
    return _drawn(*candidates(missed, surplus, share), target.shape[1], rng)


def candidates(
    missed: NDArray[np.float32], surplus: NDArray[np.float32], share: float
) -> tuple[NDArray[np.intp], bool]:
    """(flat pixels deeper than ``share`` of the deepest, whether positive), of the deeper of two errors; a negative
    click where they are as deep.

    ``missed`` and ``surplus`` are depths (H, W) of the two errors.

    >>> candidates(np.float32([[0, 2, 1]]), np.float32([[1, 0, 0]]), 0.4)
    (array([1, 2]), True)
    """
    positive = bool(missed.max() > surplus.max())
    depths = missed if positive else surplus
    return np.flatnonzero(depths > share * depths.max()), positive


def _drawn(pixels: NDArray[np.intp], positive: bool, width: int, rng: np.random.Generator) -> Click | None:
    if not len(pixels):
        return None
    y, x = divmod(int(pixels[rng.integers(len(pixels))]), width)
    return float(x), float(y), float(positive)


def _placed(places: Places, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """``count`` pixels (y, x), each in a place drawn by its probability; fewer where a drawn place is empty."""
    flat = [np.flatnonzero(mask) for mask, _ in places]
    width = places[0][0].shape[1]
    picks = rng.choice(len(places), count, p=[probability for _, probability in places])
    return [divmod(int(rng.choice(flat[i])), width) for i in picks if len(flat[i])]


def _eroded(mask: Mask, rng: np.random.Generator) -> Mask:
    if rng.random() > ERODED:
        return mask
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=ERODE_STEPS) > 0
    return inner if inner.sum() > LEAST_ERODED else mask


def _border(mask: Mask) -> Mask:
    steps = math.ceil(BORDER * math.sqrt(mask.sum()))
    wider: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=steps) > 0
    return wider & ~mask


def _depths(error: Mask, mask_size: int) -> NDArray[np.float32]:
    """(H, W) distance to the nearest pixel without the error, the view's outside included."""
    padded = np.pad(error, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, mask_size)[1:-1, 1:-1], np.float32)
