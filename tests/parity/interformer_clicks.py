"""The clicks that InterFormer's published user may make next, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segue.training.click_sampler import depth


def click_candidates(
    prediction: Tensor, target: Tensor, clicked: Sequence[tuple[int, int]] = (), inner: float = 1.7
) -> tuple[Tensor, bool | None]:
    """Every pixel (h, w) bool that InterFormer's simulated user may click next, and whether positively.

    ``prediction`` and ``target`` are (h, w) bool. Pixels ``clicked`` (y, x) before leave the error *before* depths
    are taken (RITM removes them after); ``inner`` below 0 allows the whole error. None where nothing is wrong.
    Source: the published code's evaluation click (``inner`` 1: the deepest pixels only) and training click (1.7).

    >>> target = torch.zeros(3, 5, dtype=torch.bool)
    >>> target[:, 1:4] = True
    >>> where, positive = click_candidates(torch.zeros_like(target), target, inner=1)
    >>> where.nonzero().tolist(), positive
    ([[1, 2]], True)
    """
    free = torch.ones_like(target)
    for y, x in clicked:
        free[y, x] = False
    missed, surplus = depth((target & ~prediction & free)[None])[0], depth((prediction & ~target & free)[None])[0]
    positive = bool(missed.max() > surplus.max())
    depths = (missed if positive else surplus).double()
    if not depths.max():
        return torch.zeros_like(target), None
    share = 1 / (inner + torch.finfo(torch.float32).eps) if inner >= 1 else 0.0
    return depths > share * depths.max(), positive
