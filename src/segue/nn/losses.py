"""Losses of the five systems, each as its official code computes it: the only copy.

Logits and targets are (b, 1, h, w) unless said otherwise. RITM's losses give one value per sample (b,), whose
mean the trainers minimise; VLSM-Adapter's and PerSAM-F's give one value for the batch. Official behaviour that
surprises is kept under its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE = -1.0


def normalized_focal(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.5,
    gamma: float = 2.0,
    ignore: float = IGNORE,
    max_multiplier: float = -1.0,
    detach: bool = True,
    average: bool = True,
    eps: float = 1e-12,
) -> Tensor:
    """Focal loss whose weights are rescaled to keep their total constant: (b,).

    The loss of RITM, SimpleClick and InterFormer (Sofiiuk et al., 2019, section 3). ``target`` is 1 object,
    0 background, ``ignore`` left out; ``alpha`` weighs object pixels, 1 - ``alpha`` the others;
    ``max_multiplier`` bounds a rescaled weight if positive; ``detach`` keeps gradients out of the rescaling;
    ``average`` divides by the counted pixels, else the sum. InterFormer's two-channel head enters as the
    difference of its channels, with ``ignore=255``.

    >>> logits, target = torch.tensor([[[[4.0, -4.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    >>> normalized_focal(logits, target) < normalized_focal(-logits, target)
    tensor([True])
    """
    counted = target != ignore
    right = _rightness(logits, target, counted)
    focus = (1 - right) ** gamma
    totals = counted.to(logits.dtype).sum((-2, -1), keepdim=True)
    multiplier = totals / (focus.sum((-2, -1), keepdim=True) + eps)
    focus = focus * (multiplier.detach() if detach else multiplier)
    if max_multiplier > 0:
        focus = focus.clamp(max=max_multiplier)
    return _weighted(right, focus, target, counted, alpha, average, eps)


def focal(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    ignore: float = IGNORE,
    average: bool = True,
    eps: float = 1e-9,
) -> Tensor:
    """Focal loss (Lin et al., 2017, equation 5) as RITM computes it: (b,), parameters as ``normalized_focal``.

    >>> focal(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == 0.25 * 0.25 * torch.tensor(2.0).log().item()
    True
    """
    counted = target != ignore
    right = _rightness(logits, target, counted)
    return _weighted(right, (1 - right) ** gamma, target, counted, alpha, average, eps)


def binary_cross_entropy(logits: Tensor, target: Tensor, *, ignore: float = IGNORE) -> Tensor:
    """Cross entropy without the ``ignore`` pixels, over *all* pixels, as RITM averages it: (b,).

    >>> binary_cross_entropy(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, -1.0]]]]))
    tensor([0.3466])
    """
    counted = target != ignore
    values = F.binary_cross_entropy_with_logits(logits, torch.where(counted, target, 0.0), reduction="none")
    return (values * counted).flatten(1).mean(1)


def soft_iou(logits: Tensor, target: Tensor, *, ignore: float = IGNORE, eps: float = 1e-8) -> Tensor:
    """1 - intersection over union of probabilities and target, without the ``ignore`` pixels (RITM): (b,).

    >>> soft_iou(torch.tensor([[[[50.0, -50.0]]]]), torch.tensor([[[[1.0, 0.0]]]]))
    tensor([0.])
    """
    counted = target != ignore
    probability = logits.sigmoid()
    both = (probability * target * counted).flatten(1).sum(1)
    either = (torch.maximum(probability, target) * counted).flatten(1).sum(1)
    return 1 - both / (either + eps)


def dice(probability: Tensor, target: Tensor, *, smooth: float = 1e-5) -> Tensor:
    """1 - Dice of probabilities in [0, 1] and target, mean over the batch (MONAI's, as VLSM-Adapter uses it).

    >>> round(dice(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item(), 4)
    0.0
    """
    p, t = probability.flatten(1), target.flatten(1)
    return (1 - (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)).mean()


def dice_cross_entropy(
    logits: Tensor, target: Tensor, *, dice_weight: float = 1.5, entropy_weight: float = 1.0
) -> Tensor:
    """Weighted Dice and cross entropy, one value: VLSM-Adapter's loss (section 4.2) with a single sigmoid.

    >>> sure, target = torch.full((1, 1, 2, 2), 20.0), torch.ones(1, 1, 2, 2)
    >>> dice_cross_entropy(sure, target).item() < 1e-4
    True
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return dice_weight * dice(logits.sigmoid(), target) + entropy_weight * entropy


def double_sigmoid_dice_cross_entropy(
    logits: Tensor, target: Tensor, *, dice_weight: float = 1.5, entropy_weight: float = 1.0
) -> Tensor:
    """``dice_cross_entropy`` as VLSM-Adapter's official code trains: probabilities go through the cross entropy's
    sigmoid once more, so that its part never falls below log(1 + 1/e). For reproduction only.

    >>> sure, target = torch.full((1, 1, 2, 2), 20.0), torch.ones(1, 1, 2, 2)
    >>> round(double_sigmoid_dice_cross_entropy(sure, target).item(), 4)
    0.3133
    """
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(probability, target)
    return dice_weight * dice(probability, target) + entropy_weight * entropy


TextLoss: TypeAlias = Literal["correct", "published-double-sigmoid"]
TEXT_LOSSES: Mapping[TextLoss, Callable[[Tensor, Tensor], Tensor]] = {
    "correct": dice_cross_entropy,
    "published-double-sigmoid": double_sigmoid_dice_cross_entropy,
}


def persam_dice(logits: Tensor, target: Tensor, count: Tensor | None = None) -> Tensor:
    """1 - Dice of (n, pixels) logits and targets, smoothed by 1 (PerSAM-F, section 3.3): one value. ``count`` says how
    often every pixel counts.

    >>> persam_dice(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor(0.5000)
    """
    probability, weight = logits.sigmoid(), torch.ones_like(target) if count is None else count
    overlap = 2 * (probability * target * weight).sum(-1)
    return (1 - (overlap + 1) / ((probability * weight).sum(-1) + (target * weight).sum(-1) + 1)).mean()


def persam_focal(
    logits: Tensor, target: Tensor, count: Tensor | None = None, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Focal loss of (n, pixels) logits and targets (PerSAM-F, section 3.3): one value. ``count`` says how often every
    pixel counts.

    >>> persam_focal(torch.full((1, 2), 30.0), torch.ones(1, 2)).item()
    0.0
    """
    probability = logits.sigmoid()
    right = probability * target + (1 - probability) * (1 - target)
    side = alpha * target + (1 - alpha) * (1 - target)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = side * entropy * (1 - right) ** gamma
    return loss.mean() if count is None else ((loss * count).sum(1) / count.sum(1)).mean()


def _rightness(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """The probability given to the true label; 1 where a pixel does not count."""
    return torch.where(counted, 1 - (target - logits.sigmoid()).abs(), 1.0)


def _weighted(
    right: Tensor, focus: Tensor, target: Tensor, counted: Tensor, alpha: float, average: bool, eps: float
) -> Tensor:
    """-alpha * focus * log(right) summed per sample, or averaged over the counted pixels."""
    side = torch.where(target > 0.5, alpha, 1 - alpha) * counted
    loss = (-side * focus * (right + eps).clamp(max=1.0).log()).flatten(1).sum(1)
    return loss / (counted.flatten(1).sum(1) + eps) if average else loss
