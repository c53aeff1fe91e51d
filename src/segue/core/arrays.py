"""Array arithmetic of views: resampling (..., h, w) planes and squashing logits, in NumPy and OpenCV."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Planes: TypeAlias = NDArray[Any]  # (..., h, w)

BLOCK = 32  # output rows that are made by one matrix product


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), elementwise, in float32.

    >>> sigmoid(np.array([-np.inf, 0.0, 1e4]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    out: NDArray[np.float32] = np.negative(logits, dtype=np.float32)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def logit(probability: NDArray[Any], eps: float = 1e-6) -> NDArray[np.float32]:
    """log(p / (1 - p)) of ``probability`` kept ``eps`` away from 0 and 1.

    >>> logit(np.array([0.5, 1.0])).round(1)
    array([ 0. , 13.8], dtype=float32)
    """
    inside = np.clip(np.asarray(probability, np.float32), np.float32(eps), np.float32(1 - eps))
    logits: NDArray[np.float32] = np.log(inside / (1 - inside))
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
    if align_corners or (antialias and (size[0] < height or size[1] < width)):
        rows = _along_rows(planes, _taps(height, size[0], align_corners))
        resized = _along_rows(rows.swapaxes(-1, -2), _taps(width, size[1], align_corners)).swapaxes(-1, -2)
        if planes.dtype == np.uint8:
            return np.clip(np.rint(resized), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(resized)
    flat = planes.reshape(-1, height, width)
    made = np.empty((len(flat), *size), planes.dtype)
    for plane, out in zip(flat, made, strict=True):
        cv2.resize(plane, (size[1], size[0]), dst=out, interpolation=cv2.INTER_LINEAR)
    return made.reshape(*planes.shape[:-2], *size)


def _taps(before: int, after: int, align_corners: bool) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of ``after`` outputs: the first of the inputs it mixes, and the weights (after, n) of those that
    follow; weights beyond the last input are 0."""
    if align_corners:
        step = np.float32(before - 1) / np.float32(max(1, after - 1)) if after > 1 else np.float32(0)
        at = np.arange(after, dtype=np.float32) * step
        first = np.minimum(at.astype(np.int64), before - 1)
        part = (at - first.astype(np.float32)) * (first < before - 1)
        return first, np.stack((1 - part, part), 1)
    scale = before / after
    reach = max(scale, 1.0)
    centre = scale * (np.arange(after) + 0.5)
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), before)
    inputs = first[:, None] + np.arange(int((last - first).max()))
    weights = np.maximum(0, 1 - np.abs((inputs + 0.5 - centre[:, None]) / reach)) * (inputs < last[:, None])
    return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _along_rows(planes: Planes, taps: tuple[NDArray[np.int64], NDArray[np.float32]]) -> NDArray[np.float32]:
    """(..., m, w) -> (..., n, w): every output row is its taps' mixture, ``BLOCK`` rows by one matrix product."""
    first, weights = taps
    made = np.empty((*planes.shape[:-2], len(first), planes.shape[-1]), np.float32)
    for start in range(0, len(first), BLOCK):
        low = first[start : start + BLOCK]
        end = min(planes.shape[-2], int(low[-1]) + weights.shape[1])
        band = np.zeros((len(low), int(low[-1]) + weights.shape[1] - int(low[0])), np.float32)
        columns = (low - low[0])[:, None] + np.arange(weights.shape[1])
        np.put_along_axis(band, columns, weights[start : start + BLOCK], 1)
        rows = np.ascontiguousarray(planes[..., int(low[0]) : end, :], np.float32)
        np.matmul(band[:, : rows.shape[-2]], rows, out=made[..., start : start + BLOCK, :])
    return made
