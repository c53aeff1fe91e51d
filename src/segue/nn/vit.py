"""Parts of vision transformers: attention and its windows, maps, position embeddings, rates by layer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segue.nn.tracing import tracing


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Attention of ``query`` (b, n, c) over ``key`` and ``value`` (b, m, c) in ``heads`` equal parts; (b, n, c).

    Logits are scaled by (c / heads) ** -0.5; ``bias`` broadcasts to (b, heads, n, m) and is added to them, or
    as bool says where to look.
    Source: Vaswani et al. 2017, equation 1.

    >>> import torch
    >>> x = torch.randn(2, 5, 8)
    >>> attend(x, x, x, heads=2).shape
    torch.Size([2, 5, 8])
    """
    q, k, v = (split_heads(t, heads) for t in (query, key, value))
    return merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias))


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(b, n, heads * d) -> (b, heads, n, d), without a copy.

    >>> import torch
    >>> split_heads(torch.zeros(1, 3, 8), 2).shape
    torch.Size([1, 2, 3, 4])
    """
    # the length is left open: ONNX's exporter would fix one that pooling computed
    return tokens.reshape(tokens.shape[0], -1, heads, tokens.shape[-1] // heads).transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """(b, heads, n, d) -> (b, n, heads * d).

    >>> import torch
    >>> merge_heads(torch.zeros(1, 2, 3, 4)).shape
    torch.Size([1, 3, 8])
    """
    return tokens.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Plain multi-head self-attention on tokens (b, n, c) -> (b, n, c), optionally with an additive bias.

    Keys: ``qkv`` and ``proj``, as MAE, SimpleClick and mmsegmentation name them.
    Source: Dosovitskiy et al. 2021, appendix A.

    >>> import torch
    >>> SelfAttention(8, heads=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, dim: int, heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)  # each (b, n, c), heads outermost
        out: Tensor = self.proj(attend(query, key, value, self.heads, bias))
        return out


WINDOW_PIXELS = 224  # MAE's pre-training size; windows keep attention at the length it was trained for


def window_counts(grid: Sequence[int], patch: Sequence[int]) -> tuple[int, int]:
    """How many attention windows of about 224 pixels a token ``grid`` (h, w) has each way.

    >>> window_counts((28, 28), (16, 16)), window_counts((32, 32), (14, 14)), window_counts((8, 8), (16, 16))
    ((2, 2), (2, 2), (1, 1))
    """
    rows, cols = (max(1, g // max(1, WINDOW_PIXELS // p)) for g, p in zip(grid, patch, strict=True))
    return rows, cols


def cut_windows(tokens: Tensor, grid: Sequence[int], windows: Sequence[int]) -> Tensor:
    """(b, h * w, c) row-major tokens -> (b * windows, tokens of one window, c).

    >>> import torch
    >>> cut_windows(torch.arange(8.0).view(1, 8, 1), (2, 4), (1, 2)).flatten(1).int().tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    if tuple(windows) == (1, 1):
        return tokens
    rows, cols = windows
    b, _, c = tokens.shape
    tokens = tokens.view(b, rows, grid[0] // rows, cols, grid[1] // cols, c).transpose(2, 3)
    return tokens.reshape(b * rows * cols, -1, c)


def join_windows(tokens: Tensor, grid: Sequence[int], windows: Sequence[int]) -> Tensor:
    """The inverse of ``cut_windows``.

    >>> import torch
    >>> x = torch.randn(2, 16, 3)
    >>> torch.equal(join_windows(cut_windows(x, (4, 4), (2, 2)), (4, 4), (2, 2)), x)
    True
    """
    if tuple(windows) == (1, 1):
        return tokens
    rows, cols = windows
    c = tokens.shape[-1]
    tokens = tokens.view(-1, rows, cols, grid[0] // rows, grid[1] // cols, c).transpose(2, 3)
    return tokens.reshape(tokens.shape[0], grid[0] * grid[1], c)


def to_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """(b, h * w, c) row-major tokens -> (b, c, h, w).

    >>> import torch
    >>> to_map(torch.zeros(1, 6, 5), (2, 3)).shape
    torch.Size([1, 5, 2, 3])
    """
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, grid[0], grid[1])


def resize_position_embedding(
    embedding: Tensor, old: Sequence[int], new: Sequence[int], mode: str = "bicubic"
) -> Tensor:
    """Position embedding (1, old_h * old_w, c) resized to (1, new_h * new_w, c); unchanged where sizes agree.

    Source: MAE's and SimpleClick's published interpolation (bicubic, corners not aligned).

    >>> import torch
    >>> resize_position_embedding(torch.zeros(1, 4, 8), (2, 2), (3, 5)).shape
    torch.Size([1, 15, 8])
    """
    if not tracing() and tuple(old) == tuple(new):
        return embedding
    grid = F.interpolate(
        to_map(embedding, old), size=tuple(new), mode=mode, align_corners=None if mode == "nearest" else False
    )
    return grid.flatten(2).transpose(1, 2)


def layer_shares(model: nn.Module, decay: float) -> dict[str, float]:
    """Share of the learning rate for every parameter of a model on a ViT: ``decay`` for the last block, its square
    for the one before, and so on down to the embeddings; 1 for all that stands on the ViT. Empty for decay 1 and
    for models without a ViT.

    Source: BEiT's layer-wise decay, as InterFormer's configuration uses it (0.65 for ViT-B, 0.75 for ViT-L).

    >>> backbone = {"patch_embed": nn.Linear(1, 1), "blocks": nn.ModuleList(nn.Linear(1, 1) for _ in range(4))}
    >>> shares = layer_shares(nn.ModuleDict({"backbone": nn.ModuleDict(backbone), "head": nn.Linear(1, 1)}), 0.5)
    >>> shares["backbone.blocks.3.bias"], shares["backbone.patch_embed.bias"], shares["head.bias"]
    (0.5, 0.03125, 1.0)
    """
    names = [name for name, _ in model.named_parameters()]
    blocks = {name: re.search(r"\bbackbone\.(?:blocks|layers)\.(\d+)\.", name) for name in names}
    depth = max((int(match.group(1)) + 1 for match in blocks.values() if match), default=0)
    if decay == 1 or not depth:
        return {}
    embeddings = re.compile(r"\bbackbone\.(?:cls_token|pos_embed|patch_embed)\b")
    steps = {
        name: depth - int(match.group(1)) if match else (depth + 1 if embeddings.search(name) else 0)
        for name, match in blocks.items()
    }
    return {name: decay**step for name, step in steps.items()}
