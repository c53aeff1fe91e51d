"""Masks shaped by rule or by hand: holes, islands, edges, and a ring of the polygon view that a person has edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import InputError
from segue.core.geometry import mask_box
from segue.core.types import Mask
from segue.data.polygon import Ring, fill, to_rings

MOST_PARTS = 200  # that one object is split into
BEYOND = 1.0  # pixels from an edge of the polygon view, over its tolerance, that belong to it


def fill_holes(mask: Mask, pixels: float) -> Mask:
    """``mask`` (H, W) with the holes of at most ``pixels`` pixels filled.

    >>> ring = np.ones((5, 5), bool); ring[2, 2] = False
    >>> bool(fill_holes(ring, 1)[2, 2]), bool(fill_holes(ring, 0)[2, 2])
    (True, False)
    """
    outside = np.pad(~mask, 1, constant_values=True)
    _, marks, figures, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)
    small = figures[:, cv2.CC_STAT_AREA] <= pixels
    small[[0, marks[0, 0]]] = False  # the mask itself, and what lies around it
    filled: Mask = mask | small[marks][1:-1, 1:-1]
    return filled


def drop_islands(mask: Mask, pixels: float) -> Mask:
    """``mask`` (H, W) without the parts of at most ``pixels`` pixels; the largest part always stays.

    >>> drop_islands(np.array([[True, True, False, True]]), 1).tolist()
    [[True, True, False, False]]
    """
    _, marks, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = figures[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    keep = area > pixels
    keep[int(area.argmax())] = True
    keep[0] = False
    kept: Mask = keep[marks]
    return kept


def grow(mask: Mask, pixels: float) -> Mask:
    """Every pixel within ``pixels`` of ``mask`` (H, W)."""
    if not mask.any():
        return mask
    grown: Mask = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= pixels
    return grown


def shrink(mask: Mask, pixels: float) -> Mask:
    """The pixels of ``mask`` (H, W) farther than ``pixels`` from every other; the image's border is no edge."""
    if mask.all():
        return mask
    return ~grow(~mask, pixels)


def smooth(mask: Mask, pixels: float) -> Mask:
    """``mask`` (H, W) with corners rounded: half of a Gaussian of ``pixels`` around."""
    if pixels <= 0:
        return mask
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), pixels, borderType=cv2.BORDER_REPLICATE)
    smoothed: Mask = blurred > 0.5
    return smoothed


RULES: dict[str, Callable[[Mask, float], Mask]] = {
    "fill-holes": fill_holes,
    "drop-islands": drop_islands,
    "smooth": smooth,
    "grow": grow,
    "shrink": shrink,
}


def shaped(mask: Mask, how: str, amount: float) -> Mask:
    """``mask`` (H, W) after the rule ``how`` of RULES with ``amount`` pixels, computed around the mask only.

    Raises ``InputError`` where nothing of it would be left.
    """
    box = mask_box(mask)
    if box is None:
        raise InputError("an object without a pixel", "an object with a mask", "draw it first")
    margin = 2 + int(4 * amount if how in ("smooth", "grow") else 0)
    height, width = mask.shape
    around = np.s_[
        max(0, box[1] - margin) : min(height, box[3] + margin), max(0, box[0] - margin) : min(width, box[2] + margin)
    ]
    result = mask.copy()
    result[around] = RULES[how](mask[around], amount)
    return checked(result)


def checked(mask: Mask) -> Mask:
    """``mask``; raises ``InputError`` for one without a pixel."""
    if not mask.any():
        raise InputError("a change that leaves no pixel", "an object with pixels", "remove the object instead")
    return mask


def parts(mask: Mask) -> list[Mask]:
    """The connected parts of ``mask`` (H, W), the largest first. Raises ``InputError`` for one part, and for too many.

    >>> [int(part.sum()) for part in parts(np.array([[True, False, True, True]]))]
    [2, 1]
    """
    count, marks, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 3:
        raise InputError(
            "the splitting of an object of one part", "an object of several parts", "cut it with the eraser"
        )
    if count - 1 > MOST_PARTS:
        raise InputError(f"an object of {count - 1:,} parts", f"at most {MOST_PARTS}", "drop its islands first")
    order = 1 + np.argsort(-figures[1:, cv2.CC_STAT_AREA], kind="stable")
    return [marks == number for number in order]


def reshaped(mask: Mask, tolerance: float, ring: int, points: Sequence[float]) -> Mask:
    """``mask`` (H, W) after ``ring`` of its polygon view at ``tolerance`` became ``points`` (x, y, x, y, ...).

    The mask follows the new ring where it was edited: between its old and its new course, and along the edges that it
    lost. Elsewhere it stays as it is. No points remove the ring; the number after the last ring adds one.
    Raises ``InputError`` for a ring that is not there, and where nothing would be left.

    >>> mask = np.zeros((6, 6), bool); mask[1:5, 1:5] = True
    >>> int(reshaped(mask, 0, 0, [1, 1, 5, 1, 5, 3, 1, 3]).sum())
    8
    """
    size = (mask.shape[0], mask.shape[1])
    rings = to_rings(mask, tolerance)
    if ring > len(rings):
        raise InputError(
            f"ring {ring + 1} of an object with {len(rings)}", "a ring of its polygon view", "reload the page"
        )
    new = np.asarray(points, float).reshape(-1, 2)
    old = rings[ring] if ring < len(rings) else new[:0]
    after = [*rings[:ring], new, *rings[ring + 1 :]]
    filled = fill(after, size)
    zone = fill([old], size) ^ fill([new], size)
    zone |= _lost(old, new, size, tolerance + BEYOND)
    return checked(np.where(zone, filled, mask))


def _lost(old: Ring, new: Ring, size: tuple[int, int], width: float) -> Mask:
    """Pixels within ``width`` of an edge of ``old`` that ``new`` has not, and nearer to it than to those that stay."""
    there = {frozenset(edge) for edge in _edges(new)}
    gone = [edge for edge in _edges(old) if frozenset(edge) not in there]
    kept = [edge for edge in _edges(old) if frozenset(edge) in there]
    if not gone:
        return np.zeros(size, bool)
    distance = _distance(gone, size)
    lost: Mask = distance <= width
    if kept:
        lost &= distance < _distance(kept, size)
    return lost


def _edges(ring: Ring) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    corners = [tuple(corner) for corner in ring.tolist()]
    return list(zip(corners, corners[1:] + corners[:1], strict=True))


def _distance(
    edges: Sequence[tuple[tuple[float, ...], tuple[float, ...]]], size: tuple[int, int]
) -> NDArray[np.float32]:
    """(H, W) distance of every pixel's centre to the nearest edge, drawn in pixels."""
    drawn = np.ones(size, np.uint8)
    for a, b in edges:
        ends = [tuple(round(16 * (value - 0.5)) for value in corner) for corner in (a, b)]
        cv2.line(drawn, ends[0], ends[1], 0, 1, cv2.LINE_8, 4)
    return np.asarray(cv2.distanceTransform(drawn, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
