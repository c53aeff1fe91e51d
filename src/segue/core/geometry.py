"""Measures of a mask: its box, its deepest point, its outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def mask_box(mask: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """(x0, y0, x1, y1) in pixels, right and bottom exclusive, of what is not zero in (H, W); None for an empty mask.

    >>> mask_box(np.pad(np.ones((2, 3), bool), ((1, 0), (4, 0)))), mask_box(np.zeros((2, 2), bool)) is None
    ((4, 1, 7, 3), True)
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y0:y1].any(axis=0))
    return int(columns[0]), y0, int(columns[-1]) + 1, y1


def depth_map(mask: NDArray[Any], accuracy: int = 5) -> NDArray[np.float32]:
    """(H, W) distance in pixels of every pixel of ``mask`` to the nearest one outside; beyond the image is outside.

    ``accuracy`` is the side of the chamfer mask, 3 or 5. Source: Borgefors 1986, by OpenCV.

    >>> depth_map(np.ones((3, 3), bool)).round(1).tolist()
    [[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 1.0]]
    """
    depths = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, accuracy)[1:-1, 1:-1]
    return np.asarray(depths, np.float32)


def highest_point(values: NDArray[Any]) -> tuple[int, int]:
    """(x, y) of the first largest value of (H, W).

    >>> highest_point(np.array([[0, 3], [2, 3]]))
    (1, 0)
    """
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    return int(x), int(y)


def deepest_point(mask: NDArray[Any], accuracy: int = 5) -> tuple[int, int, float]:
    """(x, y, depth) of the pixel of ``mask`` (H, W) farthest from everything outside; depth 0 for an empty mask.

    >>> deepest_point(np.pad(np.ones((3, 3), bool), 2))
    (3, 3, 2.0)
    """
    depths = depth_map(mask, accuracy)
    x, y = highest_point(depths)
    return x, y, float(depths[y, x])


def outlines(mask: NDArray[Any]) -> Sequence[NDArray[np.int32]]:
    """The rings (n, 1, 2) of pixels (x, y) along every edge of ``mask`` (H, W), holes included.

    Source: Suzuki and Abe 1985, by OpenCV.

    >>> [ring[:, 0].tolist() for ring in outlines(np.eye(2, dtype=bool))]
    [[[0, 0], [1, 1]]]
    """
    rings: Sequence[Any] = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    return rings
