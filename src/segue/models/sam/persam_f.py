"""PerSAM-F's scale-aware fine-tuning: two numbers that say which of SAM's three scales is meant."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.core.errors import InputError
from segue.nn.losses import persam_dice, persam_focal


@dataclass(frozen=True, eq=False)
class ScaleFit:
    """``weights`` (3,) after training; before every epoch the free weights ``history`` (epochs, 2 or 3) and the
    ``losses`` (epochs, 2) they had: Dice, focal."""

    weights: Tensor
    history: Tensor
    losses: Tensor


def fit_scale_weights(logits: Tensor, mask: Tensor, epochs: int = 1000, rate: float = 1e-3, free: int = 2) -> ScaleFit:
    """Fit w1 and w2 so that (1 - w1 - w2) M1 + w1 M2 + w2 M3 is the reference mask.

    ``logits`` (3, H, W) are the decoder's three masks of the reference image, which training does not change, so
    they are computed once; ``mask`` (H, W) is bool. With ``free`` 3 the weights need not sum to one. AdamW with a
    cosine schedule, as in the published code.

    Source: PerSAM, section 3.3 and equation 11 (there the remainder is named third, in the code first).

    >>> mask = torch.zeros(8, 8, dtype=torch.bool); mask[2:6, 2:6] = True
    >>> right = torch.where(mask, 8.0, -8.0)
    >>> fit = fit_scale_weights(torch.stack([-right, right, -right]), mask, epochs=60, rate=0.05)
    >>> int(fit.weights.argmax())
    1
    """
    if logits.ndim != 3 or len(logits) != 3:
        raise InputError(f"logits of shape {tuple(logits.shape)}", "(3, H, W): a SAM's three scales")
    if free not in (2, 3):
        raise InputError(f"{free} free weights", "2 or 3")
    with torch.inference_mode(False), torch.enable_grad():
        pixels, target = logits.detach().clone().flatten(1), mask.detach().clone().flatten()[None].float()
        learned = torch.nn.Parameter(torch.full((free,), 1 / 3, device=logits.device))
        optimiser = torch.optim.AdamW([learned], lr=rate, eps=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        history, losses = [], []
        for _ in range(epochs):
            history.append(learned.detach().clone())
            mixed = (_all_weights(learned)[:, None] * pixels).sum(0)[None]
            dice, focal = persam_dice(mixed, target), persam_focal(mixed, target)
            losses.append(torch.stack((dice, focal)).detach())
            optimiser.zero_grad()
            (dice + focal).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return ScaleFit(_all_weights(learned.detach()), torch.stack(history), torch.stack(losses))


def _all_weights(learned: Tensor) -> Tensor:
    return learned if len(learned) == 3 else torch.cat((1 - learned.sum(0, keepdim=True), learned))
