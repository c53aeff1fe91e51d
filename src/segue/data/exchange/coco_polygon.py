"""COCO polygons as pycocotools paints them: the format's masks are what its own code says they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.data.rle import Rle, union

_FINE = 5  # the outline is drawn on a grid of fifths of a pixel


def rle_of_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> Rle:
    """Rings [x0, y0, x1, y1, ...] of original-image pixels, united -> the mask of ``size`` (H, W).

    Raises ``DataError`` for a ring of an odd count or without numbers; one of fewer than three points is empty.
    Source: the convention of the COCO API's ``frPyObjects``, bit for bit.

    >>> rle_of_polygons([[0, 0, 2, 0, 2, 2, 0, 2]], (3, 3)).mask().astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [0, 0, 0]])
    """
    masks = [_rle_of_ring(_ring(polygon), size) for polygon in polygons]
    return union(masks) if masks else Rle.empty(size)


def _ring(polygon: Any) -> NDArray[np.float64]:
    try:
        flat = np.asarray(polygon, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("a polygon that holds no numbers", "x0, y0, x1, y1, ...") from error
    if flat.ndim != 1 or flat.size % 2 or not np.isfinite(flat).all():
        raise DataError(f"a polygon of shape {flat.shape}", "an even count of finite numbers x0, y0, x1, y1, ...")
    return flat.reshape(-1, 2)


def _rle_of_ring(ring: NDArray[np.float64], size: tuple[int, int]) -> Rle:
    height, width = size
    if len(ring) < 3:
        return Rle.empty(size)
    u, v = _walk((_FINE * ring + 0.5).astype(np.int64))
    step = np.flatnonzero(u[1:] != u[:-1]) + 1  # where the outline enters another fifth of a column
    column = (np.where(u[step] < u[step - 1], u[step], u[step] - 1) + 0.5) / _FINE - 0.5
    row = (np.minimum(v[step], v[step - 1]) + 0.5) / _FINE - 0.5
    counts = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    rows = np.ceil(np.clip(row[counts], 0, height)).astype(np.int64)
    places, times = np.unique(column[counts].astype(np.int64) * height + rows, return_counts=True)
    places = places[times % 2 == 1]
    if places.size % 2:
        places = np.r_[places, height * width]
    return Rle.from_spans(places[::2], places[1::2], size)


def _walk(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every point of the fine grid on the closed outline: steps of one along the longer axis of each edge."""
    start, end = corners, np.roll(corners, -1, 0)
    delta = np.abs(end - start)
    flat = delta[:, 0] >= delta[:, 1]
    long = np.where(flat, 0, 1)
    every = np.arange(len(corners))
    back = start[every, long] > end[every, long]  # edges are drawn in rising order, so both directions agree
    low, high = np.where(back[:, None], end, start), np.where(back[:, None], start, end)
    steps = delta[every, long]
    slope = (high - low)[every, 1 - long] / np.maximum(steps, 1)
    edge = np.repeat(every, steps + 1)
    t = np.arange(edge.size) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    t = np.where(back[edge], steps[edge] - t, t)
    along = t + low[edge, long[edge]]
    across = (low[edge, 1 - long[edge]] + slope[edge] * t + 0.5).astype(np.int64)
    return np.where(flat[edge], along, across), np.where(flat[edge], across, along)
