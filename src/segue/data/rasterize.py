"""Polygons and label maps as run lengths, working inside each object's box however large the image is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from segue.core.errors import DataError
from segue.core.geometry import label_boxes
from segue.data.io.image import Labels
from segue.data.polygon import Ring, fill
from segue.data.rle import PackedRle, Rle

_COUNTED = 1 << 20  # labels up to here are found by counting
_FAR = 1 << 16  # pycocotools walks along every fifth of a pixel, and its numbers have 32 bits


def rle_of_rings(rings: Sequence[Ring], size: tuple[int, int]) -> Rle:
    """Pixels of ``size`` (H, W) whose centre lies inside an odd number of ``rings``; what lies outside the image
    is cut off.

    >>> rle_of_rings([np.array([[-5, 1], [2, 1], [2, 2], [-5, 2]])], (3, 3)).mask().astype(int)
    array([[0, 0, 0],
           [1, 1, 0],
           [0, 0, 0]])
    """
    every = np.concatenate([np.asarray(ring, np.float64) for ring in rings])
    if not np.isfinite(every).all():
        raise DataError("a polygon with points that are no finite numbers", "x and y in pixels")
    low = np.clip(np.floor(every.min(0)), 0, (size[1], size[0])).astype(int)
    high = np.clip(np.ceil(every.max(0)), 0, (size[1], size[0])).astype(int)
    if (high <= low).any():
        return Rle.empty(size)
    width, height = (int(v) for v in high - low)
    crop = fill([np.asarray(ring, np.float64) - low for ring in rings], (height, width))
    return Rle.from_crop(crop, int(low[0]), int(low[1]), size)


def rle_of_coco_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> Rle:
    """Rings [x0, y0, x1, y1, ...] of original-image pixels, united -> the mask of ``size`` (H, W) as pycocotools
    paints it.

    Raises ``DataError`` for a ring of an odd count or without numbers; one of fewer than three points is empty.
    Source: the convention of the COCO API's ``frPyObjects``, bit for bit.

    >>> rle_of_coco_polygons([[0, 0, 2, 0, 2, 2, 0, 2]], (3, 3)).mask().astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [0, 0, 0]])
    """
    rings = [ring for ring in map(_coco_ring, polygons) if ring.size >= 6]
    if not rings:
        return Rle.empty(size)
    if max(float(np.abs(ring).max()) for ring in rings) > _FAR:
        filled = [rle_of_rings([ring.reshape(-1, 2)], size).mask() for ring in rings]
        return Rle.from_mask(np.any(filled, axis=0))
    painted = pycocotools_mask.frPyObjects([ring.tolist() for ring in rings], *size)
    one = pycocotools_mask.merge(painted) if len(painted) > 1 else painted[0]
    return PackedRle(size, one["counts"])


def _coco_ring(polygon: Any) -> NDArray[np.float64]:
    try:
        flat = np.asarray(polygon, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("a polygon that holds no numbers", "x0, y0, x1, y1, ...") from error
    if flat.ndim != 1 or flat.size % 2 or not np.isfinite(flat).all():
        raise DataError(f"a polygon of shape {flat.shape}", "an even count of finite numbers x0, y0, x1, y1, ...")
    return flat


def rles_of_labels(labels: Labels, leave: Sequence[int] = ()) -> Iterator[tuple[int, Rle]]:
    """(label, mask) of every label of (H, W) but 0 and those in ``leave``, rising.

    >>> [(k, rle.area) for k, rle in rles_of_labels(np.array([[0, 7, 3], [7, 7, 255]]), leave=(255,))]
    [(3, 1), (7, 3)]
    """
    values, dense = _renumbered(labels)
    size = labels.shape[0], labels.shape[1]
    for value, (k, (x0, y0, x1, y1)) in zip(values.tolist(), label_boxes(dense).items(), strict=True):
        if value not in (0, *leave):
            yield value, Rle.from_crop(dense[y0:y1, x0:x1] == k, x0, y0, size)


def _renumbered(labels: Labels) -> tuple[NDArray[np.integer[Any]], Labels]:
    """The values of a label map, rising, and the map with 1, 2, ... in their places."""
    if labels.min() < 0 or labels.max() > _COUNTED:
        values, inverse = np.unique(labels, return_inverse=True)
        return values, inverse.reshape(labels.shape).astype(np.int32) + 1
    counted = np.flatnonzero(np.bincount(labels.reshape(-1)))  # a tenth of the time of sorting all pixels
    places = np.zeros(int(counted[-1]) + 1, np.int32)
    places[counted] = np.arange(1, counted.size + 1)
    return counted, places[labels]


def labels_of_rles(rles: Sequence[Rle], size: tuple[int, int], numbers: Sequence[int]) -> Labels:
    """(H, W) int32: mask k gets ``numbers[k]``, later masks on top of earlier ones; ``numbers`` may be longer.

    >>> labels_of_rles([Rle((1, 2), np.array([0, 2])), Rle((1, 2), np.array([1, 1]))], (1, 2), [1, 2])
    array([[1, 2]], dtype=int32)
    """
    labels = np.zeros(size, np.int32)
    for rle, number in zip(rles, numbers, strict=False):
        crop, x, y = rle.crop()
        labels[y : y + crop.shape[0], x : x + crop.shape[1]][crop] = number
    return labels
