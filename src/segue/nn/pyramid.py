"""Feature pyramids on a plain ViT: one map in, maps of strides 4, 8, 16 and 32 out.

The four paths are the same in SimpleClick and InterFormer (ViTDet's simple pyramid with GroupNorm); only their
names differ, so both keep theirs and published checkpoints load by key.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

PYRAMIDS = ("simple", "single-scale", "parallel", "partial")


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


class SimpleClickPyramid(nn.Module):
    """SimpleClick's neck: (b, in_dim, h, w) -> four maps of channels ``out_dims``.

    ``design`` is one of ``PYRAMIDS``: "simple" builds every level from the last map, "single-scale" keeps all
    four at the ViT's own stride, "parallel" builds level i from the map after quarter i of the blocks, and
    "partial" takes only the two finest levels from those earlier maps. The slides' ablation names the designs
    without drawing them: "parallel" and "partial" are this project's reading.

    >>> import torch
    >>> [tuple(m.shape[1:]) for m in SimpleClickPyramid(8, (4, 8, 16, 32))([torch.zeros(1, 8, 2, 2)])]
    [(4, 8, 8), (8, 4, 4), (16, 2, 2), (32, 1, 1)]
    """

    def __init__(self, in_dim: int, out_dims: Sequence[int], design: str = "simple") -> None:
        super().__init__()
        factors = (1.0,) * 4 if design == "single-scale" else (4.0, 2.0, 1.0, 0.5)
        self.design = design
        self.down_4 = rescale_path(in_dim, out_dims[0], factors[0])
        self.down_8 = rescale_path(in_dim, out_dims[1], factors[1])
        self.down_16 = rescale_path(in_dim, out_dims[2], factors[2])
        self.down_32 = rescale_path(in_dim, out_dims[3], factors[3])

    def taps(self, depth: int) -> tuple[int, ...]:
        """Block counts after which this design reads the ViT, besides the end.

        >>> SimpleClickPyramid(8, (4, 4, 4, 4), "parallel").taps(12)
        (3, 6, 9)
        """
        quarters = {"parallel": (1, 2, 3), "partial": (1, 2)}.get(self.design, ())
        return tuple(q * depth // 4 for q in quarters)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        # one map per tap, the last one standing in for the levels without a tap of their own
        sources = maps + [maps[-1]] * (4 - len(maps))
        paths = (self.down_4, self.down_8, self.down_16, self.down_32)
        return [path(source) for path, source in zip(paths, sources, strict=True)]


class RescalePyramid(nn.Module):
    """InterFormer's neck: (b, in_dim, h, w) -> one map per factor, under mm-style keys ``rescale_ops.i.*``.

    >>> import torch
    >>> [tuple(m.shape[1:]) for m in RescalePyramid(8, (4, 8, 16, 32))(torch.zeros(1, 8, 2, 2))]
    [(4, 8, 8), (8, 4, 4), (16, 2, 2), (32, 1, 1)]
    """

    def __init__(self, in_dim: int, out_dims: Sequence[int], factors: Sequence[float] = (4, 2, 1, 0.5)) -> None:
        super().__init__()
        pairs = zip(out_dims, factors, strict=True)
        self.rescale_ops = nn.ModuleList(rescale_path(in_dim, out, factor) for out, factor in pairs)

    def forward(self, features: Tensor) -> list[Tensor]:
        return [path(features) for path in self.rescale_ops]
