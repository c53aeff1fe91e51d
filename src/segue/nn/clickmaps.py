"""Clicks as maps: the disks or distance maps that click models read.

Points are (b, 2n, 3) float rows (y, x, index) in pixels of the network's grid: the first n rows are positive,
the last n negative, and a row whose larger coordinate is below 0 is padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FAR = 1e6  # squared distance where no click is


def squared_distance(points: Tensor, size: Sequence[int]) -> Tensor:
    """(b, 2, h, w) squared distance in pixels to the nearest positive and the nearest negative click.

    Where a polarity has no click the value is 1e6.
    Source: RITM (Sofiiuk et al. 2021), section 3.1; padding rule of the published code.

    >>> squared_distance(torch.tensor([[[0.0, 1.0, 0.0], [-1.0, -1.0, -1.0]]]), (2, 3))[0, 0]
    tensor([[1., 0., 1.],
            [2., 1., 2.]])
    """
    height, width = size
    b = points.shape[0]
    y, x = points[..., 0], points[..., 1]  # (b, 2n)
    rows = torch.arange(height, device=points.device, dtype=torch.float32)
    cols = torch.arange(width, device=points.device, dtype=torch.float32)
    dy = (rows - y[..., None]).square()  # (b, 2n, h)
    dx = (cols - x[..., None]).square()  # (b, 2n, w)
    distance = dy[..., :, None] + dx[..., None, :]  # (b, 2n, h, w)
    padding = torch.maximum(y, x) < 0
    distance = distance.masked_fill(padding[..., None, None], FAR)
    return distance.view(b, 2, -1, height, width).amin(dim=2)


def click_disks(points: Tensor, size: Sequence[int], radius: float = 5.0) -> Tensor:
    """(b, 2, h, w) float maps, 1 within ``radius`` pixels (inclusive) of a positive / negative click, else 0.

    Source: RITM, section 3.1 ("disks with a small radius"); SimpleClick slides, "Clicks Encoding".

    >>> click_disks(torch.tensor([[[1.0, 1.0, 0.0], [-1.0, -1.0, -1.0]]]), (3, 3), radius=1)[0, 0]
    tensor([[0., 1., 0.],
            [1., 1., 1.],
            [0., 1., 0.]])
    """
    return (squared_distance(points, size) <= radius**2).to(torch.float32)


def click_distance_maps(points: Tensor, size: Sequence[int], radius: float = 5.0) -> Tensor:
    """(b, 2, h, w) maps tanh(2 d / radius) of the distance d in pixels to the nearest click; 1 without clicks.

    Source: RITM's published code (``use_disks=False``).

    >>> click_distance_maps(torch.tensor([[[0.0, 0.0, 0.0], [-1.0, -1.0, -1.0]]]), (1, 1)).flatten()
    tensor([0., 1.])
    """
    # the far filler stays 1e6 after scaling, so that an absent polarity gives exactly 1
    squared = squared_distance(points, size)
    scaled = torch.where(squared < FAR, squared / radius**2, squared)
    return torch.tanh(2 * scaled.sqrt())


def pack_clicks(clicks: Sequence[tuple[float, float, bool]], slots: int | None = None) -> Tensor:
    """(1, 2n, 3) points for one image from (y, x, positive) in order; n >= 1, or ``slots`` where that is larger.

    >>> pack_clicks([(2, 3, True), (4, 5, False)]).tolist()
    [[[2.0, 3.0, 0.0], [4.0, 5.0, 1.0]]]
    >>> pack_clicks([]).shape
    torch.Size([1, 2, 3])
    """
    halves: tuple[list[list[float]], list[list[float]]] = ([], [])
    for index, (y, x, positive) in enumerate(clicks):
        halves[0 if positive else 1].append([float(y), float(x), float(index)])
    n = max(1, slots or 1, *(len(half) for half in halves))
    rows = [row for half in halves for row in half + [[-1.0, -1.0, -1.0]] * (n - len(half))]
    return torch.tensor([rows], dtype=torch.float32)
