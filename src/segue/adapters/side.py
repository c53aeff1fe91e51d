"""A side network beside a frozen text-prompted model, after SAN (Xu et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.base import Adapter, site_path, sites_like
from segue.adapters.links import Around, width_of
from segue.core.segmenter import Segmenter


class SideTransformer(nn.Module):
    """Frozen taps (b, 1 + h*w, c) and a condition (b, d) -> logits (b, 1, H, W) of the base's size.

    A narrow transformer walks along the taps, which are added to it one by one; each pixel's embedding is then
    compared with the condition. The frozen decoder's answer is not used.

    >>> import torch
    >>> side = SideTransformer(taps=2, channels=8, condition=6, width=16, layers=2, heads=2)
    >>> side(torch.zeros(1, 1, 32, 48), [torch.zeros(1, 7, 8)] * 2, torch.zeros(1, 6), (2, 3)).shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(self, taps: int, channels: int, condition: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width)) for _ in range(taps)
        )
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.pixels = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.words = nn.Sequential(nn.Linear(condition, width), nn.GELU(), nn.Linear(width, width))
        self.bias = nn.Linear(condition, 1)

    def forward(self, logits: Tensor, taps: Sequence[Tensor], condition: Tensor, grid: tuple[int, int]) -> Tensor:
        each = -(-len(self.layers) // len(self.reduce))
        x: Tensor | None = None
        for i, layer in enumerate(self.layers):
            if i % each == 0:
                joined = self.reduce[i // each](taps[i // each][:, 1:])
                x = joined if x is None else x + joined
            x = layer(x)
        assert x is not None
        scale = x.shape[-1] ** -0.5
        scores = (self.pixels(x) * self.words(condition)[:, None]).sum(-1) * scale + self.bias(condition)
        cells = scores.reshape(len(scores), 1, *grid)
        return F.interpolate(cells, logits.shape[-2:], mode="bilinear", align_corners=False)


class SideNetwork(Adapter):
    """The SAN-style baseline of VLSM-Adapter's table 1.

    SAN's own side network also reads the pixels and makes proposals; this one starts from the shallowest tap and
    answers one prompt. ``width`` 240 and 8 layers are SAN's.
    """

    kind = "side"

    def __init__(self, model: Segmenter, width: int = 240, layers: int = 8, heads: int = 6) -> None:
        super().__init__(width=width, layers=layers, heads=heads)
        taps = sites_like(model, "vision.tap.", needed_by="side")
        channels = width_of(model.get_submodule(site_path(model, taps[0])))
        condition = width_of(model.get_submodule(site_path(model, "condition")))
        self.place(model, "head", Around, SideTransformer(len(taps), channels, condition, width, layers, heads))
