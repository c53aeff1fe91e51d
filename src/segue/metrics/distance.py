"""Distances between the outlines of two masks: Hausdorff, its 95th percentile, and the symmetric mean.

Two conventions for HD95 are in use and they differ: MONAI takes the *larger* of the two directed percentiles,
MedPy the percentile of both directions' distances *pooled*. ``hd95`` defaults to MONAI's: it is the
stricter one (a small region that only one mask has cannot be diluted by the other's longer outline), and the
one whose 100th percentile is the Hausdorff distance under every pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import InputError
from segue.core.geometry import nearest
from segue.core.types import Mask
from segue.metrics.overlap import check_pair

Distances: TypeAlias = NDArray[np.float64]
Convention: TypeAlias = Literal["monai", "medpy"]


def hd95(
    prediction: Mask, target: Mask, spacing: Sequence[float] = (1.0, 1.0), convention: Convention = "monai"
) -> float:
    """95th-percentile Hausdorff distance of two (H, W) masks, in units of ``spacing`` (row, column).

    ``convention`` is "monai" (maximum of the two directed percentiles) or "medpy" (percentile of the pooled
    distances). ``nan`` where either mask is empty. Raises ``InputError`` for masks of different sizes.
    Source: MONAI ``compute_hausdorff_distance(percentile=95)``; MedPy ``metric.binary.hd95``.

    >>> a, b = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    >>> a[2:5, 2:5], b[2:5, 2:8] = True, True
    >>> round(hd95(a, b), 2), round(hd95(a, b, convention="medpy"), 2)
    (3.0, 3.0)
    """
    if convention not in ("monai", "medpy"):
        raise InputError(f"HD95 convention '{convention}'", "'monai' or 'medpy'")
    there, back = surface_distances(prediction, target, spacing)
    if not len(there) or not len(back):
        return math.nan
    if convention == "medpy":
        return float(np.percentile(np.concatenate((there, back)), 95))
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def hausdorff(prediction: Mask, target: Mask, spacing: Sequence[float] = (1.0, 1.0)) -> float:
    """Hausdorff distance of two (H, W) masks: the farthest that any outline pixel of one lies from the other.

    In units of ``spacing`` (row, column). ``inf`` where one mask is empty, ``nan`` where both are.
    Raises ``InputError`` for masks of different sizes. Source: Huttenlocher et al., PAMI 1993, equation 1.

    >>> a, b = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    >>> a[2, 1], b[2, 7] = True, True
    >>> hausdorff(a, b), hausdorff(a, b, spacing=(1, 0.5))
    (6.0, 3.0)
    """
    there, back = surface_distances(prediction, target, spacing)
    if not len(there) or not len(back):
        return math.inf if prediction.any() or target.any() else math.nan
    return float(max(there.max(), back.max()))


def assd(prediction: Mask, target: Mask, spacing: Sequence[float] = (1.0, 1.0)) -> float:
    """Average symmetric surface distance of two (H, W) masks: the mean over both outlines' pixels together.

    In units of ``spacing`` (row, column); ``nan`` where either mask is empty. Raises ``InputError`` for masks
    of different sizes. Source: Heimann et al., IEEE TMI 2009, section III-B; MedPy 0.5 ``metric.binary.assd``.

    >>> a, b = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    >>> a[2, 1], b[2, 7] = True, True
    >>> assd(a, b)
    6.0
    """
    there, back = surface_distances(prediction, target, spacing)
    return float(np.concatenate((there, back)).mean()) if len(there) and len(back) else math.nan


def surface_distances(
    prediction: Mask, target: Mask, spacing: Sequence[float] = (1.0, 1.0)
) -> tuple[Distances, Distances]:
    """Each outline pixel's distance to the other mask's outline: (prediction to truth, truth to prediction).

    In units of ``spacing`` (row, column); both empty where either mask is. The outline is what a 4-connected
    erosion removes, the image's own edge included.

    >>> a = np.zeros((3, 6), bool)
    >>> a[1, 1:3] = True
    >>> surface_distances(a, np.roll(a, 2, axis=1))
    (array([2., 1.]), array([1., 2.]))
    """
    check_pair(prediction, target)
    first, second = outline(prediction) * np.asarray(spacing), outline(target) * np.asarray(spacing)
    if not len(first) or not len(second):
        return np.empty(0), np.empty(0)
    # Nearest neighbours among the outlines give the distances of a full distance transform, without its grid.
    return nearest(first, second)[0], nearest(second, first)[0]


def outline(mask: Mask) -> NDArray[np.int64]:
    """(H, W) mask -> (n, 2) positions (row, column) of the pixels with a 4-neighbour outside.

    >>> outline(np.ones((3, 3), bool)).tolist()
    [[0, 0], [0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1], [2, 2]]
    """
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return np.argwhere(mask & ~inside)
