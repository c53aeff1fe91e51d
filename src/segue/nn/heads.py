"""Pyramids on a plain ViT, and heads that turn them into logits, under their published parameter names.

The pyramid's four paths are the same in SimpleClick and InterFormer (ViTDet's simple pyramid with GroupNorm); only
their names differ, so both keep theirs and published checkpoints load by key.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.nn.tracing import may_overwrite


def rescale_path(in_dim: int, out_dim: int, factor: float) -> nn.Sequential:
    """Layers that change (b, in_dim, h, w) into (b, out_dim, factor * h, factor * w); factor 4, 2, 1 or 1/2.

    Source: ViTDet (Li et al. 2022), section 3; widths and GroupNorm(1) as SimpleClick and InterFormer publish.

    >>> import torch
    >>> rescale_path(8, 4, 4)(torch.zeros(1, 8, 2, 2)).shape
    torch.Size([1, 4, 8, 8])
    """
    up, norm = _double, _norm
    if factor == 4:
        wide = max(in_dim // 2, 2 * out_dim)
        layers = [up(in_dim, wide), norm(wide), nn.GELU(), up(wide, wide // 2), norm(wide // 2)]
        return nn.Sequential(*layers, *_project(wide // 2, out_dim))
    if factor == 2:
        wide = max(in_dim // 2, out_dim)
        return nn.Sequential(up(in_dim, wide), norm(wide), *_project(wide, out_dim))
    if factor == 1:
        return nn.Sequential(*_project(in_dim, out_dim))
    wide = max(in_dim * 2, out_dim)
    return nn.Sequential(nn.Conv2d(in_dim, wide, 2, stride=2), norm(wide), *_project(wide, out_dim))


def _double(in_dim: int, out_dim: int) -> nn.Module:
    return nn.ConvTranspose2d(in_dim, out_dim, 2, stride=2)


def _norm(dim: int) -> nn.Module:
    return nn.GroupNorm(1, dim)


def _project(in_dim: int, out_dim: int) -> list[nn.Module]:
    return [nn.Conv2d(in_dim, out_dim, 1), _norm(out_dim), nn.GELU()]


UPSAMPLE = {"x1": 1, "x2": 2, "x4": 4}  # how much finer than stride 4 the head answers


class ConvUnit(nn.Module):
    """Convolution, then BatchNorm where asked for, then ReLU: (b, in, h, w) -> (b, out, h, w).

    Keys ``conv`` and ``bn``, as mmcv names them; the convolution has a bias only without a norm. Where a batch in
    training holds a single value a channel (one view, pooled to one cell), running statistics stand in for its own.

    >>> ConvUnit(3, 8, 3)(torch.zeros(1, 3, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, in_dim: int, out_dim: int, kernel: int = 1, norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, out_dim, kernel, padding=kernel // 2, bias=not norm)
        self.bn: nn.Module = nn.BatchNorm2d(out_dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if (self.training and not self._single(x)) or not isinstance(self.bn, nn.BatchNorm2d):
            return F.relu(self.bn(self.conv(x)))
        weight, bias = self.folded()
        return F.relu(F.conv2d(x, weight, bias, padding=self.conv.padding), inplace=may_overwrite())

    @staticmethod
    def _single(x: Tensor) -> bool:
        """Whether a batch holds one value a channel, of which no statistics can be taken."""
        return x.shape[0] * x.shape[2] * x.shape[3] == 1

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias of convolution and fixed norm together, one pass over the map instead of two."""
        norm = self.bn
        if not isinstance(norm, nn.BatchNorm2d):
            return self.conv.weight, self.conv.bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return self.conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


class AllMlpHead(nn.Module):
    """SimpleClick's head: pyramid maps -> logits (b, classes, s * h, s * w) where (h, w) is the finest map.

    Every level is projected to ``channels`` * s, resized to the finest one (corners not aligned), fused, and
    with ``upsample`` "x2" or "x4" refined by transposed convolutions; s is 1, 2 or 4. The layers of both
    refinements exist in every model, as in the published checkpoints.
    Source: SimpleClick slides, "All-MLP Segmentation Head"; Xie et al. 2021 (SegFormer).

    >>> maps = [torch.zeros(1, 4, 8 // 2**i, 8 // 2**i) for i in range(4)]
    >>> AllMlpHead((4, 4, 4, 4), channels=8, upsample="x2")(maps).shape
    torch.Size([1, 1, 16, 16])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        classes: int = 1,
        upsample: str = "x1",
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        wide = channels * UPSAMPLE[upsample]
        self.scale = UPSAMPLE[upsample]
        self.align_corners = align_corners
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.convs = nn.ModuleList(ConvUnit(c, wide) for c in in_channels)
        self.fusion_conv = ConvUnit(wide * len(in_channels), wide)
        self.up_conv1 = _refine(wide, wide // 2)
        self.up_conv2 = _refine(wide // 2, wide // 4)

    def fuse(self, maps: Sequence[Tensor]) -> Tensor:
        """(b, channels * s, h, w): all levels on the finest grid, mixed by one 1 x 1 convolution."""
        size = maps[0].shape[-2:]
        levels = [
            F.interpolate(conv(x), size=size, mode="bilinear", align_corners=self.align_corners)
            for conv, x in zip(self.convs, maps, strict=True)
        ]
        out: Tensor = self.fusion_conv(torch.cat(levels, dim=1))
        return out

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        x = self.fuse(maps)
        if self.scale >= 2:
            x = self.up_conv1(x)
        if self.scale >= 4:
            x = self.up_conv2(x)
        out: Tensor = self.conv_seg(self.dropout(x))
        return out


def _refine(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(in_dim, out_dim, 2, stride=2),
        nn.GroupNorm(1, out_dim),
        nn.Conv2d(out_dim, out_dim, 1),
        nn.GroupNorm(1, out_dim),
        nn.GELU(),
    )
