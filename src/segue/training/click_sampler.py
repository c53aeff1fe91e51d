"""Clicks of a simulated user, as tensors on the training device; no OpenCV, no loop over samples.

Masks are (n, 1, h, w) at ``1 / stride`` of the input's size; clicks are drawn on a grid of four input pixels a cell
and returned as (n, 3) rows x, y, label in input pixels: label 1 positive, 0 negative, -1 no click.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 4
THRESHOLD = 0.49  # the robot-click protocol's


def depth(region: Tensor) -> Tensor:
    """(n, h, w) bool -> (n, h, w) float32 Euclidean distance, in cells, to the nearest cell outside; the border
    counts as outside, as the robot-click protocol pads by one.

    Exact and separable (Felzenszwalb and Huttenlocher's lower envelope, by brute force along rows).

    >>> depth(torch.ones(1, 3, 5, dtype=torch.bool))[0].tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    padded = F.pad(region, (1, 1, 1, 1))
    row = torch.arange(padded.shape[1], device=region.device, dtype=torch.float32)[None, :, None]
    above = torch.where(padded, -1e4, row).cummax(1).values
    below = torch.where(padded, 1e4, row).flip(1).cummin(1).values.flip(1)
    vertical = torch.minimum(row - above, below - row).square()
    column = torch.arange(padded.shape[2], device=region.device, dtype=torch.float32)
    across = (column[:, None] - column[None, :]).square()
    nearest = (vertical[:, :, None, :] + across).amin(-1)
    return nearest.sqrt()[:, 1:-1, 1:-1]


def first_clicks(
    targets: Tensor, stride: int, generator: torch.Generator, centred: float = 0.5, even: float = 0.0
) -> Tensor:
    """One positive click (n, 3) inside each target: the deepest point with probability ``centred``, else at
    random, more likely the deeper; of these a share ``even`` anywhere inside, however near the border.

    >>> target = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    >>> target[..., 4:12, 8:16] = True
    >>> x, y, label = first_clicks(target, 2, torch.Generator().manual_seed(0))[0].tolist()
    >>> 16 <= x < 32, 8 <= y < 24, label
    (True, True, 1.0)
    """
    cells = _cells(targets, stride)
    label = torch.where(cells.flatten(1).any(1), 1.0, -1.0)
    return _clicks(_pick(depth(cells).square(), centred, generator, even), cells.shape[-1], label, stride, generator)


def next_clicks(
    probability: Tensor,
    targets: Tensor,
    ignore_mask: Tensor,
    stride: int,
    generator: torch.Generator,
    greedy: float = 0.6,
    even: float = 0.0,
) -> Tensor:
    """The next click (n, 3) of a user who sees ``probability`` and wants ``targets``: in the deeper of the missed
    and the surplus region; at its deepest point with probability ``greedy``, else at random, more likely the
    deeper; of these a share ``even`` anywhere in it. Label -1 where nothing is wrong.

    Source: the robot-click protocol's rule (RITM, section 4), with chance added.
    """
    missed, surplus = _errors(probability, targets, ignore_mask, stride)
    most_missed, most_surplus = missed.flatten(1).amax(1), surplus.flatten(1).amax(1)
    positive = most_missed > most_surplus
    scores = torch.where(positive[:, None, None], missed, surplus).square()
    label = torch.where(torch.maximum(most_missed, most_surplus) > 0, positive.float(), -1.0)
    return _clicks(_pick(scores, greedy, generator, even), scores.shape[-1], label, stride, generator)


def scattered_clicks(
    targets: Tensor, ignore_mask: Tensor, most: int, stride: int, generator: torch.Generator
) -> Tensor:
    """(n, most, 3): a state in the middle of the work, with positive clicks anywhere inside and negative ones
    mostly near the object; the first row is always a positive click, others are clicks with even chance."""
    inside = _cells(targets, stride)
    near = F.max_pool2d(inside.float()[:, None], 17, 1, 8)[:, 0]
    outside = (~inside & ~_cells(ignore_mask, stride)) * (0.05 + near)
    rows = [first_clicks(targets, stride, generator, centred=0.3)]
    for _ in range(most - 1):
        positive, used = (torch.rand(2, len(inside), generator=generator) < 0.5).to(inside.device)
        region = torch.where(positive[:, None, None], inside.float(), outside)
        label = torch.where(used & region.flatten(1).any(1), positive.float(), -1.0)
        rows.append(_clicks(_pick(region, 0.0, generator), inside.shape[-1], label, stride, generator))
    return torch.stack(rows, dim=1)


def boxes_around(targets: Tensor, stride: int, generator: torch.Generator, noise: float = 0.04) -> Tensor:
    """(n, 4) x0 y0 x1 y1 in input pixels, each side off by up to ``noise`` of the box.

    >>> target = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    >>> target[..., 2:4, 1:6] = True
    >>> boxes_around(target, 2, torch.Generator(), noise=0).tolist()
    [[2.0, 4.0, 12.0, 8.0]]
    """
    h, w = targets.shape[-2:]
    columns, rows = targets[:, 0].any(1), targets[:, 0].any(2)
    xs, ys = torch.arange(w, device=targets.device), torch.arange(h, device=targets.device)
    x0, x1 = torch.where(columns, xs, w).amin(1), torch.where(columns, xs, -1).amax(1) + 1
    y0, y1 = torch.where(rows, ys, h).amin(1), torch.where(rows, ys, -1).amax(1) + 1
    box = torch.stack([x0, y0, x1, y1], dim=1).float() * stride
    span = torch.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]], dim=1).repeat(1, 2)
    unit = torch.rand(len(box), 4, generator=generator).to(box.device) * 2 - 1
    return box + unit * noise * span


