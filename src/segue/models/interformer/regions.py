"""Regions of maps that InterFormer's refine blocks look at, alone or in a batch.

Source: InterFormer (Huang et al., ICCV 2023), section 3.3, and the published code's handling of batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

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
