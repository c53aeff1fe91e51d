"""Interactive multi-head self-attention: InterFormer's decoder neck.

Queries come from what the clicks have touched, keys and values of each stage's first block from the image
alone. Those depend on no click, so ``Imsa.context`` computes them once per image and every click reuses them.

Where the paper and the published code differ, the code wins: pooling is adaptive *max*, and patch merging
reads the features from *before* the refine blocks.
Source: InterFormer (Huang et al., ICCV 2023), section 3.2; P2T (Wu et al. 2022) for the pooling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.models.interformer.pooling import Length, adaptive_max_pool
from segue.models.interformer.reference_map import Region, common_windows, divided, shifted
from segue.nn.tracing import tracing
from segue.nn.vit import attend

POOL_RATIOS = ((12, 16, 20, 24), (6, 8, 10, 12), (3, 4, 5, 6), (1, 2, 3, 4))
STRIDES = (4, 2, 2, 2)
LABELS = 5
STRIP = 16  # rows of a map that the bottleneck widens at once


def pooled_size(size: Sequence[Length], target: Sequence[int], ratio: int) -> tuple[Length, Length]:
    """The grid (h, w) that a map of ``size`` is pooled to: about ``target`` / ``ratio``, never larger than it.

    The nested rounding (half to even) is the published code's.

    >>> pooled_size((128, 128), (128, 128), 12), pooled_size((32, 32), (128, 128), 12)
    ((11, 11), (11, 11))
    """
    height, width = (_pooled(side, full / ratio) for side, full in zip(size, target, strict=True))
    return height, width


def _pooled(side: Length, wanted: float) -> Length:
    if isinstance(side, Tensor):  # tracing
        long = side.double()
        return torch.round(long / torch.round(long / long.clamp(max=wanted))).clamp(min=1).to(torch.int64)
    return max(1, round(side / round(side / min(wanted, side))))


class PoolingAttention(nn.Module):
    """Attention of every pixel over a few hundred pooled ones.

    >>> layer = PoolingAttention((8, 8), 4, heads=2, ratios=(1, 2))
    >>> layer(torch.zeros(1, 4, 8, 8), *layer.keys_and_values(torch.zeros(1, 4, 8, 8))).shape
    torch.Size([1, 4, 8, 8])
    """

    def __init__(self, target: Sequence[int], dim: int, heads: int, ratios: Sequence[int]) -> None:
        super().__init__()
        self.target, self.heads, self.ratios = tuple(target), heads, tuple(ratios)
        self.query_proj = nn.Linear(dim, dim)
        self.key_value_proj = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.dconvs = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1, groups=dim) for _ in ratios)

    def keys_and_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (b, n, c) of a map (b, c, h, w): pooled to several grids, each mixed by a depthwise
        convolution."""
        pooled = []
        for ratio, mix in zip(self.ratios, self.dconvs, strict=True):
            grid = source
            if ratio != 1:
                size = pooled_size(source.shape[-2:], self.target, ratio)
                grid = adaptive_max_pool(source, size)
            pooled.append((grid + mix(grid)).flatten(2))
        tokens = torch.cat(pooled, dim=2).transpose(1, 2)
        key, value = self.key_value_proj(self.norm(tokens)).chunk(2, dim=-1)
        return key, value

    def forward(self, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w), for keys and values (b, n, c)."""
        b, c, h, w = x.shape
        query = self.query_proj(x.permute(0, 2, 3, 1).reshape(b, h * w, c))
        out: Tensor = self.proj(attend(query, key, value, self.heads))
        return out.reshape(b, h, w, c).permute(0, 3, 1, 2)


class MapNorm(nn.GroupNorm):
    """Normalises each sample (c, h, w) as a whole, then scales and shifts each channel.

    >>> MapNorm(4)(torch.randn(2, 4, 3, 3)).std().round().item()
    1.0
    """

    def __init__(self, dim: int) -> None:
        super().__init__(1, dim)

    def forward(self, x: Tensor) -> Tensor:
        if not tracing():
            return super().forward(x)
        # spelled out: the exporter's own needs to know the number of channels, which a computed kernel hides
        centred = x - x.mean((1, 2, 3), keepdim=True)
        spread = torch.rsqrt(centred.square().mean((1, 2, 3), keepdim=True) + self.eps)
        return centred * spread * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class InvertedBottleneck(nn.Sequential):
    """1 x 1 convolution to ``hidden`` channels, depthwise 3 x 3, 1 x 1 back; hardswish between.

    >>> InvertedBottleneck(4, 8)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 4, 6, 6])
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(
            nn.Conv2d(dim, hidden, 1),
            nn.Hardswish(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.Hardswish(),
            nn.Conv2d(hidden, dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[-2]
        if torch.is_grad_enabled() or x.is_cuda or tracing() or height <= STRIP:
            return self._strip(x)
        # strip by strip the wide map stays in the processor's cache; a strip sees one row of each neighbour
        out = torch.empty_like(x, memory_format=torch.channels_last)
        for top in range(0, height, STRIP):
            above, below = min(top, 1), min(height - top - STRIP, 1)
            strip = self._strip(x[:, :, top - above : top + STRIP + max(below, 0)])
            out[:, :, top : top + STRIP] = strip[:, :, above : above + STRIP]
        return out

    def _strip(self, x: Tensor) -> Tensor:
        wide = F.hardswish(pointwise(self[0], x), inplace=not torch.is_grad_enabled())
        mixed = F.hardswish(self[2](wide), inplace=not torch.is_grad_enabled())
        return pointwise(self[4], mixed)


class PoolingBlock(nn.Module):
    """Pooling attention, then an inverted bottleneck with a depthwise 3 x 3, both residual.

    >>> block = PoolingBlock((8, 8), 4, heads=2, mlp_ratio=2, ratios=(1, 2))
    >>> block(torch.zeros(1, 4, 8, 8)).shape
    torch.Size([1, 4, 8, 8])
    """

    def __init__(
        self, target: Sequence[int], dim: int, heads: int, mlp_ratio: float, ratios: Sequence[int], drop: float = 0.0
    ) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = MapNorm(dim)
        self.norm_kv = MapNorm(dim)
        self.attn = PoolingAttention(target, dim, heads, ratios)
        self.norm2 = MapNorm(dim)
        self.mlp = InvertedBottleneck(dim, hidden)
        self.drop = drop

    def context(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of ``source`` (b, c, h, w) for ``forward``."""
        return self.attn.keys_and_values(self.norm_kv(source))

    def forward(self, x: Tensor, context: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w); attends to itself unless ``context`` says to what."""
        key, value = self.context(x) if context is None else context
        x = x + drop_path(self.attn(self.norm1(x), key, value), self.drop, self.training)
        return x + drop_path(self.mlp(self.norm2(x)), self.drop, self.training)


class ImsaMerging(nn.Module):
    """Halves a map (b, c, h, w) -> (b, out, h/2, w/2) by a linear layer on normalised 3 x 3 patches.

    >>> ImsaMerging(4, 8)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(9 * dim)
        self.reduction = nn.Linear(9 * dim, out_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # normalising and projecting each patch is one convolution, scaled and shifted by the patch's own
        # mean and spread; the patches (9 times the map) are never written out
        out_dim, dim = self.reduction.out_features, self.reduction.in_features // 9
        kernel = self.reduction.weight * self.norm.weight
        projected = F.conv2d(x, kernel.view(out_dim, dim, 3, 3), stride=2, padding=1)
        moments = torch.cat([x.mean(1, keepdim=True), x.square().mean(1, keepdim=True)], dim=1)
        mean, square = F.avg_pool2d(moments, 3, stride=2, padding=1).chunk(2, dim=1)  # the padding counts as 0
        spread = torch.rsqrt((square - mean.square()).clamp_min(0) + self.norm.eps)
        shift = (self.reduction.weight @ self.norm.bias).view(1, -1, 1, 1)
        out: Tensor = (projected - mean * kernel.sum(1).view(1, -1, 1, 1)) * spread + shift
        return out


class ImsaStage(nn.Module):
    """The coarse blocks of one resolution, and the merging into the next (``downsample``, absent in the last)."""

    def __init__(self, blocks: Sequence[PoolingBlock], downsample: ImsaMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def context(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (b, n, c) of the encoder's map for the first block."""
        return cast(PoolingBlock, self.blocks[0]).context(source)

    def forward(self, x: Tensor, context: tuple[Tensor, Tensor]) -> Tensor:
        """(b, c, h, w) before merging; the first block attends to ``context``, the others to themselves."""
        for i, block in enumerate(self.blocks):
            x = block(x, context if i == 0 else None)
        return x


class Refinement(nn.Module):
    """Deeper blocks of one resolution; given a region they see and change only that part of the map.

    In a batch whose regions differ every sample works on a window of the largest region's size about its own
    region and keeps only that; keys come from the window shifted as the published code's relative boxes say.
    """

    def __init__(self, blocks: Sequence[PoolingBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, regions: Sequence[Region] | None = None) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w); ``regions`` in pixels of this map, one a sample."""
        if regions is None:
            for block in self.blocks:
                x = block(x)
            return x
        windows = common_windows(regions, (x.shape[-2], x.shape[-1]))
        part = torch.cat([x[i : i + 1, :, t:b, le:r] for i, (le, t, r, b) in enumerate(windows)])
        for block in cast(Iterable[PoolingBlock], self.blocks):
            source = part if len(set(regions)) == 1 else shifted(part, windows, regions)
            part = block(part, block.context(source))
        whole = x.clone()
        for i, ((left, top, right, bottom), (x0, y0, _, _)) in enumerate(zip(regions, windows, strict=True)):
            inside = part[i, :, top - y0 : bottom - y0, left - x0 : right - x0]
            whole[i, :, top:bottom, left:right] = inside
        return whole


class Imsa(nn.Module):
    """Four stages of interactive attention over a pyramid of strides 4, 8, 16, 32.

    ``depths`` counts all blocks of each stage, ``refine_start`` how many of them are coarse; ``target_size``
    (H, W) in image pixels fixes the pooling grids. ``forward(maps, labels)`` is the whole neck;
    ``decode(finest, contexts, labels)`` is its per-click part.

    >>> neck = Imsa((64, 64), (4, 8, 8, 8), heads=(1, 2, 2, 2), depths=(1,) * 4, refine_start=(1,) * 4).eval()
    >>> maps = [torch.zeros(1, c, s, s) for c, s in zip((4, 8, 8, 8), (16, 8, 4, 2))]
    >>> [tuple(m.shape[1:]) for m in neck(maps, torch.full((1, 1, 64, 64), 2))]
    [(4, 16, 16), (8, 8, 8), (8, 4, 4), (8, 2, 2)]
    """

    def __init__(
        self,
        target_size: Sequence[int],
        dims: Sequence[int],
        *,
        heads: Sequence[int],
        depths: Sequence[int],
        refine_start: Sequence[int],
        mlp_ratio: Sequence[float] = (8, 8, 4, 4),
        pool_ratios: Sequence[Sequence[int]] = POOL_RATIOS,
        drop_path_rate: float = 0.1,
    ) -> None:
        super().__init__()
        rates = drop_rates(drop_path_rate, sum(depths))
        self.stages, self.refine_stages = nn.ModuleList(), nn.ModuleList()
        target = tuple(target_size)
        for i, (dim, depth, start) in enumerate(zip(dims, depths, refine_start, strict=True)):
            target = (target[0] // STRIDES[i], target[1] // STRIDES[i])
            first = sum(depths[:i])
            blocks = [
                PoolingBlock(target, dim, heads[i], mlp_ratio[i], pool_ratios[i], rates[first + j])
                for j in range(depth)
            ]
            merge = ImsaMerging(dim, dims[i + 1]) if i + 1 < len(dims) else None
            self.stages.append(ImsaStage(blocks[:start], merge))
            self.refine_stages.append(Refinement(blocks[start:]) if depth > start else nn.Identity())
            self.add_module(f"norm{i}", MapNorm(dim))
        self.patch_embed = nn.Parameter(nn.init.xavier_normal_(torch.empty(LABELS, dims[0])))

    def embed(self, finest: Tensor, labels: Tensor) -> Tensor:
        """``finest`` (b, c, h, w) plus the embedding of ``labels`` (b, 1, H, W) int, resized bilinearly.

        Five one-hot maps are resized instead of c embedded ones: resizing and embedding commute.
        """
        if not tracing() and labels.shape[-2:] == (4 * finest.shape[-2], 4 * finest.shape[-1]):
            # a quarter of the size: bilinear resizing is the mean of the four pixels in the middle of each cell
            middle = [labels[..., row::4, column::4] for row in (1, 2) for column in (1, 2)]
            small = sum(_hot(part, finest) for part in middle) / 4
        else:
            small = F.interpolate(_hot(labels, finest), finest.shape[-2:], mode="bilinear", align_corners=False)
        return finest + torch.einsum("blhw,lc->bchw", small, self.patch_embed)

    def context(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Per stage the keys and values (b, n, c) of its first block; no click enters."""
        stages = cast(Iterable[ImsaStage], self.stages)
        return [stage.context(source) for stage, source in zip(stages, maps, strict=True)]

    def decode(
        self,
        finest: Tensor,
        contexts: Sequence[tuple[Tensor, Tensor]],
        labels: Tensor,
        regions: Sequence[Region] | None = None,
    ) -> list[Tensor]:
        """Maps of strides 4, 8, 16, 32 for one state of the clicks.

        ``finest`` is the encoder's stride-4 map, ``labels`` (b, 1, H, W) the reference map, ``regions`` (one
        a sample, image pixels, multiples of 32) where the refine blocks look.
        """
        x, stride, out = self.embed(finest, labels), 1, []
        stages = cast(Iterable[ImsaStage], self.stages)
        for i, (stage, refine) in enumerate(zip(stages, self.refine_stages, strict=True)):
            stride *= STRIDES[i]
            coarse = stage(x, contexts[i])
            if stage.downsample is not None:
                x = stage.downsample(coarse)
            fine = coarse if isinstance(refine, nn.Identity) else refine(coarse, divided(regions, stride))
            out.append(self.get_submodule(f"norm{i}")(fine))
        return out

    def forward(self, maps: Sequence[Tensor], labels: Tensor, regions: Sequence[Region] | None = None) -> list[Tensor]:
        return self.decode(maps[0], self.context(maps), labels, regions)


class ClickFusion(nn.Module):
    """The vanilla baseline of InterFormer's ablation: label embeddings added to every level, no attention.

    Source: InterFormer, section 4.3 and Table 3 ("FPN"); the paper gives no more detail, one embedding table a
    level is this project's reading.

    >>> neck = ClickFusion((4, 8))
    >>> maps = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 4, 4)]
    >>> [tuple(m.shape[1:]) for m in neck(maps, torch.full((1, 1, 32, 32), 2))]
    [(4, 8, 8), (8, 4, 4)]
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.tables = nn.ParameterList(nn.init.xavier_normal_(torch.empty(LABELS, dim)) for dim in dims)

    def forward(self, maps: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        hot = _hot(labels, maps[0])
        return [
            x + torch.einsum("blhw,lc->bchw", F.interpolate(hot, size=x.shape[-2:], mode="bilinear"), table)
            for x, table in zip(maps, self.tables, strict=True)
        ]


def _hot(labels: Tensor, like: Tensor) -> Tensor:
    """(b, 1, h, w) labels -> (b, 5, h, w) maps of 0 and 1."""
    return (labels == torch.arange(LABELS, device=labels.device).view(1, LABELS, 1, 1)).to(like.dtype)


def pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """A 1 x 1 convolution of (b, c, h, w) as a matrix product over channels, which is what it is in
    channels-last memory.

    >>> layer, x = nn.Conv2d(3, 5, 1), torch.randn(1, 3, 4, 4)
    >>> torch.allclose(pointwise(layer, x), layer(x), atol=1e-5)
    True
    """
    assert isinstance(layer, nn.Conv2d)
    return F.linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)


def drop_rates(last: float, count: int) -> list[float]:
    """``count`` rates rising evenly from 0 to ``last``.

    >>> drop_rates(0.2, 3)
    [0.0, 0.1, 0.2]
    """
    return [last * i / max(1, count - 1) for i in range(count)]


def drop_path(branch: Tensor, rate: float, training: bool) -> Tensor:
    """Drop whole samples of a residual branch (b, ...) with probability ``rate`` in training.

    Source: Huang et al. 2016, stochastic depth.

    >>> drop_path(torch.ones(2, 3), 0.5, training=False).sum()
    tensor(6.)
    """
    if rate == 0.0 or not training:
        return branch
    keep = branch.new_empty((branch.shape[0],) + (1,) * (branch.ndim - 1)).bernoulli_(1 - rate)
    return branch * keep / (1 - rate)
