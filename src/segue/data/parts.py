"""Polygons as files hold them: parts with their holes, slits where a file knows no holes, and what that costs.

Every vertex lies ``INSET`` pixels inside the object's pixel edges. Continuous coordinates with pixel (0, 0)
spanning (0, 0) to (1, 1) are meant, and the pixels whose centre is inside are the mask; the inset makes the other
readers agree: those that cut decimals off and paint the outline too (OpenCV, Pillow) and pycocotools' grid of
fifths give the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.geometry import nearest
from segue.core.types import Mask
from segue.data.polygon import Ring, fill, simplify, to_rings

INSET = 0.05


@dataclass(frozen=True, eq=False)
class Part:
    """One connected region (pixels that share an edge): its outer ring, clockwise on screen, and its holes,
    counter-clockwise; each (n, 2) of (x, y).

    >>> to_parts(np.ones((1, 1), bool))[0].outer.tolist()
    [[0.05, 0.05], [0.95, 0.05], [0.95, 0.95], [0.05, 0.95]]
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The outer ring first."""
        return self.outer, *self.holes

    def moved(self, x: float, y: float) -> Part:
        """The same part (x, y) pixels further."""
        by = np.array([x, y], float)
        return Part(self.outer + by, tuple(hole + by for hole in self.holes))


def to_parts(mask: Mask, tolerance: float = 0.0) -> list[Part]:
    """``mask`` (H, W) bool -> its parts, in reading order of their first pixels.

    With ``tolerance`` 0 filling them gives the mask back exactly; otherwise each ring may stray by that many
    pixels, and still no part, hole or nesting is lost. Source: ``segue.data.polygon``.

    >>> mask = np.ones((3, 5), bool); mask[1, 1] = False; mask[:, 3] = False
    >>> [len(part.holes) for part in to_parts(mask)]
    [1, 0]
    """
    exact = to_rings(mask)
    if not exact:
        return []
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    owners = [_owner(ring, labels) for ring in exact]
    rings = [_inset(ring) for ring in exact]
    if tolerance:
        rings = simplify(rings, tolerance)
    outers: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring, was, owner in zip(rings, exact, owners, strict=True):
        if _turns_right(was):
            outers[owner] = ring
        else:
            holes.setdefault(owner, []).append(ring)
    return [Part(ring, tuple(holes.get(owner, ()))) for owner, ring in outers.items()]


def from_parts(parts: Sequence[Part], size: tuple[int, int]) -> Mask:
    """(H, W) bool: the pixels whose centre lies inside a part and not in one of its holes.

    >>> int(from_parts([Part(np.array([[0, 0], [2, 0], [2, 2], [0, 2]]))], (2, 3)).sum())
    4
    """
    return fill([ring for part in parts for ring in part.rings], size)


def slit(part: Part) -> Ring:
    """One ring for a part with holes: each hole is joined to what lies left of it by a slit of no width.

    The slit of an exact ring runs along the middle of a row of the object's own pixels, so readers that paint
    outlines paint nothing new.

    >>> mask = np.ones((3, 3), bool); mask[1, 1] = False
    >>> ring = slit(to_parts(mask)[0])
    >>> len(ring), bool((fill([ring], (3, 3)) == mask).all())
    (12, True)
    """
    merged = part.outer
    for hole in sorted(part.holes, key=lambda ring: float(ring[:, 0].min())):
        start, ring = _leftmost(hole)
        merged = _joined(merged, start, ring)
    return merged


def bridge(rings: Sequence[Ring]) -> Ring:
    """One ring for several that lie apart: the nearest vertices are joined, there and back.

    By the rule of centres the bridges cover nothing; readers that paint outlines show them, one pixel wide.

    >>> a = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    >>> int(fill([bridge([a, a + 3])], (5, 5)).sum())
    2
    """
    merged, left = rings[0], list(rings[1:])
    while left:
        distance, index = nearest(np.concatenate(left), merged)
        closest = int(np.argmin(distance))
        ends = np.cumsum([len(ring) for ring in left])
        which = int(np.searchsorted(ends, closest, side="right"))
        ring, here = left.pop(which), int(index[closest])
        there = closest - int(ends[which]) + len(ring)
        merged = np.concatenate([merged[: here + 1], np.roll(ring, -there, 0), ring[there : there + 1], merged[here:]])
    return merged


def _inset(ring: Ring) -> Ring:
    """Each corner of an exact ring moved into its own pixel."""
    ahead = np.sign(np.roll(ring, -1, 0) - ring)
    behind = np.roll(ahead, 1, 0)
    to_object = np.stack((-(ahead + behind)[:, 1], (ahead + behind)[:, 0]), 1)
    return ring + INSET * to_object


def _owner(ring: Ring, labels: NDArray[np.int32]) -> int:
    """The region whose pixel lies on the object's side of the ring's first edge."""
    along = np.sign(ring[1] - ring[0])
    x, y = np.floor(ring[0] + along / 2 + np.array([-along[1], along[0]]) / 2).astype(int)
    return int(labels[y, x])


def _turns_right(ring: Ring) -> bool:
    """Whether an exact ring, which starts at its first corner in reading order, is an outer one."""
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) > 0


def _leftmost(hole: Ring) -> tuple[NDArray[np.float64], Ring]:
    """Where a slit leaves a hole, and the hole's vertices from there on round."""
    at = int(hole[:, 0].argmin())
    point, after, before = hole[at], hole[(at + 1) % len(hole)], hole[at - 1]
    upright = after if after[0] == point[0] else before
    if upright[0] != point[0]:
        return point, np.roll(hole, -at, 0)
    row = np.floor(min(point[1], upright[1]) + 2 * INSET) + 0.5  # the middle of the first row along this edge
    if not min(point[1], upright[1]) < row < max(point[1], upright[1]):
        return point, np.roll(hole, -at, 0)
    start = np.array([point[0], row])
    first = (at + 1) % len(hole) if upright is after else at
    return start, np.concatenate([start[None], np.roll(hole, -first, 0)])


def _joined(merged: Ring, start: NDArray[np.float64], hole: Ring) -> Ring:
    """``hole`` spliced into the edge of ``merged`` that is next to the left of ``start``."""
    ends = np.roll(merged, -1, 0)
    spans = (merged[:, 1] <= start[1]) != (ends[:, 1] <= start[1])
    edges = np.flatnonzero(spans)
    a, b = merged[edges], ends[edges]
    x = a[:, 0] + (start[1] - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    x[x > start[0]] = -np.inf
    edge = int(edges[x.argmax()])
    entry = np.array([[x.max(), start[1]]])
    return np.concatenate([merged[: edge + 1], entry, hole, start[None], entry, merged[edge + 1 :]])
