"""How well the outlines of two masks agree: boundary bands and boundary IoU."""

from __future__ import annotations

import math

import cv2
import numpy as np

from segue.core.errors import InputError
from segue.core.geometry import mask_box
from segue.core.types import Mask
from segue.metrics.overlap import check_pair, iou


def boundary_iou(
    prediction: Mask, target: Mask, ignore_mask: Mask | None = None, dilation: float = 0.02, empty: float = math.nan
) -> float:
    """IoU in [0, 1] of the inner boundary bands of two (H, W) masks.

    The band is ``dilation`` times the image diagonal wide, at least one pixel. ``ignore_mask`` pixels are taken as
    background in both masks *before* the bands are cut, so that a prediction which is right outside the void
    scores 1. ``empty`` is the value where both bands are empty (``nan``, as 0 / 0 in the published code).
    Raises ``InputError`` for masks of different sizes or types.
    Source: Cheng et al., Boundary IoU, CVPR 2021, equation 2; d as in HQ-SAM's evaluation.

    >>> square = np.zeros((40, 40), bool)
    >>> square[5:35, 5:35] = True
    >>> smaller = np.zeros_like(square)
    >>> smaller[6:34, 6:34] = True
    >>> round(boundary_iou(smaller, square), 3), boundary_iou(square, square)
    (0.0, 1.0)
    """
    check_pair(prediction, target, ignore_mask)
    if ignore_mask is not None and ignore_mask.any():
        prediction, target = prediction & ~ignore_mask, target & ~ignore_mask
    width = band_width(target.shape, dilation)
    return iou(boundary_band(prediction, width), boundary_band(target, width), empty=empty)


def band_width(size: tuple[int, ...], dilation: float = 0.02) -> int:
    """Width in pixels of the boundary band in an image of ``size`` (H, W): ``dilation`` times its diagonal,
    rounded half to even, at least 1. Source: Boundary IoU, section 5 (2 % of the diagonal).

    >>> band_width((480, 640))
    16
    """
    if not dilation > 0:
        raise InputError(f"dilation {dilation}", "a fraction of the diagonal greater than 0", "0.02 is usual")
    return max(1, round(dilation * math.hypot(*size)))


def boundary_band(mask: Mask, width: int) -> Mask:
    """(H, W) mask -> (H, W) pixels of ``mask`` within ``width`` pixels (chessboard distance) of its outside;
    the outside of the image counts as background. Source: Boundary IoU, section 4.

    >>> boundary_band(np.ones((3, 5), bool), 1).astype(int)
    array([[1, 1, 1, 1, 1],
           [1, 0, 0, 0, 1],
           [1, 1, 1, 1, 1]])
    """
    rows, columns = bounding_slices(mask)
    inner = mask[rows, columns].astype(np.uint8)
    # One erosion with a (2w + 1)-square equals w erosions with a 3-square, and outside the mask's own
    # bounding box everything is background, so the cropped result is the whole one.
    padded = cv2.copyMakeBorder(inner, width, width, width, width, cv2.BORDER_CONSTANT, value=0)
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    core = cv2.erode(padded, square)[width : width + inner.shape[0], width : width + inner.shape[1]]
    band = np.zeros_like(mask)
    band[rows, columns] = (inner > 0) & (core == 0)
    return band


def bounding_slices(mask: Mask, margin: int = 0) -> tuple[slice, slice]:
    """(rows, columns) of the smallest box around ``mask`` (H, W), widened by ``margin`` pixels inside the
    image; an empty mask gives its first pixel.

    >>> bounding_slices(np.eye(5, dtype=bool)[:, 1:3])
    (slice(1, 3, None), slice(0, 2, None))
    """
    box = mask_box(mask)
    if box is None:
        return slice(0, 1), slice(0, 1)
    x0, y0, x1, y1 = box
    return slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)
