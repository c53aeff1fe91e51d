"""UPerNet's head: pyramid pooling on the coarsest map, then a feature pyramid down to the finest.

Source: Xiao et al. 2018; parameter names are mmsegmentation's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.nn.heads import ConvUnit


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
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvUnit(in_channels[-1], channels, 1, norm=True))
            for scale in pool_scales
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
        fused = self.fpn_bottleneck(torch.cat([self._resize(level, levels[0]) for level in levels], dim=1))
        out: Tensor = self.conv_seg(self.dropout(fused))
        return out

    def _resize(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=self.align_corners)
