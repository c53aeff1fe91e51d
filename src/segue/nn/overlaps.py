"""Losses of text-prompted segmentation: soft Dice and binary cross-entropy."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Form = Literal["correct", "published-double-sigmoid"]


def dice_bce(logits: Tensor, target: Tensor, *, dice: float = 1.5, bce: float = 1.0, form: Form = "correct") -> Tensor:
    """``dice`` times the soft Dice loss plus ``bce`` times binary cross-entropy, over (b, 1, h, w); a scalar.

    The published code hands probabilities to a cross-entropy that expects logits: a double sigmoid, whose
    cross-entropy cannot fall below 0.31. ``form="published-double-sigmoid"`` reproduces that.
    Source: VLSM-Adapter, equation 2 and section 3.3.

    >>> import torch
    >>> target = torch.tensor([[[[1.0, 0.0]]]])
    >>> right = torch.tensor([[[[30.0, -30.0]]]])
    >>> round(dice_bce(right, target).item(), 3)
    0.0
    >>> round(dice_bce(right, target, form="published-double-sigmoid").item(), 3)
    0.503
    """
    entered = logits.sigmoid() if form == "published-double-sigmoid" else logits
    entropy = F.binary_cross_entropy_with_logits(entered, target)
    return dice * soft_dice(logits, target) + bce * entropy


def soft_dice(logits: Tensor, target: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - Dice of probabilities and (b, 1, h, w) target, averaged over the batch.

    Source: Milletari et al., V-Net, 2016, with plain sums in the denominator as MONAI has them.

    >>> import torch
    >>> soft_dice(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).round(decimals=4)
    tensor(0.3333)
    """
    probability = logits.sigmoid()
    both = (probability * target).flatten(1).sum(1)
    either = probability.flatten(1).sum(1) + target.flatten(1).sum(1)
    return (1 - (2 * both + smooth) / (either + smooth)).mean()
