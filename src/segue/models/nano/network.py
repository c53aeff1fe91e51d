"""The network of nano: a small backbone once per image, a light convolutional decoder with attention per prompt.

InterFormer's division of labour (Huang et al., 2023) at pocket size: everything that depends on the image
alone, the decoder's image projections included, is computed once; what a click costs is a few
milliseconds on a laptop. Tensors only, so that it trains, compiles and exports; ``model.py`` is the object-level
skin over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from segue.core.arrays import Array
from segue.core.segmenter import ExportGraph
from segue.core.types import Maps
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.settings import MAPS, TAPS, NanoSizes
from segue.nn.module import ArrayModule, as_array, as_arrays, load_strict

# Standard deviations, in pixels of the model's input, of the bumps that tell the decoder where the clicks are:
# the exact spot, its surroundings, and the part of the picture.
CLICK_SIGMAS = (4.0, 20.0, 80.0)
PROMPT_CHANNELS = 2 * len(CLICK_SIGMAS) + 8
NEWEST_CHANNELS = 2
PADDING = -1.0  # the label of a row of `clicks` that is not a click


class Block(nn.Module):
    """Depthwise k x k, then a two-layer perceptron per pixel, added to the input; starts as the identity."""

    def __init__(self, channels: int, kernel: int, expansion: int = 2):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.expand = nn.Conv2d(channels, channels * expansion, 1)
        self.project = nn.Conv2d(channels * expansion, channels, 1)
        nn.init.normal_(self.project.weight, std=1e-3)
        nn.init.constant_(self.project.get_parameter("bias"), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """b c h w -> b c h w."""
        change: Tensor = self.project(F.relu(self.expand(self.depthwise(x))))
        return x + change


class PooledAttention(nn.Module):
    """Every pixel attends to 2 x 2-pooled pixels (InterFormer's pooled keys, section 3.3, with one pooling size)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """b c h w, h and w even -> b c h w."""
        b, c, h, w = x.shape
        pixels = self.norm(x.permute(0, 2, 3, 1).reshape(b, h * w, c))
        pooled = F.avg_pool2d(pixels.reshape(b, h, w, c).permute(0, 3, 1, 2), 2).flatten(2).transpose(1, 2)
        split = (b, -1, self.heads, c // self.heads)
        query = self.query(pixels).reshape(split).transpose(1, 2)
        key, value = (t.reshape(split).transpose(1, 2) for t in self.key_value(pooled).chunk(2, dim=-1))
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(b, h * w, c)
        change: Tensor = self.out(mixed)
        return x + change.reshape(b, h, w, c).permute(0, 3, 1, 2)


class NanoEncoder(nn.Module):
    """Image -> the maps that the decoder adds its prompts to."""

    def __init__(self, sizes: NanoSizes):
        super().__init__()
        c16, c8, c4 = sizes.channels
        self.backbone = MobileNetV2(sizes.width)
        taps = self.backbone.channels
        self.deep = nn.Conv2d(taps[32], c16, 1)
        self.context = nn.ModuleList([Block(c16, 5), Block(c16, 5)])
        self.pool = nn.Linear(c16, c16)
        self.lateral16 = nn.Conv2d(taps[16], c16, 1)
        self.mix16 = Block(c16, 3)
        self.lateral8 = nn.Conv2d(taps[8], c8, 1)
        self.down8 = nn.Conv2d(c16, c8, 1)
        self.mix8 = Block(c8, 3)
        self.lateral4 = nn.Conv2d(taps[4], c4, 1)
        self.down4 = nn.Conv2d(c8, c4, 1)
        self.lateral2 = nn.Conv2d(taps[2], c4, 4, 2, padding=1)
        self.embed = nn.Conv2d(c8, sizes.embedding, 1)

    def forward(self, pixels: Tensor) -> dict[str | int, Tensor]:
        """b 3 H W in [-1, 1], H and W multiples of 64 -> maps at strides 16, 8, 4 and the embedding at 8, by
        name; by their strides what the backbone said at 8, 16 and 32.

        The stride-2 detail of the backbone is folded into the channels at stride 4.
        """
        taps = self.backbone(pixels)
        deep = F.relu(self.deep(taps[32]))
        for block in self.context:
            deep = block(deep)
        deep = deep + self.pool(deep.mean((2, 3)))[:, :, None, None]
        at16 = self.mix16(F.relu(self.lateral16(taps[16]) + double(deep)))
        at8 = self.mix8(F.relu(self.lateral8(taps[8]) + double(self.down8(at16))))
        at4 = self.lateral4(taps[4]) + self.lateral2(taps[2]) + double(self.down4(at8))
        embedding = F.normalize(self.embed(at8).float(), dim=1)
        maps: dict[str | int, Tensor] = {"stride16": at16, "stride8": at8, "stride4": at4, "embedding": embedding}
        return {**maps, 8: taps[8], 16: taps[16], 32: taps[32]}


class NanoDecoder(nn.Module):
    """Maps + clicks + box + previous probability -> logits at stride 2 and an estimate of their IoU."""

    def __init__(self, sizes: NanoSizes):
        super().__init__()
        c16, c8, c4 = sizes.channels
        n16, n8, n4 = sizes.blocks
        self.newest = sizes.newest
        self.prompt4 = nn.Conv2d(PROMPT_CHANNELS + NEWEST_CHANNELS * sizes.newest, c4, 3, padding=1)
        self.prompt8 = nn.Conv2d(c4, c8, 3, 2, padding=1)
        self.similar8 = nn.Conv2d(4, c8, 3, padding=1)
        self.prompt16 = nn.Conv2d(c8, c16, 3, 2, padding=1)
        self.blocks16 = nn.ModuleList([Block(c16, 3) for _ in range(n16)])
        self.attention = PooledAttention(c16, sizes.heads)
        self.down8 = nn.Conv2d(c16, c8, 1)
        self.blocks8 = nn.ModuleList([Block(c8, 3) for _ in range(n8)])
        self.down4 = nn.Conv2d(c8, c4, 1)
        self.blocks4 = nn.ModuleList([Block(c4, 3) for _ in range(n4)])
        self.logits = nn.Conv2d(c4, 4, 3, padding=1)
        self.score = nn.Sequential(nn.Linear(2 * c16, c16), nn.ReLU(), nn.Linear(c16, 1))

    def forward(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode b prompts against b images.

        Parameters
        ----------
        maps : what ``NanoEncoder`` returned.
        clicks : (b, n, 3) x, y in pixels of the input (centres at +0.5) and 1 positive, 0 negative, -1 padding;
            the first row is the first click.
        box : (b, 4) x0 y0 x1 y1 in the same pixels; all zero where there is no box.
        previous : (b, 1, H/2, W/2) probability of the mask so far, all zero where there is none.

        Returns
        -------
        logits (b, 1, H/2, W/2) and IoU logits (b, 1).
        """
        at4, at8, at16 = maps["stride4"], maps["stride8"], maps["stride16"]
        prompts = prompt_maps(clicks, box, previous, (at4.shape[-2], at4.shape[-1]))
        if self.newest:
            prompts = torch.cat([prompts, newest_maps(clicks, (at4.shape[-2], at4.shape[-1]))], dim=1)
            clicks = in_view(clicks, (at4.shape[-2], at4.shape[-1]))
        prompts4 = F.relu(self.prompt4(prompts))
        similar = similarity_maps(maps["embedding"], clicks, previous)
        prompts8 = self.prompt8(prompts4) + self.similar8(similar)
        x = F.relu(at16 + self.prompt16(F.relu(prompts8)))
        for index, block in enumerate(self.blocks16):
            x = block(x)
            if index == 0:
                x = self.attention(x)
        deep = x
        x = F.relu(at8 + prompts8 + double(self.down8(x)))
        for block in self.blocks8:
            x = block(x)
        x = F.relu(at4 + prompts4 + double(self.down4(x)))
        for block in self.blocks4:
            x = block(x)
        logits = F.pixel_shuffle(self.logits(x).float(), 2)
        return logits, self.estimate(deep, logits)

    def estimate(self, deep: Tensor, logits: Tensor) -> Tensor:
        """IoU logits (b, 1) from the features inside the predicted mask and everywhere."""
        inside = F.avg_pool2d(logits.detach().sigmoid(), 8).to(deep.dtype)
        masked = (deep * inside).sum((2, 3)) / (inside.sum((2, 3)) + 1e-3)
        estimate: Tensor = self.score(torch.cat([masked, deep.mean((2, 3))], dim=1))
        return estimate.float()


class NanoNet(nn.Module):
    """Encoder and decoder together.

    Examples
    --------
    >>> net = NanoNet().eval()
    >>> maps = net.encoder(torch.zeros(1, 3, 64, 128))
    >>> clicks = torch.tensor([[[20.5, 30.5, 1.0]]])
    >>> logits, score = net.decoder(maps, clicks, torch.zeros(1, 4), torch.zeros(1, 1, 32, 64))
    >>> tuple(logits.shape), tuple(score.shape)
    ((1, 1, 32, 64), (1, 1))
    """

    def __init__(self, sizes: NanoSizes | None = None):
        super().__init__()
        self.sizes = sizes or NanoSizes()
        self.encoder = NanoEncoder(self.sizes)
        self.decoder = NanoDecoder(self.sizes)


class NanoModule(ArrayModule):
    """The network behind a door for arrays, and its two graphs.

    >>> import numpy as np
    >>> module = NanoModule(NanoSizes((8, 8, 8), (1, 1, 1), 4, 2, 0.25)).eval()
    >>> maps = module.encode(np.zeros((1, 3, 64, 64), np.float32))
    >>> clicks, box = np.array([[[20.5, 30.5, 1.0]]], np.float32), np.zeros((1, 4), np.float32)
    >>> module.decode(maps, clicks, box, np.zeros((32, 32), np.float32))[0].shape
    (32, 32)
    """

    def __init__(self, sizes: NanoSizes) -> None:
        super().__init__()
        self.network = NanoNet(sizes)
        self.deep = self.network.encoder.backbone.deep

    def load_file(self, path: Path) -> None:
        """The weights in a safetensors file, and evaluation mode."""
        load_strict(self, load_file(path))
        self.eval()

    @torch.inference_mode()
    def encode(self, pixels: Array) -> Maps:
        """(b, 3, H, W) in [-1, 1] -> the encoder's maps."""
        on_device = self.tensor(pixels).contiguous(memory_format=torch.channels_last)
        maps = self.network.encoder(on_device)
        return as_arrays(dict(zip((*MAPS, *TAPS), in_order(maps), strict=True)))

    @torch.inference_mode()
    def decode(self, maps: Maps, clicks: Array, box: Array, previous: Array) -> tuple[Array, Array]:
        """One image's maps, clicks (1, n, 3), box (1, 4), previous (h, w) -> logits (h, w) and IoU logits (1, 1)."""
        on_device = {name: self.tensor(maps[name]) for name in MAPS}
        prompts = (self.tensor(clicks), self.tensor(box), self.tensor(previous)[None, None])
        logits, score = self.network.decoder(on_device, *prompts)
        return as_array(logits[0, 0]), as_array(score)

    @torch.inference_mode()
    def decode_each(self, maps: Maps, clicks: Array, box: Array, previous: Array) -> tuple[Array, Array]:
        """One image's maps, clicks (b, n, 3), box (b, 4), previous (b, 1, h, w) -> logits (b, 1, h, w), IoU logits
        (b, 1)."""
        on_device = {name: self.tensor(maps[name]).expand(len(clicks), -1, -1, -1) for name in MAPS}
        logits, score = self.network.decoder(on_device, *map(self.tensor, (clicks, box, previous)))
        return as_array(logits), as_array(score)

    def sites(self) -> Mapping[str, str]:
        """The encoder's maps (``features``), every block of the backbone from stride 8 on and of the decoder at each
        stride, the decoder (``head``)."""
        names = {"decoder.16": "blocks16", "decoder.8": "blocks8", "decoder.4": "blocks4"}
        counts = {site: len(getattr(self.network.decoder, name)) for site, name in names.items()}
        blocks = {f"{site}.{i}": f"network.decoder.{names[site]}.{i}" for site, n in counts.items() for i in range(n)}
        backbone = {f"backbone.{i}": f"network.encoder.backbone.blocks.{i}" for i in self.deep}
        return {"features": "network.encoder", **backbone, **blocks, "head": "network.decoder"}

    def graphs(self) -> Mapping[str, ExportGraph]:
        """``encoder`` (pixels -> maps) and ``decoder`` (maps, clicks, box, previous -> logits, score)."""
        c16, c8, c4 = self.network.sizes.channels
        shapes = {"stride16": (c16, 8, 12), "stride8": (c8, 16, 24), "stride4": (c4, 32, 48)}
        shapes["embedding"] = (self.network.sizes.embedding, 16, 24)
        inputs = {k: torch.zeros(1, *shape) for k, shape in shapes.items()}
        inputs |= {"clicks": torch.ones(1, 2, 3), "box": torch.zeros(1, 4), "previous": torch.zeros(1, 1, 64, 96)}
        axes = {k: {0: "batch", 2: f"{k}_height", 3: f"{k}_width"} for k in (*MAPS, "previous")}
        axes |= {"clicks": {0: "batch", 1: "clicks"}, "box": {0: "batch"}}
        pixels = {"pixels": torch.zeros(1, 3, 128, 192)}
        free = {"pixels": {0: "batch", 2: "height", 3: "width"}}
        return {
            "encoder": ExportGraph(TensorEncoder(self.network.encoder), pixels, (*MAPS, *TAPS), free),
            "decoder": ExportGraph(TensorDecoder(self.network.decoder), inputs, ("logits", "score"), axes),
        }


class TensorEncoder(nn.Module):
    """The encoder with a tuple of maps, in the order of ``MAPS`` and ``TAPS``, for an output."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """b 3 H W in [-1, 1] -> maps."""
        maps = self.encoder(pixels)
        return in_order(maps)


def in_order(maps: Mapping[str | int, Tensor]) -> tuple[Tensor, ...]:
    """What the encoder returned, in the order of ``MAPS`` and ``TAPS``."""
    return tuple(maps[name] for name in (*MAPS, 8, 16, 32))


class TensorDecoder(nn.Module):
    """The decoder with its maps one by one for inputs."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Maps in the order of ``MAPS``, clicks, box, previous -> logits (b, 1, H/2, W/2), IoU logits (b, 1)."""
        logits, score = self.decoder(dict(zip(MAPS, inputs[: len(MAPS)], strict=True)), *inputs[len(MAPS) :])
        return logits, score


def double(x: Tensor) -> Tensor:
    """b c h w -> b c 2h 2w, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def cell_centres(h: int, w: int, stride: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The x (w) and y (h) of the centres of cells of `stride` pixels, in pixels."""
    xs = (torch.arange(w, device=like.device, dtype=torch.float32) + 0.5) * stride
    ys = (torch.arange(h, device=like.device, dtype=torch.float32) + 0.5) * stride
    return xs, ys


def squared_distances(clicks: Tensor, h: int, w: int, stride: int) -> Tensor:
    """b n h w: from every cell to every click, in pixels squared."""
    xs, ys = cell_centres(h, w, stride, clicks)
    dx = (xs[None, None, :] - clicks[:, :, 0, None]).square()
    dy = (ys[None, None, :] - clicks[:, :, 1, None]).square()
    return dy[:, :, :, None] + dx[:, :, None, :]


def prompt_maps(clicks: Tensor, box: Tensor, previous: Tensor, size: tuple[int, int]) -> Tensor:
    """b p h w at stride 4: click bumps of three widths per sign, the first click, inside the box, has a box,
    has a previous mask, the previous probability of its four pixels."""
    h, w = size
    distance = squared_distances(clicks, h, w, 4)
    far = 1e6
    signs = [torch.where((clicks[:, :, 2] == label)[:, :, None, None], distance, far).amin(1) for label in (1.0, 0.0)]
    bumps = [torch.exp(-d / (2 * sigma * sigma)) for d in signs for sigma in CLICK_SIGMAS]
    first = torch.where((clicks[:, :1, 2] == 1.0)[:, :, None, None], distance[:, :1], far)[:, 0]
    bumps.append(torch.exp(-first / (2 * CLICK_SIGMAS[1] ** 2)))
    xs, ys = cell_centres(h, w, 4, box)
    across = ((xs - box[:, :1]) / 4 + 0.5).clamp(0, 1) * ((box[:, 2:3] - xs) / 4 + 0.5).clamp(0, 1)
    down = ((ys - box[:, 1:2]) / 4 + 0.5).clamp(0, 1) * ((box[:, 3:4] - ys) / 4 + 0.5).clamp(0, 1)
    boxed = (box[:, 2] > box[:, 0]).to(distance.dtype)[:, None, None]
    inside = down[:, :, None] * across[:, None, :] * boxed
    seen = (previous.amax((1, 2, 3)) > 0).to(distance.dtype)[:, None, None]
    flat = torch.ones_like(inside)
    rest = torch.stack([*bumps, inside, boxed * flat, seen * flat], dim=1)
    return torch.cat([rest, F.pixel_unshuffle(previous, 2)], dim=1)


def newest_maps(clicks: Tensor, size: tuple[int, int]) -> Tensor:
    """b 2 h w at stride 4: a bump where the last click is, if it is positive and if it is negative."""
    order = torch.arange(1, clicks.shape[1] + 1, device=clicks.device)
    last = ((clicks[:, :, 2] >= 0) * order).argmax(1)
    newest = torch.gather(clicks, 1, last[:, None, None].expand(-1, 1, 3))
    bump = torch.exp(-squared_distances(newest, *size, 4) / (2 * CLICK_SIGMAS[1] ** 2))
    return torch.cat([bump * (newest[:, :, 2] == label)[:, :, None, None] for label in (1.0, 0.0)], dim=1)


def in_view(clicks: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, n, 3) clicks, those outside h w cells of stride 4 as padding.

    >>> in_view(torch.tensor([[[3.0, 3.0, 1.0], [-9.0, 3.0, 0.0]]]), (4, 4))[0, :, 2].tolist()
    [1.0, -1.0]
    """
    x, y, label = clicks.unbind(-1)
    inside = (x >= 0) & (y >= 0) & (x < 4 * size[1]) & (y < 4 * size[0])
    return torch.stack([x, y, torch.where(inside, label, PADDING)], dim=-1)


def similarity_maps(embedding: Tensor, clicks: Tensor, previous: Tensor) -> Tensor:
    """b 4 h w at stride 8: likeness in [-1, 1] of every cell to the most similar positive click, to the most
    similar negative click, to the previous mask and to its outside; 0 where there is none."""
    b, _, h, w = embedding.shape
    flat = embedding.flatten(2)  # b c hw
    near = torch.exp(-squared_distances(clicks, h, w, 8) / (2 * 6.0**2)).flatten(2) + 1e-8
    keys = F.normalize(torch.bmm(near / near.sum(-1, keepdim=True), flat.transpose(1, 2)), dim=-1)
    likeness = torch.bmm(keys, flat)  # b n hw
    found = []
    for label in (1.0, 0.0):
        is_label = clicks[:, :, 2] == label
        best = torch.where(is_label[:, :, None], likeness, -1.0).amax(1)
        found.append(best * is_label.any(1, keepdim=True))
    inside = F.avg_pool2d(previous, 4).flatten(2)  # b 1 hw
    seen = (previous.amax((1, 2, 3)) > 0).to(embedding.dtype)[:, None]
    for weight in (inside, 1 - inside):
        prototype = F.normalize(torch.bmm(weight, flat.transpose(1, 2)) + 1e-6, dim=-1)
        found.append(torch.bmm(prototype, flat)[:, 0] * seen)
    return torch.stack(found, dim=1).reshape(b, 4, h, w)
