"""Feature pyramids on a plain ViT: one map in, maps of strides 4, 8, 16 and 32 out.

The four paths are the same in SimpleClick and InterFormer (ViTDet's simple pyramid with GroupNorm); only their
names differ, so both keep theirs and published checkpoints load by key.
"""

from __future__ import annotations

from torch import nn


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
