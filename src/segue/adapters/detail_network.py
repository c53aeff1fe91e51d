"""The parts of ClickAdapter: spatial prior, injector, dense embedding, multi-scale fusion, token decoder.

Widths that the paper leaves open are chosen so that the counts of its tables III and IV come out; C is the
width of the backbone. Source: Li et al., ClickAdapter, sections III-B and III-C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.deform import DeformConv2d
from segue.nn.vit import attend

Mixing = Literal["add", "concat", "cross", "two-way"]
HELPERS = 3  # tokens beside the learned one: attention over a single token has nothing to choose


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (b, c, h, w).

    >>> ChannelNorm(4)(torch.rand(1, 4, 2, 2)).mean(1).abs().max() < 1e-6
    tensor(True)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class Attention(nn.Module):
    """Attention of queries (b, n, c) over keys and values (b, m, c), inside at width c / ``shrink``.

    >>> Attention(64, shrink=2)(torch.zeros(1, 5, 64), torch.zeros(1, 7, 64), torch.zeros(1, 7, 64)).shape
    torch.Size([1, 5, 64])
    """

    def __init__(self, dim: int, shrink: int = 1) -> None:
        super().__init__()
        inner = dim // shrink
        self.heads = max(1, inner // 64)
        self.query, self.key, self.value = (nn.Linear(dim, inner) for _ in range(3))
        self.out = nn.Linear(inner, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out: Tensor = self.out(attend(self.query(query), self.key(key), self.value(value), self.heads))
        return out


class SpatialPrior(nn.Module):
    """Normalised image (b, 3, H, W) -> local detail (b, c, H/16, W/16), by deformable convolutions throughout.

    A ResNet-like stem of three 3 x 3 layers and a max-pool (to hd/4 channels at stride 4), two of stride 2
    (doubling them), one of 1 x 1 to width c; hd is c / 4.

    >>> SpatialPrior(64)(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 64, 4, 6])
    """

    def __init__(self, dim: int, version: Literal[1, 2] = 2) -> None:
        super().__init__()
        quarter = max(4, dim // 16)

        def layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            conv = DeformConv2d(inputs, outputs, 3, stride=stride, padding=1, version=version)
            return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

        self.stem = nn.Sequential(
            layer(3, quarter, 2), layer(quarter, quarter, 1), layer(quarter, quarter, 1), nn.MaxPool2d(3, 2, 1)
        )
        self.filter = nn.Sequential(layer(quarter, 2 * quarter, 2), layer(2 * quarter, 4 * quarter, 2))
        self.project = DeformConv2d(4 * quarter, dim, 1, version=version)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.project(self.filter(self.stem(image)))
        return out


class Injector(nn.Module):
    """Early backbone tokens and spatial prior (b, n, c) -> high-quality tokens (b, n, c): equations 1 to 3.

    ``mixing`` "two-way" is the paper's; "cross" leaves equation 1 out, "add" and "concat" are table VI's naive
    fusions. gamma starts at zero, so that the early features enter unchanged at first. The printed equation 3
    normalises the prior, its text the output of equation 2: the text is followed.

    >>> Injector(64)(torch.zeros(1, 6, 64), torch.zeros(1, 6, 64)).shape
    torch.Size([1, 6, 64])
    """

    def __init__(self, dim: int, mixing: Mixing = "two-way") -> None:
        super().__init__()
        self.mixing = mixing
        if mixing == "concat":
            self.join = nn.Linear(2 * dim, dim)
        if mixing in ("cross", "two-way"):
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(5 if mixing == "two-way" else 3))
            self.feed = nn.Sequential(nn.Linear(dim, dim // 4), nn.GELU(), nn.Linear(dim // 4, dim))
            self.back = Attention(dim)
        if mixing == "two-way":
            self.inject = Attention(dim)
            self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, early: Tensor, prior: Tensor) -> Tensor:
        if self.mixing == "add":
            return early + prior
        if self.mixing == "concat":
            joined: Tensor = self.join(torch.cat((early, prior), -1))
            return joined
        if self.mixing == "two-way":
            normed = self.norms[4](prior)
            early = early + self.gamma * self.inject(self.norms[3](early), normed, normed)
        prior = prior + self.feed(self.norms[0](prior))
        keys = self.norms[2](early)
        out: Tensor = prior + self.back(self.norms[1](prior), keys, keys)
        return out


def enlarge(dim: int, outputs: int) -> nn.Sequential:
    """Two transposed convolutions: (b, dim, h, w) -> (b, outputs, 4h, 4w).

    >>> enlarge(16, 4)(torch.zeros(1, 16, 2, 2)).shape
    torch.Size([1, 4, 8, 8])
    """
    return nn.Sequential(
        nn.ConvTranspose2d(dim, dim // 4, 2, 2),
        ChannelNorm(dim // 4),
        nn.GELU(),
        nn.ConvTranspose2d(dim // 4, outputs, 2, 2),
    )


class DenseEmbedding(nn.Module):
    """Previous mask (b, 1, H, W) -> (b, c, H/16, W/16): four convolutions with norms and activations between.

    >>> DenseEmbedding(32)(torch.zeros(1, 1, 32, 48)).shape
    torch.Size([1, 32, 2, 3])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = (1, *(max(4, dim // n) for n in (16, 8, 4)))
        layers: list[nn.Module] = []
        for inputs, outputs in zip(widths, (*widths[1:], dim), strict=True):
            layers += [nn.Conv2d(inputs, outputs, 2, 2), ChannelNorm(outputs), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-2])

    def forward(self, mask: Tensor) -> Tensor:
        out: Tensor = self.layers(mask)
        return out


class MultiScaleFusion(nn.Module):
    """Pyramid maps at strides 4, 8, 16, 32 -> (b, c/8, H/4, W/4): each deconvolved to c/4, joined, projected.

    >>> maps = [torch.zeros(1, 4 * 2**i, 8 // 2**i, 8 // 2**i) for i in range(4)]
    >>> MultiScaleFusion((4, 8, 16, 32), 64)(maps).shape
    torch.Size([1, 8, 8, 8])
    """

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.ConvTranspose2d(w, dim // 4, 2**i, 2**i) for i, w in enumerate(widths))
        self.join = nn.Conv2d(len(widths) * (dim // 4), dim // 8, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        size = maps[0].shape[-2:]
        each = [level(m) for level, m in zip(self.levels, maps, strict=True)]
        each = [m if m.shape[-2:] == size else F.interpolate(m, size, mode="bilinear") for m in each]
        out: Tensor = self.join(torch.cat(each, 1))
        return out


class TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the image, then the image to the tokens: one decoder layer.

    >>> tokens, image = TwoWayLayer(64)(torch.zeros(1, 4, 64), torch.zeros(1, 6, 64), torch.zeros(6, 64))
    >>> tokens.shape, image.shape
    (torch.Size([1, 4, 64]), torch.Size([1, 6, 64]))
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.itself = Attention(dim)
        self.to_image, self.to_tokens = Attention(dim, 2), Attention(dim, 2)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def forward(self, tokens: Tensor, image: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.norms[0](tokens + self.itself(tokens, tokens, tokens))
        tokens = self.norms[1](tokens + self.to_image(tokens, image + places, image))
        image = self.norms[2](image + self.to_tokens(image + places, tokens, tokens))
        return tokens, image


class TokenDecoder(nn.Module):
    """The adapter's decoder: a learned token becomes the kernel that reads the detail features.

    With ``identity`` the kernel starts at zero, so that training starts from the base's own answers.

    ``last`` (b, c, h, w) is the backbone's output, ``dense`` the embedded previous mask, ``detail`` (b, c/8,
    H/4, W/4) what the kernel is applied to; -> logits (b, 1, H/4, W/4).

    >>> decoder = TokenDecoder(64)
    >>> decoder(torch.zeros(1, 64, 2, 3), torch.zeros(1, 64, 2, 3), torch.zeros(1, 8, 8, 12)).shape
    torch.Size([1, 1, 8, 12])
    """

    def __init__(self, dim: int, identity: bool = True) -> None:
        super().__init__()
        self.tokens = nn.Parameter(0.02 * torch.randn(1, 1 + HELPERS, dim))
        self.join = nn.Conv2d(2 * dim, dim, 1)
        self.layers = nn.ModuleList(TwoWayLayer(dim) for _ in range(2))
        self.enlarge = enlarge(dim, dim // 8)
        self.kernel = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim // 8)
        )
        for parameter in self.kernel[-1].parameters() if identity else ():
            nn.init.zeros_(parameter)

    def forward(self, last: Tensor, dense: Tensor, detail: Tensor) -> Tensor:
        b, _, h, w = last.shape
        if dense.shape[-2:] != (h, w):
            dense = F.interpolate(dense, (h, w), mode="bilinear")
        image = self.join(torch.cat((last, dense), 1)).flatten(2).transpose(1, 2)
        tokens, places = self.tokens.expand(b, -1, -1), sine_places(h, w, image)
        for layer in self.layers:
            tokens, image = layer(tokens, image, places)
        large = self.enlarge(image.transpose(1, 2).reshape(b, -1, h, w))
        if large.shape[-2:] != detail.shape[-2:]:
            large = F.interpolate(large, detail.shape[-2:], mode="bilinear")
        kernel = self.kernel(tokens[:, 0])
        return torch.einsum("bc,bchw->bhw", kernel, detail + large)[:, None]


def sine_places(h: int, w: int, like: Tensor) -> Tensor:
    """(h * w, c) sine and cosine of row and column at c / 4 frequencies, for tokens ``like`` (b, n, c).

    >>> sine_places(2, 3, torch.zeros(1, 6, 8)).shape
    torch.Size([6, 8])
    """
    quarter = like.shape[-1] // 4
    rate = 10000 ** (-torch.arange(quarter, device=like.device, dtype=torch.float32) / quarter)
    rows, columns = (torch.arange(n, device=like.device, dtype=torch.float32)[:, None] * rate for n in (h, w))
    y = torch.cat((rows.sin(), rows.cos()), 1)[:, None].expand(h, w, -1)
    x = torch.cat((columns.sin(), columns.cos()), 1)[None].expand(h, w, -1)
    places = torch.cat((y, x), -1).reshape(h * w, -1)
    return F.pad(places, (0, like.shape[-1] - places.shape[-1])).to(like.dtype)
