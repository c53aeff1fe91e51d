"""InterFormer's encoder: a plain ViT with relative position bias and layer scale, and a simple pyramid on it.

Parameter names are mmsegmentation's (``layers.N.ln1``, ``ffn.layers.0.0``). Tables and position embeddings of
another grid are resized by nearest neighbour, and there is no final norm, as in the published code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.models.interformer.imsa import drop_path, drop_rates
from segue.nn.heads import rescale_path
from segue.nn.tracing import tracing
from segue.nn.vit import SelfAttention, resize_position_embedding, to_map


def relative_positions(grid: Sequence[int]) -> Tensor:
    """(n + 1, n + 1) int64: for each pair of tokens of a ``grid`` (h, w), class token first, the row of the
    bias table. The last three rows serve class to patch, patch to class and class to class.

    Source: BEiT (Bao et al. 2022) as mmsegmentation implements it.

    >>> relative_positions((1, 2)).tolist()
    [[5, 3, 3], [4, 1, 0], [4, 2, 1]]
    """
    height, width = grid
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    down = rows[:, None] - rows[None] + height - 1
    right = columns[:, None] - columns[None] + width - 1
    last = (2 * height - 1) * (2 * width - 1)
    index = torch.full((height * width + 1, height * width + 1), last, dtype=torch.int64)
    index[1:, 1:] = down * (2 * width - 1) + right
    index[1:, 0] = last + 1
    index[0, 0] = last + 2
    return index


def resize_bias(bias: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """(heads, n + 1, n + 1) bias of grid ``old`` -> that of grid ``new``, by nearest neighbour on both axes.

    >>> resize_bias(torch.zeros(2, 5, 5), (2, 2), (2, 3)).shape
    torch.Size([2, 7, 7])
    """
    row = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + nearest_cells(old, new)]).to(bias.device)
    return bias[:, row][:, :, row]


def nearest_cells(old: Sequence[int], new: Sequence[int]) -> Tensor:
    """For each cell of grid ``new`` (row-major) the index of the ``old`` cell that nearest resizing reads.

    >>> nearest_cells((1, 2), (1, 4)).tolist()
    [0, 0, 1, 1]
    """
    cells = torch.arange(float(old[0] * old[1])).view(1, 1, *old)
    return F.interpolate(cells, size=(new[0], new[1]), mode="nearest").long().flatten()


class MaeAttention(SelfAttention):
    """Self-attention with a learnt bias for every relative position of a ``grid`` (h, w) of patches.

    >>> MaeAttention(8, 2, (2, 2))(torch.zeros(1, 7, 8), grid=(2, 3), index=relative_positions((2, 2))).shape
    torch.Size([1, 7, 8])
    """

    def __init__(self, dim: int, heads: int, grid: Sequence[int]) -> None:
        super().__init__(dim, heads)
        self.grid = tuple(grid)
        rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + 3
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, heads))

    def forward(  # type: ignore[override]
        self, tokens: Tensor, grid: Sequence[int], index: Tensor
    ) -> Tensor:
        """(b, 1 + h * w, c) tokens, class token first, of a ``grid`` (h, w); ``index`` from
        ``relative_positions`` of the grid this layer was built for."""
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)
        if tracing() or tuple(grid) != self.grid:
            bias = resize_bias(bias, self.grid, grid)
        return super().forward(tokens, bias[None])


class MaeFeedForward(nn.Module):
    """Linear, GELU, linear, under mmcv's keys ``layers.0.0`` and ``layers.1``.

    >>> MaeFeedForward(8, 32)(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Sequential(nn.Linear(dim, hidden), nn.GELU()), nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.layers(tokens)
        return out


class MaeLayer(nn.Module):
    """Pre-norm block whose branches are scaled by ``gamma_1`` and ``gamma_2``.

    >>> layer = MaeLayer(8, 2, (2, 2), 4)
    >>> layer(torch.zeros(1, 5, 8), (2, 2), relative_positions((2, 2))).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, dim: int, heads: int, grid: Sequence[int], mlp_ratio: float, drop: float = 0.0) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MaeAttention(dim, heads, grid)
        self.ln2 = nn.LayerNorm(dim, eps=1e-6)
        self.ffn = MaeFeedForward(dim, int(dim * mlp_ratio))
        self.gamma_1 = nn.Parameter(torch.ones(dim))
        self.gamma_2 = nn.Parameter(torch.ones(dim))
        self.drop = drop

    def forward(self, tokens: Tensor, grid: Sequence[int], index: Tensor) -> Tensor:
        attended = self.gamma_1 * self.attn(self.ln1(tokens), grid, index)
        tokens = tokens + drop_path(attended, self.drop, self.training)
        return tokens + drop_path(self.gamma_2 * self.ffn(self.ln2(tokens)), self.drop, self.training)


class MaePatchEmbed(nn.Module):
    """The patch projection, under mmcv's key ``projection``.

    >>> MaePatchEmbed((16, 16), 3, 8).projection.weight.shape
    torch.Size([8, 3, 16, 16])
    """

    def __init__(self, patch: tuple[int, int], channels: int, dim: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.projection(image)
        return out


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


class MaePyramidEncoder(nn.Module):
    """Normalised image (b, 3, H, W), H and W multiples of 32 -> maps of strides 4, 8, 16 and 32.

    >>> encoder = MaePyramidEncoder((64, 64), 16, dim=8, depth=2, heads=2, out_dims=(4, 4, 8, 8)).eval()
    >>> [tuple(m.shape[1:]) for m in encoder(torch.zeros(1, 3, 64, 96))]
    [(4, 16, 24), (4, 8, 12), (8, 4, 6), (8, 2, 3)]
    """

    index: Tensor

    def __init__(
        self,
        img_size: Sequence[int],
        patch_size: int,
        dim: int,
        depth: int,
        heads: int,
        out_dims: Sequence[int],
        *,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.patch = patch_size
        self.grid = (img_size[0] // patch_size, img_size[1] // patch_size)
        self.patch_embed = MaePatchEmbed((patch_size, patch_size), 3, dim)
        self.cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        tokens = self.grid[0] * self.grid[1] + 1
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, dim), std=0.02))
        rates = drop_rates(drop_path_rate, depth)
        self.layers = nn.ModuleList(MaeLayer(dim, heads, self.grid, mlp_ratio, rate) for rate in rates)
        self.fpn = RescalePyramid(dim, out_dims)
        # one index for all layers; published files repeat it in every layer
        self.register_buffer("index", relative_positions(self.grid), persistent=False)

    def tokens(self, image: Tensor) -> Tensor:
        """(b, 1 + n, dim) after the last layer, class token first."""
        patches = self.patch_embed(image)
        grid = (patches.shape[-2], patches.shape[-1])
        patches = patches.flatten(2).transpose(1, 2)
        position = resize_position_embedding(self.pos_embed[:, 1:], self.grid, grid, mode="nearest")
        first = (self.cls_token + self.pos_embed[:, :1]).expand(image.shape[0], -1, -1)
        tokens = torch.cat([first, patches + position], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, grid, self.index)
        return tokens

    def forward(self, image: Tensor) -> list[Tensor]:
        grid = (image.shape[-2] // self.patch, image.shape[-1] // self.patch)
        maps: list[Tensor] = self.fpn(to_map(self.tokens(image)[:, 1:], grid))
        return maps