def rough_masks(targets: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 1, h, w) probabilities that resemble an unfinished mask of ``targets``: blurred, with parts missing and
    surplus where a smooth random field is high."""
    n, _, h, w = targets.shape
    field = torch.randn(n, 1, max(2, h // 16), max(2, w // 16), generator=generator).to(targets.device)
    field = F.interpolate(field, (h, w), mode="bicubic", align_corners=False)
    soft = F.avg_pool2d(targets.float(), 9, 1, 4, count_include_pad=False)
    strength = torch.rand(n, 1, 1, 1, generator=generator).to(targets.device) * 0.5
    return torch.sigmoid(8 * (soft - 0.5 + strength * field))


def _cells(masks: Tensor, stride: int) -> Tensor:
    """(n, 1, h, w) -> (n, h', w'): the upper left mask pixel of every cell."""
    step = max(1, CELL // stride)
    return masks[:, 0, ::step, ::step]


def _errors(probability: Tensor, targets: Tensor, ignore_mask: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Depths (n, h', w') of the missed and of the surplus region."""
    shown, wanted, skip = (_cells(t, stride) for t in (probability > THRESHOLD, targets, ignore_mask))
    return depth(wanted & ~shown & ~skip), depth(shown & ~wanted & ~skip)


def _pick(scores: Tensor, greedy: float, generator: torch.Generator, even: float = 0.0) -> Tensor:
    """One flat cell (n,) per row of ``scores`` (n, h, w) >= 0: the first maximum with probability ``greedy``, else
    drawn in proportion, a share ``even`` of these from all above 0 alike."""
    flat = scores.flatten(1)
    weights = flat
    if even:
        alike = (torch.rand(len(flat), 1, generator=generator) < even).to(scores.device)
        weights = torch.where(alike, (flat > 0).to(flat.dtype), flat)
    weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, 1.0)
    drawn = torch.multinomial(weights.cpu(), 1, generator=generator)[:, 0].to(scores.device)
    best = (torch.rand(len(flat), generator=generator) < greedy).to(scores.device)
    return torch.where(best, flat.argmax(1), drawn)


def _clicks(cells: Tensor, width: int, label: Tensor, stride: int, generator: torch.Generator) -> Tensor:
    """Flat cells and labels (n,) -> (n, 3), somewhere inside the mask pixel that gave the cell its label."""
    step = max(CELL, stride)
    jitter = torch.rand(len(cells), 2, generator=generator).to(cells.device) * min(stride, step)
    x = cells % width * step + jitter[:, 0]
    y = torch.div(cells, width, rounding_mode="floor") * step + jitter[:, 1]
    return torch.stack([x, y, label], dim=1)
