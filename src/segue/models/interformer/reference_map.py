"""InterFormer's reference map: one of five labels a pixel, updated by clicks and by predictions.

Labels: 0 definitely background, 1 possibly background, 2 unknown (at first), 3 possibly foreground, 4 definitely
foreground. Source: InterFormer, section 3.1 "Click Embedding", and the published code where they differ.
Regions are what the refine blocks look at, alone or in a batch (section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from segue.core.geometry import mask_box

Region: TypeAlias = tuple[int, int, int, int]  # (left, top, right, bottom), right and bottom exclusive


def divided(regions: Sequence[Region] | None, stride: int) -> list[Region] | None:
    """Regions in image pixels on a map of ``stride``; their corners must be multiples of it.

    >>> divided([(32, 0, 96, 64)], 16)
    [(2, 0, 6, 4)]
    """
    if regions is None:
        return None
    return [(le // stride, t // stride, r // stride, b // stride) for le, t, r, b in regions]


def common_windows(regions: Sequence[Region], size: Sequence[int]) -> list[Region]:
    """Windows of one size, the largest region's, each about the centre of its region and inside (h, w).

    >>> common_windows([(0, 0, 8, 4), (6, 6, 8, 8)], (8, 8))
    [(0, 0, 8, 4), (0, 4, 8, 8)]
    """
    wide = max(right - left for left, _, right, _ in regions)
    tall = max(bottom - top for _, top, _, bottom in regions)
    windows = []
    for left, top, right, bottom in regions:
        end_x = min(max(-((wide - left - right) // 2), 0) + wide, size[1])
        end_y = min(max(-((tall - top - bottom) // 2), 0) + tall, size[0])
        windows.append((end_x - wide, end_y - tall, end_x, end_y))
    return windows


def shifted(part: Tensor, windows: Sequence[Region], regions: Sequence[Region]) -> Tensor:
    """``part`` (b, c, h, w) moved by each window's offset from its region, as RoIAlign reads past the edge:
    one pixel beyond repeats the edge, further is zero.

    >>> shifted(torch.arange(1.0, 5).view(1, 1, 1, 4), [(0, 0, 4, 1)], [(2, 0, 4, 1)])[0, 0].tolist()
    [[0.0, 1.0, 1.0, 2.0]]
    """
    height, width = part.shape[-2:]
    out = []
    for sample, (x0, y0, _, _), (left, top, _, _) in zip(part, windows, regions, strict=True):
        rows = torch.arange(height, device=part.device) + (y0 - top)
        columns = torch.arange(width, device=part.device) + (x0 - left)
        inside = ((rows >= -1) & (rows <= height))[:, None] & ((columns >= -1) & (columns <= width))
        moved = sample[:, rows.clamp(0, height - 1)][:, :, columns.clamp(0, width - 1)]
        out.append(moved * inside)
    return torch.stack(out)


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
