"""Masks as polygons with real holes, and back: exact along pixel edges, or simplified with the topology kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import InputError
from segue.core.types import Mask

Ring: TypeAlias = NDArray[np.float64]  # (n, 2) vertices (x, y), not closed; pixel (0, 0) spans (0, 0) to (1, 1)

_PAIRS = 4_000_000  # segment pairs compared at once


def to_rings(mask: Mask, tolerance: float = 0.0) -> list[Ring]:
    """``mask`` (H, W) bool -> its boundary rings: outer ones clockwise on screen, holes counter-clockwise.

    With ``tolerance`` 0 the rings run along pixel edges and ``fill`` gives the mask back exactly; pixels that
    touch only at a corner are separate rings. Otherwise each ring is simplified (Douglas-Peucker) by at most
    ``tolerance`` pixels, less where rings would cross, collapse or change which lies inside which.
    Raises ``InputError`` for a negative tolerance.

    >>> mask = np.ones((3, 3), bool); mask[1, 1] = False
    >>> [ring.tolist() for ring in to_rings(mask)]
    [[[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0]], [[1.0, 1.0], [1.0, 2.0], [2.0, 2.0], [2.0, 1.0]]]
    """
    if not tolerance >= 0:
        raise InputError(f"a tolerance of {tolerance}", "0 or more pixels")
    exact = _trace(mask)
    return exact if tolerance == 0 or not exact else simplify(exact, tolerance)


def fill(rings: Sequence[Ring], size: tuple[int, int]) -> Mask:
    """(H, W) bool: pixels whose centre lies inside an odd number of ``rings``, so holes stay holes.

    >>> fill([np.array([[0, 0], [2, 0], [2, 1], [0, 1]])], (2, 3)).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """
    height, width = size
    starts = np.concatenate([np.asarray(ring, float) for ring in rings] or [np.zeros((0, 2))])
    ends = np.concatenate([np.roll(np.asarray(ring, float), -1, 0) for ring in rings] or [np.zeros((0, 2))])
    upward = starts[:, 1] > ends[:, 1]
    top, bottom = np.where(upward[:, None], ends, starts), np.where(upward[:, None], starts, ends)
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int64)
    counts = last - first  # rows whose centre the edge crosses
    edge = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    (x0, y0), (x1, y1) = top[edge].T, bottom[edge].T
    crossing = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    flips = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    filled: Mask = np.cumsum(flips[:, :width], axis=1) % 2 == 1
    return filled


def _trace(mask: Mask) -> list[Ring]:
    """Corners of the pixel-edge boundary, linked along rows and along columns."""
    padded = np.pad(mask, 1)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    single = (nw ^ ne ^ sw ^ se).nonzero()
    falling, rising = (nw & se & ~ne & ~sw).nonzero(), (ne & sw & ~nw & ~se).nonzero()
    # A vertex where two pixels touch is two corners: the one whose edge leads west (0) and the one to the east (1).
    y = np.concatenate([single[0], falling[0], falling[0], rising[0], rising[0]])
    x = np.concatenate([single[1], falling[1], falling[1], rising[1], rising[1]])
    n, f, r = len(single[0]), len(falling[0]), len(rising[0])
    east = np.repeat([0, 0, 1, 0, 1], [n, f, f, r, r])
    south = np.repeat([0, 0, 1, 1, 0], [n, f, f, r, r])
    along_row = _partners(np.lexsort((east, x, y)))
    along_column = _partners(np.lexsort((south, y, x)))
    starts = np.lexsort((x, y))
    seen = np.zeros(len(x), bool)
    rings = []
    for start in starts.tolist():
        if seen[start]:
            continue
        corners, here = [], start
        while True:
            there = along_row[here]
            corners += [here, there]
            here = along_column[there]
            if here == start:
                break
        index = np.array(corners)
        seen[index] = True
        ring = np.stack((x[index], y[index]), 1).astype(float)
        clockwise = _area(ring) > 0
        if clockwise != bool(se[y[start], x[start]]):
            ring = np.roll(ring[::-1], 1, 0)
        rings.append(ring)
    return rings


def _partners(order: NDArray[np.int64]) -> list[int]:
    """Corners in ``order`` along their lines: each odd one ends the edge that the one before began."""
    partner = np.empty(len(order), np.int64)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return list(partner.tolist())


def _area(ring: Ring) -> float:
    """Signed, positive for clockwise on screen (y down)."""
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def simplify(exact: list[Ring], tolerance: float) -> list[Ring]:
    """``exact`` rings that do not cross, each by at most ``tolerance`` pixels simpler, in the same order; less
    where they would cross, collapse or change which lies inside which. Source: Douglas and Peucker, 1973.

    >>> [len(ring) for ring in simplify([np.array([[0, 0], [4, 0.1], [8, 0], [8, 8], [0, 8]], float)], 0.5)]
    [4]
    """
    wanted = np.full(len(exact), tolerance)
    depths = _depths(exact, exact)
    rings = [_reduced(ring, tolerance) for ring in exact]
    while True:
        bad = _crossing(rings) | (_depths(rings, rings) != depths)
        bad |= np.array([np.sign(_area(a)) != np.sign(_area(b)) for a, b in zip(rings, exact, strict=True)])
        bad &= wanted > 0
        if not bad.any():
            return rings
        wanted[bad] = np.where(wanted[bad] > 0.5, wanted[bad] / 2, 0)
        for i in np.flatnonzero(bad):
            rings[i] = exact[i] if wanted[i] == 0 else _reduced(exact[i], float(wanted[i]))


def _reduced(ring: Ring, tolerance: float) -> Ring:
    reduced = cv2.approxPolyDP(ring.astype(np.float32), tolerance, True)[:, 0].astype(float)
    return ring if len(reduced) < 3 else reduced


def _depths(rings: list[Ring], around: list[Ring]) -> NDArray[np.int64]:
    """For each ring, how many of ``around`` (itself apart) hold a point just beside its first edge's middle."""
    points = []
    for ring in rings:
        middle, along = (ring[0] + ring[1]) / 2, ring[1] - ring[0]
        points.append(middle + 1e-3 * np.array([-along[1], along[0]]) / np.hypot(*along))
    place = np.array(points)
    depth = np.zeros(len(rings), np.int64)
    for i, ring in enumerate(around):
        low, high = ring.min(0), ring.max(0)
        near = np.flatnonzero(((place >= low) & (place <= high)).all(1))
        near = near[near != i]
        if near.size:
            depth[near] += _inside(place[near], ring)
    return depth


