"""Deformable convolution, versions 1 and 2, in plain PyTorch: it exports, compiles and runs on any device.

Same arguments, layout and results as torchvision's ``deform_conv2d``, which needs its own compiled operator.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.core.errors import InputError


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Convolution whose taps are moved: x (b, c, h, w) -> (b, c', h', w').

    ``offset`` (b, 2 * g * k * k, h', w') holds (dy, dx) per tap and offset group in input pixels, ``weight``
    (c', c, k, k), ``mask`` (b, g * k * k, h', w') scales each tap (version 2; None is version 1). Values between
    pixels are bilinear, outside they are 0. Raises ``InputError`` for an offset of another size.
    Source: Dai et al. 2017, section 2; Zhu et al. 2019, equation 1.

    >>> x, weight = torch.rand(1, 2, 5, 5), torch.rand(3, 2, 3, 3)
    >>> plain = F.conv2d(x, weight, padding=1)
    >>> torch.allclose(deform_conv2d(x, torch.zeros(1, 18, 5, 5), weight, padding=1), plain, atol=1e-5)
    True
    """
    b, c, h, w = x.shape
    kernel = weight.shape[-2:]
    taps = kernel[0] * kernel[1]
    rows = (h + 2 * padding - dilation * (kernel[0] - 1) - 1) // stride + 1
    columns = (w + 2 * padding - dilation * (kernel[1] - 1) - 1) // stride + 1
    groups = offset.shape[1] // (2 * taps)
    if groups < 1 or c % groups or tuple(offset.shape) != (b, 2 * groups * taps, rows, columns):
        raise InputError(
            f"offsets of shape {tuple(offset.shape)}",
            f"({b}, {2 * taps} times a divisor of {c} channels, {rows}, {columns})",
        )
    moved = offset.reshape(b * groups, taps, 2, rows, columns)
    y, at = _tap_positions(kernel, rows, columns, stride, padding, dilation, offset)
    # grid_sample's normalised positions, corners at -1 - 1/n and 1 + 1/n
    grid = torch.stack(((2 * (at + moved[:, :, 1]) + 1) / w - 1, (2 * (y + moved[:, :, 0]) + 1) / h - 1), -1)
    sampled = F.grid_sample(
        x.reshape(b * groups, c // groups, h, w), grid.flatten(1, 2).to(x.dtype), align_corners=False
    ).reshape(b, groups, c // groups, taps, rows, columns)
    if mask is not None:
        sampled = sampled * mask.reshape(b, groups, 1, taps, rows, columns)
    out = torch.matmul(weight.flatten(1), sampled.reshape(b, c * taps, rows * columns))
    if bias is not None:
        out = out + bias[:, None]
    return out.reshape(b, -1, rows, columns)


def _tap_positions(
    kernel: torch.Size, rows: int, columns: int, stride: int, padding: int, dilation: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Unmoved (y, x) input positions of every tap, (taps, rows, columns) each, by broadcasting."""

    def line(taps: int, count: int) -> Tensor:
        first = torch.arange(count, device=like.device, dtype=like.dtype) * stride - padding
        return torch.arange(taps, device=like.device, dtype=like.dtype)[:, None] * dilation + first

    y = line(kernel[0], rows)[:, None, :, None].expand(-1, kernel[1], -1, columns)
    x = line(kernel[1], columns)[None, :, None, :].expand(kernel[0], -1, rows, -1)
    return y.reshape(-1, rows, columns), x.reshape(-1, rows, columns)


class DeformConv2d(nn.Module):
    """A deformable convolution that predicts its own offsets (and, version 2, modulation) from its input.

    A fresh one samples where a plain convolution does; version 2 starts with all modulations at one half, as
    published.

    >>> DeformConv2d(3, 8, 3, stride=2, padding=1)(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        version: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation, self.version = stride, padding, dilation, version
        plain = nn.Conv2d(inputs, outputs, kernel)
        self.weight, self.bias = plain.weight, plain.bias
        self.taps = kernel * kernel
        self.where = nn.Conv2d(inputs, (1 + version) * self.taps, kernel, stride, padding, dilation)
        nn.init.zeros_(self.where.weight)
        assert self.where.bias is not None
        nn.init.zeros_(self.where.bias)

    def forward(self, x: Tensor) -> Tensor:
        where = self.where(x)
        offset, mask = where[:, : 2 * self.taps], None
        if self.version == 2:
            mask = where[:, 2 * self.taps :].sigmoid()
        return deform_conv2d(
            x,
            offset,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            mask=mask,
        )
