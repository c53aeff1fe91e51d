"""A score for models that predict none."""

from __future__ import annotations

from torch import Tensor


def mask_confidence(probability: Tensor, inside: Tensor | None = None) -> Tensor:
    """(b, k) mean probability inside each mask of (b, k, h, w) probabilities, 0 for an empty mask.

    ``inside`` (b, k, h, w) bool is the mask, by default where the probability exceeds one half.

    >>> import torch
    >>> mask_confidence(torch.tensor([[[[0.9, 0.7, 0.2]]]]))
    tensor([[0.8000]])
    """
    inside = probability > 0.5 if inside is None else inside
    return (probability * inside).sum((-2, -1)) / inside.sum((-2, -1)).clamp_min(1)
