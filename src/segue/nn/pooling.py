"""Adaptive pooling that also exports to ONNX with free sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def adaptive_max_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """(b, c, h, w) -> (b, c, *size): the maximum over equal parts, as PyTorch's adaptive pooling cuts them.

    >>> import torch
    >>> adaptive_max_pool(torch.arange(4.0).view(1, 1, 1, 4), (1, 2)).flatten()
    tensor([1., 3.])
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.adaptive_max_pool2d(x, tuple(size))
