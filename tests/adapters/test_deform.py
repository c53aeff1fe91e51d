"""Deformable convolution against a loop that follows the papers' sums, and against torchvision where installed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segue.adapters.deform import DeformConv2d, deform_conv2d
from segue.core.errors import InputError


def pixel(x: Tensor, channel: int, y: float, at: float) -> float:
    """The bilinear value at a point of x (c, h, w), 0 outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(at), math.floor(at) + 1):
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                total += (1 - abs(y - row)) * (1 - abs(at - column)) * float(x[channel, row, column])
    return total


def by_loops(
    x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor, stride: int, padding: int, dilation: int
) -> Tensor:
    out = torch.zeros(len(x), len(weight), *offset.shape[-2:], dtype=torch.float64)
    k = weight.shape[-1]
    groups = offset.shape[1] // (2 * k * k)
    for b, o, row, column in torch.cartesian_prod(*(torch.arange(n) for n in out.shape)).tolist():
        for c in range(x.shape[1]):
            g = c // (x.shape[1] // groups)
            for i in range(k):
                for j in range(k):
                    tap = g * k * k + i * k + j
                    dy, dx = offset[b, 2 * tap, row, column], offset[b, 2 * tap + 1, row, column]
                    y = row * stride - padding + i * dilation + float(dy)
                    at = column * stride - padding + j * dilation + float(dx)
                    out[b, o, row, column] += float(weight[o, c, i, j] * mask[b, tap, row, column]) * pixel(
                        x[b], c, y, at
                    )
    return out


CASES = [(1, 1, 1, 1, 3), (2, 1, 1, 2, 3), (1, 0, 2, 1, 3), (2, 0, 1, 1, 1), (1, 2, 1, 2, 2)]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "k"), CASES)
@pytest.mark.parametrize("version", [1, 2])
def test_it_is_the_papers_sum(version: int, stride: int, padding: int, dilation: int, groups: int, k: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 7, 6).double(), torch.randn(3, 4, k, k).double()
    size = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation).shape[-2:]
    offset = 1.5 * torch.randn(2, 2 * groups * k * k, *size).double()
    mask = torch.rand(2, groups * k * k, *size).double()
    got = deform_conv2d(
        x, offset, weight, stride=stride, padding=padding, dilation=dilation, mask=mask if version == 2 else None
    )
    wanted = by_loops(x, offset, weight, mask if version == 2 else torch.ones_like(mask), stride, padding, dilation)
    torch.testing.assert_close(got, wanted, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "k"), CASES)
def test_it_equals_torchvisions_operator(stride: int, padding: int, dilation: int, groups: int, k: int) -> None:
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 4, 9, 8), torch.randn(6, 4, k, k), torch.randn(6)
    size = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation).shape[-2:]
    offset, mask = 2 * torch.randn(2, 2 * groups * k * k, *size), torch.rand(2, groups * k * k, *size)
    ours = deform_conv2d(x, offset, weight, bias, stride=stride, padding=padding, dilation=dilation, mask=mask)
    theirs = ops.deform_conv2d(x, offset, weight, bias, (stride,) * 2, (padding,) * 2, (dilation,) * 2, mask)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_gradients_reach_input_offset_mask_and_weight() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 2, 4, 4).double(), torch.randn(2, 2, 3, 3).double()
    offset, mask = 0.3 + 0.2 * torch.rand(1, 18, 4, 4).double(), torch.rand(1, 9, 4, 4).double()
    every = [t.requires_grad_() for t in (x, offset, weight, mask)]
    assert torch.autograd.gradcheck(lambda a, o, w, m: deform_conv2d(a, o, w, padding=1, mask=m), every)


def test_a_fresh_layer_is_a_plain_convolution() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 9, 9)
    for version, scale in ((1, 1.0), (2, 0.5)):
        layer = DeformConv2d(3, 4, 3, stride=2, padding=1, version=version)  # type: ignore[arg-type]
        plain = scale * F.conv2d(x, layer.weight, stride=2, padding=1) + layer.bias[:, None, None]
        torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)


def test_offsets_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="offsets of shape"):
        deform_conv2d(torch.zeros(1, 2, 5, 5), torch.zeros(1, 18, 5, 5), torch.zeros(1, 2, 3, 3))
