"""Learned layers in every block of a SAM's decoder: what PerSAM-F's two weights were compared with (Table 5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segue.adapters.base import Adapter, site_path, sites_like
from segue.adapters.links import After, Link
from segue.core.segmenter import Segmenter


class PromptTokens(nn.Module):
    """``count`` learned tokens of ``width`` channels."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(count, width) * 0.02)

    def forward(self, like: Tensor) -> Tensor:
        """(b, p, n, c) -> (b, p, count, c)."""
        return self.tokens.expand(*like.shape[:2], -1, -1)


class WithTokens(Link):
    """A two-way block whose queries are joined by learned tokens, which leave again after it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        queries, positions = kwargs["queries"], kwargs["query_point_embedding"]
        extra = self.adapter(queries)
        kwargs["queries"] = torch.cat((queries, extra), 2)
        kwargs["query_point_embedding"] = torch.cat((positions, torch.zeros_like(extra)), 2)
        answered, *rest = self.base(*args, **kwargs)
        return (answered[:, :, : queries.shape[2]], *rest)


class Houlsby(nn.Module):
    """``x + W2 gelu(W1 x)`` over the last axis; W2 starts at zero, so a fresh one is silent.

    Source: Houlsby et al., Parameter-Efficient Transfer Learning for NLP, 2019.

    >>> x = torch.randn(1, 2, 8)
    >>> torch.equal(Houlsby(8, 2)(x), x)
    True
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., c) -> the same."""
        learned: Tensor = self.up(nn.functional.gelu(self.down(x)))
        return x + learned


class DecoderPrompts(Adapter):
    """Prompt tuning: ``tokens`` learned tokens in every block of the decoder; 24 are Table 5's 12 K parameters.

    Source: P-Tuning v2 (Liu et al., 2021), as PerSAM's Table 5 applies it.
    """

    kind = "decoder-prompts"

    def __init__(self, model: Segmenter, tokens: int = 24) -> None:
        super().__init__(tokens=tokens)
        for site in _blocks(model):
            block = model.module.get_submodule(site_path(model, site))
            width = next(m.normalized_shape[0] for m in block.modules() if isinstance(m, nn.LayerNorm))
            self.place(model, site, WithTokens, PromptTokens(tokens, width))


class DecoderBottlenecks(Adapter):
    """A bottleneck after the perceptron of every block of the decoder; ``width`` 192 is Table 5's 196 K.

    Source: Houlsby et al., 2019, as PerSAM's Table 5 applies it.
    """

    kind = "decoder-bottlenecks"

    def __init__(self, model: Segmenter, width: int = 192) -> None:
        super().__init__(width=width)
        for site in _blocks(model):
            block = model.module.get_submodule(site_path(model, site))
            channels = next(m.normalized_shape[0] for m in block.modules() if isinstance(m, nn.LayerNorm))
            self.place(model, f"{site}.mlp", After, Houlsby(channels, width))


def _blocks(model: Segmenter) -> list[str]:
    return [s for s in sites_like(model, "decoder.", needed_by="decoder") if s.count(".") == 1]
