"""Every loss and its gradient against the official code's, on recorded logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from segue.nn import losses

Recorded = dict[str, Tensor]

RITM: dict[str, tuple[Callable[..., Tensor], str]] = {
    "nfl_default": (partial(losses.normalized_focal, alpha=0.25), "target_ignore"),
    "nfl_alpha0.5": (losses.normalized_focal, "target_ignore"),
    "nfl_nodetach": (partial(losses.normalized_focal, detach=False), "target_ignore"),
    "nfl_maxmult2": (partial(losses.normalized_focal, max_multiplier=2.0), "target_ignore"),
    "nfl_sum": (partial(losses.normalized_focal, average=False), "target_ignore"),
    "focal": (losses.focal, "target_ignore"),
    "bce_ignore": (losses.binary_cross_entropy, "target_ignore"),
    "softiou": (losses.soft_iou, "target_ignore"),
    "vlsm_step_dicece": (losses.double_sigmoid_dice_cross_entropy, "target"),
    "vlsm_dice_on_probs": (lambda logits, target: losses.dice(logits.sigmoid(), target), "target"),
}


@pytest.fixture(scope="module")
def recorded(parity_dir: Path) -> Recorded:
    path = parity_dir / "clicker-protocol" / "io.safetensors"
    return {k.removeprefix("loss."): v for k, v in load_file(path).items() if k.startswith("loss.")}


def compare(loss: Callable[..., Tensor], logits: Tensor, target: Tensor, recorded: Recorded, name: str) -> None:
    logits = logits.clone().requires_grad_()
    value = loss(logits, target)
    value.sum().backward()
    torch.testing.assert_close(value.reshape(-1), recorded[f"{name}.value"], rtol=1e-5, atol=1e-5)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, recorded[f"{name}.grad"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", RITM)
def test_value_and_gradient_agree(recorded: Recorded, name: str) -> None:
    loss, target = RITM[name]
    compare(loss, recorded["logits"], recorded[target], recorded, name)


@pytest.mark.parametrize("name", ["persam_dice", "persam_focal"])
def test_persam_losses_agree_on_flat_masks(recorded: Recorded, name: str) -> None:
    first = recorded["logits"][:1].flatten(1), recorded["target"][:1].flatten(1)
    compare(getattr(losses, name), *first, recorded, name)


def test_interformers_two_channels_enter_as_their_difference(recorded: Recorded) -> None:
    def two_channels(logits: Tensor, label: Tensor) -> Tensor:
        return losses.normalized_focal(logits[:, 1:] - logits[:, :1], label[:, None].float(), ignore=255)

    compare(two_channels, recorded["interformer_logits"], recorded["interformer_label"], recorded, "interformer_nfl")
