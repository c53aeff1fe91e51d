"""PerSAM-assisted DreamBooth: a diffusion loss that only the object's pixels can move.

DreamBooth teaches a text-to-image model a subject from a few photos, and with it their backgrounds. With a mask
of the subject in each photo the background is left out of the loss; prior preservation stays as it was.
Tensors only: it works with diffusers' training scripts and with any other noise predictor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segue.core.errors import InputError


def latent_mask(mask: Tensor, size: tuple[int, int], least: float = 0.5) -> Tensor:
    """(b, 1, H, W) mask of 0 / 1 -> (b, 1, h, w) bool at the latent grid's ``size`` (h, w).

    A latent cell belongs to the object where at least ``least`` of its pixels do.

    >>> mask = torch.zeros(1, 1, 16, 16); mask[..., :8, :12] = 1
    >>> latent_mask(mask, (2, 2)).int().tolist()
    [[[[1, 1], [0, 0]]]]
    """
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise InputError(f"masks of shape {tuple(mask.shape)}", "(b, 1, H, W)")
    return F.adaptive_avg_pool2d(mask.float(), size) >= least


def dreambooth_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    prior: tuple[Tensor, Tensor] | None = None,
    prior_weight: float = 1.0,
) -> Tensor:
    """The mean squared error inside the masks, plus ``prior_weight`` times the whole error of the class images.

    ``prediction`` and ``target`` (b, c, h, w) are the subject's noise (or velocity), ``mask`` (b, 1, h, w) bool on
    the same grid, ``prior`` the pair (prediction, target) of the class images, which no mask touches. The
    gradient with respect to a prediction outside its mask is exactly zero, whatever the prediction is there.
    Each photo counts alike, however small its subject. Raises ``InputError`` for an empty mask.

    Source: PerSAM (Zhang et al., 2023), section 3.4; DreamBooth (Ruiz et al., 2022), equation 2.

    >>> noise = torch.zeros(1, 1, 2, 2, requires_grad=True)
    >>> mask = torch.tensor([[[[True, False], [False, False]]]])
    >>> dreambooth_loss(noise, torch.ones(1, 1, 2, 2), mask).backward()
    >>> noise.grad.flatten().tolist()
    [-2.0, 0.0, 0.0, 0.0]
    """
    if prediction.shape != target.shape or mask.shape != (len(target), 1, *target.shape[2:]):
        raise InputError(
            f"a prediction {tuple(prediction.shape)}, target {tuple(target.shape)}, mask {tuple(mask.shape)}",
            "prediction and target (b, c, h, w), mask (b, 1, h, w)",
            "bring masks to the latent grid with latent_mask",
        )
    pixels = mask.flatten(1).sum(1)
    if (pixels == 0).any():
        raise InputError(
            f"{int((pixels == 0).sum())} empty masks", "the subject in every photo", "leave such photos out"
        )
    # Chosen, not multiplied: a NaN or infinity in the background must not reach the gradient as 0 * inf.
    error = torch.where(mask, prediction.float() - target.float(), 0.0).square()
    loss = (error.flatten(1).sum(1) / (pixels * prediction.shape[1])).mean()
    if prior is not None:
        loss = loss + prior_weight * F.mse_loss(prior[0].float(), prior[1].float())
    return loss


def split_prior(batch: Tensor) -> tuple[Tensor, Tensor]:
    """(2b, ...) as DreamBooth stacks it, subjects first -> (b, ...) subjects and (b, ...) class images.

    >>> [part.tolist() for part in split_prior(torch.arange(4))]
    [[0, 1], [2, 3]]
    """
    if len(batch) % 2:
        raise InputError(f"a batch of {len(batch)}", "as many class images as photos of the subject")
    subject, prior = batch.chunk(2)
    return subject, prior
