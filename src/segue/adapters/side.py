"""A side network beside the frozen towers of a text-prompted model, after SAN (Xu et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.base import Adapter, site_path, sites_like
from segue.adapters.links import Around, Instead, width_of
from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter

DECODED = 256  # SAN's mask decoder, three layers of this width on either side


class SideTransformer(nn.Module):
    """The image (b, 3, H, W) and the frozen tower's states (b, 1 + h*w, c), stem first -> the states, and one more
    (b, 1 + h*w, width) whose class token is zero.

    A narrow ViT of its own: patches of the pixels, positions (added before every layer), and each frozen state,
    normalised and projected, joined to it in turn: the stem before the first layer, the taps after one layer each.
    Source: SAN, section 3.2, feature fusion on the visual tokens.

    >>> side = SideTransformer(taps=2, channels=8, patch=16, cells=2, width=16, layers=2, heads=2)
    >>> taps = [torch.zeros(1, 5, 8)] * 2
    >>> [s.shape[-1] for s in side(taps, taps, torch.zeros(1, 3, 32, 32), torch.zeros(1, 5, 8))]
    [8, 8, 16]
    """

    def __init__(self, taps: int, channels: int, patch: int, cells: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, width, cells, cells))
        self.fuse = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width)) for _ in range(1 + taps)
        )
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
            for _ in range(layers)
        )

    def forward(self, out: list[Tensor], taps: Sequence[Tensor], pixels: Tensor, stem: Tensor) -> list[Tensor]:
        patches = self.embed(pixels)
        grid = patches.shape[-2:]
        same = grid == self.positions.shape[-2:]
        table = self.positions if same else F.interpolate(self.positions, grid, mode="bicubic", align_corners=False)
        positions = table.flatten(2).transpose(1, 2)
        x = patches.flatten(2).transpose(1, 2)
        frozen = [fuse(state[:, 1:]) for fuse, state in zip(self.fuse, (stem, *taps), strict=True)]
        x = x + frozen[0]
        for i, layer in enumerate(self.layers, 1):
            x = layer(x + positions)
            if i < len(frozen):
                x = x + frozen[i]
        return [*out, F.pad(x, (0, 0, 1, 0))]


class SideDecoder(nn.Module):
    """The side state, last of the taps (b, 1 + h*w, width), and a condition (b, d) -> logits (b, 1, h*p, w*p).

    The condition becomes a kernel that is compared with every cell's embedding, as SAN's queries are.

    >>> decoder = SideDecoder(channels=16, condition=6, patch=16)
    >>> decoder([torch.zeros(1, 7, 16)], torch.zeros(1, 6), (2, 3)).shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(self, channels: int, condition: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.cells = nn.Sequential(nn.LayerNorm(channels), _three_layers(channels))
        self.words = _three_layers(condition)
        self.bias = nn.Linear(condition, 1)

    def forward(self, taps: Sequence[Tensor], condition: Tensor, grid: tuple[int, int]) -> Tensor:
        cells, kernel = self.cells(taps[-1][:, 1:]), self.words(condition)
        scores = (cells @ kernel[..., None])[..., 0] * DECODED**-0.5 + self.bias(condition)
        size = (grid[0] * self.patch, grid[1] * self.patch)
        return F.interpolate(scores.reshape(len(scores), 1, *grid), size, mode="bilinear", align_corners=False)


def _three_layers(channels: int) -> nn.Sequential:
    first = (nn.Linear(channels, DECODED), nn.ReLU(), nn.Linear(DECODED, DECODED), nn.ReLU())
    return nn.Sequential(*first, nn.Linear(DECODED, DECODED))


class SideNetwork(Adapter):
    """The SAN-style baseline of VLSM-Adapter's table 1: 7.1 M parameters on rd64 (SAN has 8.4 M).

    SAN proposes a hundred masks and lets CLIP name them by way of an attention bias; here a prompt asks for one
    mask, so the text's condition takes the proposals' place and the bias is not needed. ``width`` 240, 8 layers
    and 6 heads are SAN's. The frozen decoder does not run.
    """

    kind = "side"

    def __init__(self, model: Segmenter, width: int = 240, layers: int = 8, heads: int = 6) -> None:
        super().__init__(width=width, layers=layers, heads=heads)
        taps = len(sites_like(model, "vision.tap.", needed_by="side"))
        if layers < taps:
            raise ConfigError(f"{layers} layers for {taps} tapped states", f"at least {taps}", "give more layers")
        beside: Any = model.module.get_submodule(site_path(model, "vision.side"))
        condition = width_of(model.module.get_submodule(site_path(model, "condition")))
        transformer = SideTransformer(taps, beside.width, beside.patch, beside.cells, width, layers, heads)
        self.place(model, "vision.side", Around, transformer)
        self.place(model, "head", Instead, SideDecoder(width, condition, beside.patch))
