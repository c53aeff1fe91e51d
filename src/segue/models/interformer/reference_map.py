"""InterFormer's reference map: one of five labels a pixel, updated by clicks and by predictions.

Labels: 0 definitely background, 1 possibly background, 2 unknown (at first), 3 possibly foreground, 4 definitely
foreground. Source: InterFormer, section 3.1 "Click Embedding", and the published code where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from segue.core.geometry import mask_box

BACKGROUND, MAYBE_BACKGROUND, UNKNOWN, MAYBE_FOREGROUND, FOREGROUND = range(5)

Point: TypeAlias = tuple[int, int, bool]  # (y, x, positive)


def unknown_labels(size: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """(1, 1, H, W) uint8, everything unknown.

    >>> unknown_labels((1, 2)).tolist()
    [[[[2, 2]]]]
    """
    return torch.full((1, 1, *size), UNKNOWN, dtype=torch.uint8, device=device)


def with_clicks(labels: Tensor, points: Sequence[Point], inner: float = 5.0, outer: float = 0.0) -> Tensor:
    """``labels`` (..., H, W) after clicks given at once: a disk of ``inner`` pixels becomes definite, whatever
    was there; a ring up to ``inner + outer`` possible, by ``with_answer``'s rules.

    Where disks of both kinds overlap, the kind whose first click comes later wins.

    >>> with_clicks(unknown_labels((3, 3)), [(1, 1, True)], inner=1)[0, 0].tolist()
    [[2, 4, 2], [4, 4, 4], [2, 4, 2]]
    """
    if not points:
        return labels
    kinds = list(dict.fromkeys(positive for _, _, positive in points))
    distance = {kind: _distance(labels, [(y, x) for y, x, p in points if p is kind]) for kind in kinds}
    drawn = torch.full_like(labels, UNKNOWN)
    rings = {kind: (distance[kind] <= inner + outer).expand_as(labels) for kind in kinds}
    for kind in kinds:
        drawn[rings[kind]] = MAYBE_FOREGROUND if kind else MAYBE_BACKGROUND
    if len(kinds) == 2:
        drawn[rings[True] & rings[False]] = UNKNOWN
    for kind in kinds:
        drawn[(distance[kind] <= inner).expand_as(labels)] = FOREGROUND if kind else BACKGROUND
    definite = (drawn == BACKGROUND) | (drawn == FOREGROUND)
    return torch.where(definite, drawn, _towards(labels, drawn == MAYBE_FOREGROUND, drawn == MAYBE_BACKGROUND))


def with_answer(labels: Tensor, mask: Tensor) -> Tensor:
    """``labels`` after a prediction, ``mask`` (..., H, W) bool: unknown becomes possible, a possible label that
    the prediction contradicts returns to unknown, definite labels stay.

    >>> with_answer(torch.tensor([2, 1, 3, 4, 0]), torch.tensor([True, True, False, False, True])).tolist()
    [3, 2, 2, 4, 0]
    """
    return _towards(labels, mask, ~mask)


def region_of_interest(
    labels: Tensor, mask: Tensor, expansion: float = 1.4, least: int = 32, stride: int = 32
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) around the mask (H, W) bool and every definite label, right and bottom exclusive.

    The box grows by ``expansion`` about its centre, to at least ``least`` pixels, within the image, and then
    outwards to multiples of ``stride``. Without anything to enclose it is the whole image.
    Source: InterFormer, section 3.3; rounding is half to even as published.

    >>> mask = torch.zeros(128, 128, dtype=torch.bool)
    >>> mask[40:50, 70:80] = True
    >>> region_of_interest(torch.full((128, 128), 2), mask)
    (32, 0, 96, 64)
    """
    height, width = mask.shape
    shown = mask | (labels == BACKGROUND) | (labels == FOREGROUND)
    x0, y0, x1, y1 = mask_box(shown.cpu().numpy()) or (0, 0, width, height)
    top, bottom = _grow((y0, y1), expansion, least, height, stride)
    left, end = _grow((x0, x1), expansion, least, width, stride)
    return left, top, end, bottom


def _grow(span: tuple[int, int], expansion: float, least: int, limit: int, stride: int) -> tuple[int, int]:
    # single precision, as published: whether a side ends in .5 before rounding hangs on it
    low, high = torch.tensor(span, dtype=torch.float32)
    centre = (low + high) / 2
    start = torch.round(centre - expansion * (centre - low)).clamp(min=0)
    end = torch.round(centre - expansion * (centre - high)).clamp(max=limit)
    start = torch.minimum(start, torch.round(centre - least / 2).clamp(min=0))
    end = torch.maximum(end, torch.round(centre + least / 2).clamp(max=limit))
    return int(start) // stride * stride, -(-int(end) // stride) * stride


def _distance(labels: Tensor, points: Sequence[tuple[int, int]]) -> Tensor:
    """(H, W) float32 distance in pixels to the nearest point."""
    rows = torch.arange(labels.shape[-2], device=labels.device).view(1, -1, 1)
    columns = torch.arange(labels.shape[-1], device=labels.device).view(1, 1, -1)
    at = torch.tensor(points, device=labels.device)
    squared = (rows - at[:, 0].view(-1, 1, 1)) ** 2 + (columns - at[:, 1].view(-1, 1, 1)) ** 2
    return squared.amin(0).float().sqrt()


def _towards(labels: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    new = labels.clone()
    new[foreground & (labels == UNKNOWN)] = MAYBE_FOREGROUND
    new[background & (labels == UNKNOWN)] = MAYBE_BACKGROUND
    new[(foreground & (labels == MAYBE_BACKGROUND)) | (background & (labels == MAYBE_FOREGROUND))] = UNKNOWN
    return new
