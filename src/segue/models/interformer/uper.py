"""UPerNet's head: pyramid pooling on the coarsest map, then a feature pyramid down to the finest.

Source: Xiao et al. 2018; parameter names are mmsegmentation's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.models.interformer.pooling import adaptive_avg_pool
from segue.nn.heads import ConvUnit
from segue.nn.tracing import may_overwrite

DROPOUT = 0.1  # of the channels that are classified


class PooledTo(nn.Module):
    """Mean over equal parts: (b, c, h, w) -> (b, c, scale, scale).

    >>> PooledTo(2)(torch.ones(1, 3, 5, 5)).shape
    torch.Size([1, 3, 2, 2])
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool(x, (self.scale, self.scale))


class UperHead(nn.Module):
    """Maps of falling resolution -> logits (b, classes, h, w) on the finest one's grid.

    >>> head = UperHead((4, 8, 8), channels=8, classes=2).eval()
    >>> head([torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 4, 4)]).shape
    torch.Size([1, 2, 16, 16])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
    ) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(PooledTo(scale), ConvUnit(in_channels[-1], channels, 1, norm=True)) for scale in pool_scales
        )
        self.bottleneck = ConvUnit(in_channels[-1] + len(pool_scales) * channels, channels, 3, norm=True)
        self.lateral_convs = nn.ModuleList(ConvUnit(c, channels, 1, norm=True) for c in in_channels[:-1])
        self.fpn_convs = nn.ModuleList(ConvUnit(channels, channels, 3, norm=True) for _ in in_channels[:-1])
        self.fpn_bottleneck = ConvUnit(len(in_channels) * channels, channels, 3, norm=True)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        coarse = maps[-1]
        pooled = [self._resize(pool(coarse), coarse) for pool in self.psp_modules]
        x = self.bottleneck(torch.cat([coarse, *pooled], dim=1))
        levels = [x]
        for i in reversed(range(len(maps) - 1)):
            lateral = self.lateral_convs[i](maps[i])
            x = lateral + self._resize(x, lateral)
            levels.append(self.fpn_convs[i](x))
        levels.reverse()
        out: Tensor = self.conv_seg(self.dropout(self._fuse(levels)))
        return out

    def _fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """``fpn_bottleneck`` of all levels on the finest grid, (b, channels, h, w).

        At inference it is split by level, so that the coarse ones are convolved before they grow.
        """
        size = (levels[0].shape[-2], levels[0].shape[-1])
        if self.training:
            joined: Tensor = self.fpn_bottleneck(torch.cat([self._resize(x, levels[0]) for x in levels], dim=1))
            return joined
        weight, bias = self.fpn_bottleneck.folded()
        total: Tensor | None = None
        for i, (level, kernel) in enumerate(zip(levels, weight.chunk(len(levels), dim=1), strict=True)):
            if i >= 2:  # each level has half the sides of the one before; from a quarter on it pays
                part = conv_of_upsampled(level, kernel, size)
            else:
                part = F.conv2d(self._resize(level, levels[0]), kernel, bias if total is None else None, padding=1)
            if total is None:
                total = part
            else:
                total = total.add_(part) if may_overwrite() else total + part
        assert total is not None
        return F.relu(total, inplace=may_overwrite())

    def _resize(self, x: Tensor, like: Tensor) -> Tensor:
        if x is like:
            return x
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class FcnHead(nn.Module):
    """One 3 x 3 convolution and a classifier: (b, in, h, w) -> (b, classes, h, w); training's auxiliary head.

    Source: InterFormer's configuration (FCNHead on stage 3).

    >>> FcnHead(8, 4, classes=2)(torch.zeros(1, 8, 5, 5)).shape
    torch.Size([1, 2, 5, 5])
    """

    def __init__(self, in_dim: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.convs = nn.Sequential(ConvUnit(in_dim, channels, 3, norm=True))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_seg(self.dropout(self.convs(x)))
        return out


def conv_of_upsampled(x: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The 3 x 3 convolution, zero-padded, of ``x`` (b, c, h, w) enlarged bilinearly to ``size``: (b, o, *size).

    ``kernel`` (o, c, 3, 3). Resizing and convolving are both linear and separable, so channels are mixed on the
    small grid, and one matrix for each axis then resizes and shifts at once: for a factor of 4 about a third of
    the multiplications.

    >>> x, kernel = torch.randn(1, 3, 4, 4), torch.randn(5, 3, 3, 3)
    >>> plain = F.conv2d(F.interpolate(x, size=(16, 16), mode="bilinear"), kernel, padding=1)
    >>> torch.allclose(conv_of_upsampled(x, kernel, (16, 16)), plain, atol=1e-4)
    True
    """
    b, c, h, w = x.shape
    o = kernel.shape[0]
    mixer = kernel.permute(3, 2, 0, 1).reshape(9 * o, c)  # rows: column tap, row tap, output
    mixed = F.linear(x.permute(0, 2, 3, 1), mixer)  # (b, h, w, 9 o)
    across = resize_and_shift(w, size[1], mixed)  # (W, w * 3)
    wide = across @ mixed.reshape(b, h, 3 * w, 3 * o)  # (b, h, W, 3 o)
    stacked = wide.reshape(b, h, size[1], 3, o).transpose(2, 3).reshape(b, 3 * h, size[1] * o)
    down = resize_and_shift(h, size[0], mixed)  # (H, h * 3)
    return (down @ stacked).reshape(b, size[0], size[1], o).permute(0, 3, 1, 2)


def resize_and_shift(old: int, new: int, like: Tensor) -> Tensor:
    """(new, old * 3): row i holds, for each old cell and tap t in 0..2, the weight that linear resizing gives
    the cell at position i + t - 1; 0 beyond the ends.

    >>> resize_and_shift(2, 2, torch.zeros(1))
    tensor([[0., 1., 0., 0., 0., 1.],
            [1., 0., 0., 0., 1., 0.]])
    """
    cell = torch.arange(old, device=like.device)
    cells = (cell[:, None] == cell).to(like.dtype)[None]
    weights = F.pad(F.interpolate(cells, size=new, mode="linear", align_corners=False)[0], (1, 1))
    taps = torch.stack([weights[:, t : t + new] for t in range(3)], dim=-1)  # (old, new, 3)
    return taps.transpose(0, 1).reshape(new, old * 3)
