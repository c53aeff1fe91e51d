"""PerSAM-F's training: which of a SAM's three scales one reference means.

Source: Personalize Segment Anything Model with One Shot (Zhang et al., 2023), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.core.errors import InputError
from segue.nn.losses import persam_dice, persam_focal

MOST_PIXELS = 1 << 16  # of more, those whose three logits nearly agree are trained on as one
MOST_GROUPS = 1 << 14  # of such pixels
GRIDS = (512, 256, 128, 64, 32, 24)  # steps of the grid that tells which those are; the finest with few enough groups


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
    cosine schedule, as in the published code. Of a large image, pixels with nearly the same logits count as one.

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
        pixels, target, count = merged(logits.detach().flatten(1), mask.detach().flatten())
        learned = torch.nn.Parameter(torch.full((free,), 1 / 3, device=logits.device))
        optimiser = torch.optim.AdamW([learned], lr=rate, eps=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        history, losses = [], []
        for _ in range(epochs):
            history.append(learned.detach().clone())
            mixed = (_all_weights(learned)[:, None] * pixels).sum(0)[None]
            dice, focal = persam_dice(mixed, target, count), persam_focal(mixed, target, count)
            losses.append(torch.stack((dice, focal)).detach())
            optimiser.zero_grad()
            (dice + focal).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return ScaleFit(_all_weights(learned.detach()), torch.stack(history), torch.stack(losses))


def merged(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """(3, n) logits and (n,) bool -> those of at most ``MOST_GROUPS`` groups, (3, m) and (1, m), and how many pixels
    each stands for; every pixel itself, and no counts, where there are no more.

    A group is the pixels of one side of the mask in one cell of a grid over the logits, and has their mean.

    >>> few, target, count = merged(torch.zeros(3, 1 << 17), torch.arange(1 << 17) % 4 == 0)
    >>> target.tolist(), count.tolist()
    ([[0.0, 1.0]], [[98304.0, 32768.0]])
    """
    if logits.shape[1] <= MOST_PIXELS:
        return logits.clone(), mask[None].float(), None
    low = logits.amin(1, keepdim=True)
    span = float((logits.amax(1, keepdim=True) - low).amax()) + 1e-6
    side = mask.long()
    for steps in GRIDS:
        x, y, z = ((logits - low) * (steps / span)).long()
        index = ((x * (steps + 1) + y) * (steps + 1) + z) * 2 + side
        groups, member, count = torch.unique(index, return_inverse=True, return_counts=True)
        if len(groups) <= MOST_GROUPS:
            break
    means = torch.zeros(len(groups), 3, dtype=torch.float64, device=logits.device)
    means.index_add_(0, member, logits.T.double())
    return (means / count[:, None]).T.float(), (groups % 2)[None].float(), count[None].float()


def _all_weights(learned: Tensor) -> Tensor:
    return learned if len(learned) == 3 else torch.cat((1 - learned.sum(0, keepdim=True), learned))
