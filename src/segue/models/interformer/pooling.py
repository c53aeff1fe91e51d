"""Adaptive pooling, also in a form that traces to ONNX with free sizes.

ONNX has no adaptive pooling. While a graph is traced, sizes are tensors, the maximum is a gather of each part's
cells, and the average a matrix product along each axis; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from segue.nn.tracing import tracing

Length: TypeAlias = int | Tensor  # a number, or while tracing a 0-dimensional int64 tensor


def adaptive_max_pool(x: Tensor, size: Sequence[Length]) -> Tensor:
    """(b, c, h, w) -> (b, c, *size): the maximum over equal parts, as PyTorch's adaptive pooling cuts them.

    >>> adaptive_max_pool(torch.arange(4.0).view(1, 1, 1, 4), (1, 2)).flatten()
    tensor([1., 3.])
    """
    if tracing():
        return gathered_max_pool(x, size)
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.adaptive_max_pool2d(x, [int(side) for side in size])


def gathered_max_pool(x: Tensor, size: Sequence[Length]) -> Tensor:
    """``adaptive_max_pool`` by gathering, each part's last cell repeated where parts differ in length.

    >>> x = torch.randn(1, 2, 7, 5)
    >>> torch.equal(gathered_max_pool(x, (3, 4)), F.adaptive_max_pool2d(x, (3, 4)))
    True
    """
    rows = _cells(x, -2, size[0])  # (h', longest part)
    columns = _cells(x, -1, size[1])
    down = x.index_select(2, rows.flatten()).unflatten(2, rows.shape).amax(3)  # type: ignore[no-untyped-call]
    across: Tensor = down.index_select(3, columns.flatten()).unflatten(3, columns.shape).amax(4)
    return across


def adaptive_avg_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """(b, c, h, w) -> (b, c, *size): the mean over equal parts.

    >>> adaptive_avg_pool(torch.arange(4.0).view(1, 1, 1, 4), (1, 2)).flatten()
    tensor([0.5000, 2.5000])
    """
    if not tracing():
        return F.adaptive_avg_pool2d(x, (size[0], size[1]))
    return multiplied_avg_pool(x, size)


def multiplied_avg_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """``adaptive_avg_pool`` as a product with one matrix of weights per axis.

    >>> x = torch.randn(1, 2, 7, 5)
    >>> torch.allclose(multiplied_avg_pool(x, (3, 4)), F.adaptive_avg_pool2d(x, (3, 4)), atol=1e-6)
    True
    """
    return _means(x, -2, size[0]) @ x @ _means(x, -1, size[1]).transpose(0, 1)


def _bounds(x: Tensor, axis: int, parts: Length) -> tuple[Tensor, Tensor]:
    """First cell and end of each part of an axis, (parts,) int64 each."""
    length, count = _length(x, axis), _as_tensor(parts, x)
    index = torch.arange(int(parts) if isinstance(parts, int) else parts, device=x.device)  # type: ignore[arg-type]
    start = torch.div(index * length, count, rounding_mode="floor")
    end = torch.div((index + 1) * length + count - 1, count, rounding_mode="floor")
    return start, end


def _cells(x: Tensor, axis: int, parts: Length) -> Tensor:
    start, end = _bounds(x, axis, parts)
    longest = (end - start).max()
    reach: Tensor = torch.arange(longest, device=x.device)  # type: ignore[call-overload]
    return torch.minimum(start[:, None] + reach, end[:, None] - 1)


def _means(x: Tensor, axis: int, parts: int) -> Tensor:
    start, end = _bounds(x, axis, parts)
    cell: Tensor = torch.arange(_length(x, axis), device=x.device)  # type: ignore[call-overload]
    inside = ((cell >= start[:, None]) & (cell < end[:, None])).to(x.dtype)
    return inside / (end - start)[:, None].to(x.dtype)


def _length(x: Tensor, axis: int) -> Tensor:
    return _as_tensor(x.shape[axis], x)


def _as_tensor(value: Length, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(torch.int64)
    return torch.tensor(value, device=like.device)
