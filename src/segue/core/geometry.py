"""Measures of a mask: its box, its deepest point, its outlines; and of what lies nearest."""

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


def exact_depths(mask: NDArray[Any]) -> NDArray[np.float64]:
    """(H, W) exact Euclidean distance of every pixel of ``mask`` to the nearest one outside; beyond the image is
    outside.

    OpenCV's exact transform takes float32 roots of whole numbers, which are found again here: what is returned is the
    float64 root of the squared distance, as SciPy's ``distance_transform_edt`` gives it, up to 2048 pixels deep.
    Source: Felzenszwalb and Huttenlocher 2012, by OpenCV.

    >>> exact_depths(np.ones((3, 4), bool))[1].tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    roots = depth_map(mask, cv2.DIST_MASK_PRECISE).astype(np.float64)
    depths: NDArray[np.float64] = np.sqrt(np.rint(roots * roots))
    return depths


def nearest(points: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Of (n, d) ``points`` and (m, d) ``others``, m > 0: each point's distance to the nearest other, and which it is.

    The search is exact in float32, the distance float64. Source: a k-d tree, by FLANN in OpenCV.

    >>> nearest(np.array([[0, 0], [9, 0]]), np.array([[8, 0], [0, 2]]))
    (array([2., 1.]), array([1, 0], dtype=int32))
    """
    if not len(points):
        return np.empty(0), np.empty(0, np.int32)
    tree = np.ascontiguousarray(others, np.float32)  # which the index reads in place
    index = cv2.flann.Index(tree, {"algorithm": 4})  # FLANN_INDEX_KDTREE_SINGLE, the exact one
    found, _ = index.knnSearch(np.ascontiguousarray(points, np.float32), 1, params={"checks": -1})
    which: NDArray[np.int32] = found[:, 0]
    apart = np.asarray(points, np.float64) - np.asarray(others, np.float64)[which]
    return np.sqrt((apart * apart).sum(axis=1)), which


def label_boxes(labels: NDArray[Any]) -> dict[int, tuple[int, int, int, int]]:
    """(x0, y0, x1, y1), right and bottom exclusive, of every label above 0 in (H, W), by rising label.

    >>> label_boxes(np.array([[0, 7, 7], [2, 7, 0]]))
    {2: (0, 1, 1, 2), 7: (1, 0, 3, 2)}
    """
    if not labels.size:
        return {}
    change = np.ones(labels.shape, bool)
    change[:, 1:] = labels[:, 1:] != labels[:, :-1]
    rows, starts = np.nonzero(change)  # of the runs of one label within a row
    values = labels[rows, starts]
    ends = np.where(np.append(rows[1:] == rows[:-1], False), np.append(starts[1:], 0), labels.shape[1])
    keep = np.flatnonzero(values > 0)
    order = keep[np.argsort(values[keep], kind="stable")]  # rows stay sorted within a label
    kinds, first = np.unique(values[order], return_index=True)
    if not kinds.size:
        return {}
    last = np.append(first[1:], len(order)) - 1
    x0, x1 = np.minimum.reduceat(starts[order], first), np.maximum.reduceat(ends[order], first)
    y0, y1 = rows[order[first]], rows[order[last]] + 1
    return dict(zip(kinds.tolist(), zip(x0.tolist(), y0.tolist(), x1.tolist(), y1.tolist(), strict=True), strict=True))


def part_sizes(mask: NDArray[Any]) -> NDArray[np.int32]:
    """Pixels of each connected part (8-neighbourhood) of (H, W).

    >>> part_sizes(np.array([[1, 0, 1], [1, 0, 0]], bool))
    array([2, 1], dtype=int32)
    """
    statistics = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2]
    return np.asarray(statistics[1:, cv2.CC_STAT_AREA], np.int32)


def gaussian_blur(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    """(H, W) or (H, W, c) floats blurred by a Gaussian of ``sigma`` pixels, cut off at 4 sigma, borders mirrored.

    >>> gaussian_blur(np.eye(3), 0.5).round(2)[1].tolist()
    [0.18, 0.64, 0.18]
    """
    side = 2 * int(4 * sigma + 0.5) + 1
    blurred: NDArray[Any] = cv2.GaussianBlur(values, (side, side), sigma, borderType=cv2.BORDER_REFLECT)
    return blurred


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
