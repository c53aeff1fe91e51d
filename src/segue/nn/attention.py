"""Multi-head attention on token sequences, through PyTorch's fused kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Attention of ``query`` (b, n, c) over ``key`` and ``value`` (b, m, c) in ``heads`` equal parts; (b, n, c).

    Logits are scaled by (c / heads) ** -0.5; ``bias`` broadcasts to (b, heads, n, m) and is added to them.
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