def _inside(points: NDArray[np.float64], ring: Ring) -> NDArray[np.bool_]:
    start, end = ring, np.roll(ring, -1, 0)
    y = points[:, 1:]
    spans = (start[:, 1] > y) != (end[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
    odd: NDArray[np.bool_] = (spans & (x > points[:, :1])).sum(1) % 2 == 1
    return odd


def _crossing(rings: list[Ring]) -> NDArray[np.bool_]:
    """Which rings properly cross themselves or another."""
    a = np.concatenate(rings)
    b = np.concatenate([np.roll(ring, -1, 0) for ring in rings])
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    order = np.argsort(np.minimum(a[:, 0], b[:, 0]), kind="stable")
    a, b, owner = a[order], b[order], owner[order]
    left, right = np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 0], b[:, 0])
    ends = np.searchsorted(left, right, side="right")  # only later segments that begin before this one ends
    counts = ends - np.arange(len(a)) - 1
    bad = np.zeros(len(rings), bool)
    at = 0
    while at < len(a):
        stop = at + max(1, int(np.searchsorted(np.cumsum(counts[at:]), _PAIRS)))
        some = counts[at:stop]
        i = np.repeat(np.arange(at, at + len(some)), some)
        j = i + 1 + np.arange(len(i)) - np.repeat(np.cumsum(some) - some, some)
        crossed = _cross(a[i], b[i], a[j], b[j])
        bad[owner[i[crossed]]] = True
        bad[owner[j[crossed]]] = True
        at = stop
    return bad


def _cross(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]
) -> NDArray[np.bool_]:
    def side(p: NDArray[np.float64], q: NDArray[np.float64], r: NDArray[np.float64]) -> NDArray[np.float64]:
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])

    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
