"""Array arithmetic of views: resampling (..., h, w) planes and squashing logits, in NumPy and OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Planes: TypeAlias = NDArray[Any]  # (..., h, w)
Taps: TypeAlias = tuple[NDArray[np.int64], Array]

_LARGE = 1 << 22  # pixels of a plane that are resampled at once


def sigmoid(logits: NDArray[Any]) -> Array:
    """1 / (1 + exp(-x)), elementwise, in float32.

    >>> sigmoid(np.array([-np.inf, 0.0, 1e4]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    out: Array = np.negative(logits, dtype=np.float32)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def logit(probability: NDArray[Any], eps: float = 1e-6) -> Array:
    """log(p / (1 - p)) of ``probability`` kept ``eps`` away from 0 and 1.

    >>> logit(np.array([0.5, 1.0])).round(1)
    array([ 0. , 13.8], dtype=float32)
    """
    inside = np.clip(np.asarray(probability, np.float32), np.float32(eps), np.float32(1 - eps))
    logits: Array = np.log(inside / (1 - inside))
    return logits


def resize(planes: Planes, size: tuple[int, int], *, align_corners: bool = False, antialias: bool = False) -> Planes:
    """(..., h, w) of bytes or float32 -> (..., *size) of the same type, bilinear; ``align_corners`` and ``antialias``
    mean what they mean in PyTorch's ``interpolate``, and the numbers are its to within rounding.

    >>> resize(np.array([[0.0, 1.0]], np.float32), (1, 4))
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    >>> resize(np.array([[0.0, 3.0]], np.float32), (1, 4), align_corners=True)
    array([[0., 1., 2., 3.]], dtype=float32)
    """
    height, width = planes.shape[-2:]
    if (height, width) == tuple(size):
        return planes
    shrinks = antialias and (size[0] < height or size[1] < width)
    if not (align_corners or shrinks or planes.dtype == np.uint8):
        return _enlarged(planes, size)
    across, down = _taps(width, size[1], align_corners, shrinks), _taps(height, size[0], align_corners, shrinks)
    if planes.dtype != np.uint8:
        return np.ascontiguousarray(_along_columns(_along_rows(planes, down), across))
    # bytes are rounded between the passes, columns first, with weights of 16 bits: as Pillow and PyTorch do it
    between = _shrunk_across(planes, _fixed_point(across)) if width != size[1] else planes
    return _rounded(_along_rows(between, _fixed_point(down))) if height != size[0] else between


def _shrunk_across(planes: Planes, taps: Taps) -> NDArray[np.uint8]:
    """The first pass over bytes (..., h, m) -> (..., h, n), rows after rows: of a large photo the numbers between would
    take more memory than the photo."""
    height, width = planes.shape[-2:]
    rows = max(1, _LARGE // width)
    if height <= rows:
        return _rounded(_along_columns(planes, taps))
    made = np.empty((*planes.shape[:-1], len(taps[0])), np.uint8)
    for top in range(0, height, rows):
        made[..., top : top + rows, :] = _rounded(_along_columns(planes[..., top : top + rows, :], taps))
    return made


def _enlarged(planes: Planes, size: tuple[int, int]) -> Planes:
    """``resize`` without corners or antialiasing: OpenCV's numbers are the same."""
    flat = planes.reshape(-1, *planes.shape[-2:])
    made = np.empty((len(flat), *size), planes.dtype)
    for plane, out in zip(flat, made, strict=True):
        cv2.resize(plane, (size[1], size[0]), dst=out, interpolation=cv2.INTER_LINEAR)
    return made.reshape(*planes.shape[:-2], *size)


def _taps(before: int, after: int, align_corners: bool, antialias: bool) -> Taps:
    """For each of ``after`` outputs: the first of the inputs it mixes, and the weights (after, n) of those that
    follow; weights beyond the last input are 0."""
    if align_corners:
        step = np.float32(before - 1) / np.float32(after - 1) if after > 1 else np.float32(0)
        at = np.arange(after, dtype=np.float32) * step
        first = np.minimum(at.astype(np.int64), before - 1)
        part = (at - first.astype(np.float32)) * (first < before - 1)
        return first, np.stack((1 - part, part), 1)
    scale = before / after
    reach = max(scale, 1.0) if antialias else 1.0
    centre = scale * (np.arange(after) + 0.5)
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), before)
    inputs = first[:, None] + np.arange(int((last - first).max()))
    weights = np.maximum(0, 1 - np.abs((inputs + 0.5 - centre[:, None]) / reach)) * (inputs < last[:, None])
    return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _fixed_point(taps: Taps) -> Taps:
    """The taps with their weights rounded to the finest fixed point in which the largest fits 16 bits."""
    first, weights = taps
    bits = next(b for b in range(23) if int(0.5 + float(weights.max()) * 2 ** (b + 1)) >= 2**15 or b == 22)
    return first, np.rint(weights * np.float32(2**bits)) / np.float32(2**bits)


def _rounded(levels: Array) -> NDArray[np.uint8]:
    """Levels in 0..255 to the nearest bytes, halves up."""
    return (levels + np.float32(0.5)).astype(np.uint8)


def _along_rows(planes: Planes, taps: Taps) -> Array:
    """(..., m, w) -> (..., n, w): every output row is its taps' mixture."""
    made = np.empty((*planes.shape[:-2], len(taps[0]), planes.shape[-1]), np.float32)
    for rows, inputs, mixing in _bands(taps, planes.shape[-2], max(4, 64 // taps[1].shape[1])):
        np.matmul(mixing, np.asarray(planes[..., inputs, :], np.float32), out=made[..., rows, :])
    return made


def _along_columns(planes: Planes, taps: Taps) -> Array:
    """(..., h, m) -> (..., h, n): every output column is its taps' mixture."""
    made = np.empty((*planes.shape[:-1], len(taps[0])), np.float32)
    for columns, inputs, mixing in _bands(taps, planes.shape[-1], 32):
        made[..., columns] = np.asarray(planes[..., inputs], np.float32) @ mixing.T
    return made


def _bands(taps: Taps, length: int, block: int) -> Iterator[tuple[slice, slice, Array]]:
    """Stretches of outputs, the stretches of inputs they mix, and the matrix (outputs, inputs) that mixes them:
    ``block`` outputs at a time, as most of a matrix of all is zero."""
    first, weights = taps
    count = weights.shape[1]
    for start in range(0, len(first), block):
        low = first[start : start + block]
        begin, end = int(low[0]), int(low[-1]) + count
        band = np.zeros((len(low), end - begin), np.float32)
        np.put_along_axis(band, (low - begin)[:, None] + np.arange(count), weights[start : start + block], 1)
        inputs = slice(begin, min(end, length))
        yield slice(start, start + len(low)), inputs, band[:, : inputs.stop - begin]
