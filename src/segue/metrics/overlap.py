"""How much of two masks is shared: IoU and Dice."""

from __future__ import annotations

import math

import numpy as np

from segue.core.errors import InputError
from segue.core.types import Mask, check_mask


def iou(prediction: Mask, target: Mask, ignore_mask: Mask | None = None, empty: float = math.nan) -> float:
    """Intersection over union (Jaccard index) in [0, 1] of two (H, W) masks; ``ignore_mask`` pixels don't count.

    ``empty`` is the value where both masks are empty: ``nan`` as in the published click protocol (0 / 0),
    1.0 as in DAVIS and MONAI. Raises ``InputError`` for masks of different sizes or types.
    Source: Everingham et al., The PASCAL Visual Object Classes Challenge, 2010, section 4.4.

    >>> a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    >>> a[:, :2], b[:, 1:3] = True, True
    >>> round(iou(a, b), 4)
    0.3333
    """
    shared, first, second = counts(prediction, target, ignore_mask)
    union = first + second - shared
    return shared / union if union else empty


def dice(prediction: Mask, target: Mask, ignore_mask: Mask | None = None, empty: float = 1.0) -> float:
    """Dice coefficient (DSC, F1 of the pixels) in [0, 1]: 2 |A and B| / (|A| + |B|) of two (H, W) masks.

    ``empty`` is the value where both masks are empty (1.0, as MONAI with ``ignore_empty=False``).
    Raises ``InputError`` for masks of different sizes or types. Source: Dice, Ecology 26, 1945.

    >>> a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    >>> a[:, :2], b[:, 1:3] = True, True
    >>> dice(a, b)
    0.5
    """
    shared, first, second = counts(prediction, target, ignore_mask)
    return 2 * shared / (first + second) if first + second else empty


def counts(prediction: Mask, target: Mask, ignore_mask: Mask | None = None) -> tuple[int, int, int]:
    """(pixels in both, pixels of ``prediction``, pixels of ``target``) outside ``ignore_mask``, of (H, W) masks.

    Raises ``InputError`` for masks of different sizes or types.

    >>> counts(np.array([[True, True]]), np.array([[False, True]]), np.array([[True, False]]))
    (1, 1, 1)
    """
    check_pair(prediction, target, ignore_mask)
    if ignore_mask is not None and ignore_mask.any():
        prediction, target = prediction & ~ignore_mask, target & ~ignore_mask
    return (
        int(np.count_nonzero(prediction & target)),
        int(np.count_nonzero(prediction)),
        int(np.count_nonzero(target)),
    )


def check_pair(prediction: Mask, target: Mask, ignore_mask: Mask | None = None) -> None:
    """Raise ``InputError`` unless the masks are boolean (H, W) arrays of one size.

    >>> check_pair(np.zeros((2, 2), bool), np.ones((2, 2), bool))
    """
    if target.ndim != 2:
        raise InputError(f"a true mask of shape {target.shape}", "two axes, (H, W)")
    check_mask(target, target.shape)
    check_mask(prediction, target.shape)
    if ignore_mask is not None:
        check_mask(ignore_mask, target.shape)
