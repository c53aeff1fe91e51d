"""InterFormer's decoding in the published order of operators.

Same weights and numbers as ``segue.models.interformer.imsa``; nothing is computed ahead of the click, labels are
embedded pixel by pixel, and attention is spelled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.models.interformer.imsa import LABELS, Imsa, PoolingBlock
from segue.models.interformer.network import InterFormerNet
from segue.models.interformer.uper import UperHead
from segue.nn.heads import ConvUnit
from segue.nn.vit import merge_heads, split_heads


def logits_official(net: InterFormerNet, maps: Sequence[Tensor], labels: Tensor) -> Tensor:
    """``net.decode`` of the encoder's four maps and the reference map (b, 1, H, W)."""
    assert isinstance(net.neck, Imsa)
    return head_official(net.decode_head, decode_official(net.neck, maps, labels))


def decode_official(neck: Imsa, maps: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
    """The neck's four maps from the encoder's four and the reference map (b, 1, H, W).

    >>> neck = Imsa((64, 64), (4, 8, 8, 8), heads=(1, 2, 2, 2), depths=(1,) * 4, refine_start=(1,) * 4).eval()
    >>> maps = [torch.rand(1, c, s, s) for c, s in zip((4, 8, 8, 8), (16, 8, 4, 2))]
    >>> labels = torch.randint(0, 5, (1, 1, 64, 64))
    >>> ours, theirs = neck(maps, labels), decode_official(neck, maps, labels)
    >>> max((a - b).abs().max().item() for a, b in zip(ours, theirs)) < 1e-4
    True
    """
    hot = F.one_hot(labels.long(), LABELS).float() @ neck.patch_embed  # (b, 1, H, W, c)
    embedded = hot[:, 0].permute(0, 3, 1, 2).contiguous()
    x, out = maps[0] + F.interpolate(embedded, maps[0].shape[-2:], mode="bilinear"), []
    stages = cast(Sequence[Any], neck.stages)
    for i, (stage, refine) in enumerate(zip(stages, neck.refine_stages, strict=True)):
        for j, block in enumerate(stage.blocks):
            x = _block(block, x, maps[i] if j == 0 else x)
        fine = x
        if not isinstance(refine, nn.Identity):
            for block in cast(Sequence[PoolingBlock], refine.blocks):
                fine = _block(block, fine, fine)
        if stage.downsample is not None:
            x = stage.downsample(x)
        out.append(neck.get_submodule(f"norm{i}")(fine))
    return out


def head_official(head: UperHead, maps: Sequence[Tensor]) -> Tensor:
    """UPerNet's head in the published order: norms after convolutions, all levels enlarged before the last one.

    >>> head = UperHead((4, 8, 8), channels=8, classes=2).eval()
    >>> maps = [torch.rand(1, c, s, s) for c, s in zip((4, 8, 8), (32, 16, 8))]
    >>> torch.allclose(head(maps), head_official(head, maps), atol=1e-5)
    True
    """
    coarse = maps[-1]
    pooled = [resize(_unit(pool[1], pool[0](coarse)), coarse) for pool in cast(Sequence[Any], head.psp_modules)]
    units = cast(Sequence[ConvUnit], head.lateral_convs)
    laterals = [_unit(unit, x) for unit, x in zip(units, maps[:-1], strict=True)]
    laterals.append(_unit(head.bottleneck, torch.cat([coarse, *pooled], dim=1)))
    for i in reversed(range(len(laterals) - 1)):
        laterals[i] = laterals[i] + resize(laterals[i + 1], laterals[i])
    levels = [_unit(unit, x) for unit, x in zip(cast(Sequence[ConvUnit], head.fpn_convs), laterals[:-1], strict=True)]
    levels.append(laterals[-1])
    joined = torch.cat([resize(x, levels[0]) for x in levels], dim=1)
    out: Tensor = head.conv_seg(_unit(head.fpn_bottleneck, joined))
    return out


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, corners not aligned, to ``like``'s grid."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _unit(unit: ConvUnit, x: Tensor) -> Tensor:
    return F.relu(unit.bn(unit.conv(x)))


def _block(block: PoolingBlock, x: Tensor, source: Tensor) -> Tensor:
    attention, (b, c, h, w) = block.attn, x.shape
    query = attention.query_proj(block.norm1(x).flatten(2).transpose(1, 2).contiguous())
    key, value = attention.keys_and_values(block.norm_kv(source))
    q, k, v = (split_heads(tokens, attention.heads).contiguous() for tokens in (query, key, value))
    weights = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1)
    mixed_values = attention.proj(merge_heads(weights @ v))
    x = x + mixed_values.transpose(1, 2).reshape(b, c, h, w).contiguous()
    mixed: Tensor = block.norm2(x)
    for layer in block.mlp:
        mixed = layer(mixed)
    return x + mixed
