"""The two measures of DAVIS: region similarity J and contour accuracy F."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segue.core.geometry import nearest
from segue.core.types import Mask
from segue.metrics.overlap import check_pair, iou


def region_similarity(prediction: Mask, target: Mask, ignore_mask: Mask | None = None) -> float:
    """DAVIS J in [0, 1]: the IoU of two (H, W) masks outside ``ignore_mask``, 1 where both are empty.

    Raises ``InputError`` for masks of different sizes. Source: Perazzi et al., CVPR 2016, section 4.

    >>> region_similarity(np.zeros((2, 2), bool), np.zeros((2, 2), bool))
    1.0
    """
    return iou(prediction, target, ignore_mask, empty=1.0)


def contour_accuracy(
    prediction: Mask, target: Mask, ignore_mask: Mask | None = None, tolerance: float = 0.008
) -> float:
    """DAVIS F in [0, 1]: the F-measure of contour pixels matched within ``tolerance`` times the diagonal.

    The tolerance is rounded up to whole pixels; a value of 1 or more is taken as pixels. ``ignore_mask`` pixels are
    background in both masks. Two empty contours score 1, one empty contour 0.
    Raises ``InputError`` for masks of different sizes. Source: Perazzi et al., CVPR 2016, section 4; the
    precise contour is that of ``contour_map``.

    >>> square = np.zeros((40, 40), bool)
    >>> square[10:30, 10:30] = True
    >>> contour_accuracy(np.roll(square, 1, axis=0), square), contour_accuracy(np.roll(square, 6, 0), square) < 0.7
    (1.0, True)
    """
    check_pair(prediction, target, ignore_mask)
    if ignore_mask is not None and ignore_mask.any():
        prediction, target = prediction & ~ignore_mask, target & ~ignore_mask
    radius = tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*target.shape))
    first, second = np.argwhere(contour_map(prediction)), np.argwhere(contour_map(target))
    if not len(first) or not len(second):
        return 1.0 if len(first) == len(second) else 0.0
    precision = _matched(first, second, radius)
    recall = _matched(second, first, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def decay(values: Sequence[float]) -> float:
    """DAVIS decay of per-frame ``values`` in [0, 1]: the mean over the first quarter of the frames less that over the
    last; each quarter holds the frames at both its ends. 0 for fewer than two frames.

    Source: Perazzi et al., CVPR 2016, section 4.

    >>> round(decay([1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]), 6)
    0.5
    """
    if len(values) < 2:
        return 0.0
    ends = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    return float(np.mean(values[: ends[1] + 1]) - np.mean(values[ends[3] :]))


def recall(values: Sequence[float], least: float = 0.5) -> float:
    """DAVIS recall: the share of frames whose value in [0, 1] is above ``least``.

    Source: Perazzi et al., CVPR 2016, section 4.

    >>> recall([0.5, 0.6])
    0.5
    """
    return float(np.mean(np.asarray(values) > least))


def contour_map(mask: Mask) -> Mask:
    """(H, W) mask -> (H, W) contour: pixels that differ from their right, lower or lower right neighbour.

    The contour thus lies half a pixel to the upper left of the true edge; the image's own edge is no contour,
    and its last pixel never is. Source: the segmentation-to-boundary map of the Berkeley benchmark, as DAVIS
    uses it.

    >>> mask = np.zeros((3, 4), bool)
    >>> mask[1, 1:3] = True
    >>> contour_map(mask).astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    # Repeating the last row and column makes every neighbour outside the image equal to the edge pixel.
    beyond = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, diagonal = beyond[:-1, 1:], beyond[1:, :-1], beyond[1:, 1:]
    contour: Mask = (mask != right) | (mask != below) | (mask != diagonal)
    return contour


def _matched(points: np.ndarray, others: np.ndarray, radius: float) -> float:
    """Share of (n, 2) ``points`` with one of (m, 2) ``others`` within ``radius`` (inclusive) pixels."""
    return float(np.count_nonzero(nearest(points, others)[0] <= radius)) / len(points)
