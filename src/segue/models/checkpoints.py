"""Published checkpoints: read without running anything in them, recognise them, load them by their own keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.core.registry import RegistryEntry
from segue.models.entry import CheckpointEntry
from segue.models.registry import CHECKPOINTS
from segue.nn.module import load_strict
from segue.nn.vit import resize_position_embedding


def layout_of(state: Mapping[str, Tensor]) -> CheckpointEntry | None:
    """The row of ``CHECKPOINTS`` whose key ``state`` has; None for what no row knows."""
    return next((row for _, row in CHECKPOINTS.items() if any(key.startswith(row.key) for key in state)), None)


def looks_like(state: Mapping[str, Tensor]) -> str:
    """What the keys of ``state`` say it is, in words for a message.

    >>> looks_like({"image_encoder.neck.0.weight": torch.zeros(1)})
    'a SAM checkpoint in the original layout'
    """
    layout = layout_of(state)
    if layout is None:
        return f"something with keys such as {', '.join(sorted(state)[:3])}"
    return str(RegistryEntry(layout.describe, "").load()(state)) if layout.describe else layout.summary


def load_official(module: nn.Module, state: Mapping[str, Tensor], label: Callable[[dict[str, Tensor]], str]) -> None:
    """Load ``state`` into ``module`` by its own keys, all of them; a leading ``net.`` is taken off.

    Raises ``CheckpointError`` that says what the state looks like, and in ``label``'s words what was expected.

    >>> load_official(nn.Linear(1, 1), {"image_encoder.x": torch.zeros(1)}, lambda own: "a linear layer")
    Traceback (most recent call last):
    segue.core.errors.CheckpointError: got a SAM checkpoint in the original layout; expected a linear layer. \
Choose the model it belongs to, or run: segue convert.
    """
    plain = {key.removeprefix("net."): value for key, value in state.items()}
    expected = label(module.state_dict())
    described = looks_like(plain)
    try:
        load_strict(module, plain)
    except CheckpointError as error:
        if described == expected:
            raise
        raise CheckpointError(described, expected, "Choose the model it belongs to, or run: segue convert") from error


def load_mae(backbone: nn.Module, state: Mapping[str, Tensor], grid: tuple[int, int]) -> list[str]:
    """Start ``backbone`` from a published MAE encoder; returns the backbone's keys it had nothing for.

    ``state`` has MAE's own keys; the decoder and the last norm are left out, the position embedding is resized
    bicubically to ``grid`` (h, w) patches. Raises ``CheckpointError`` for other keys or another width.
    Source: He et al. 2022; SimpleClick's and InterFormer's initialisation.
    """
    if "pos_embed" not in state or "blocks.0.attn.qkv.weight" not in state:
        raise CheckpointError(looks_like(state), "an MAE encoder (blocks.*, pos_embed)", "Pass MAE's encoder file")
    taken = dict(state)
    position = taken["pos_embed"]
    side = round((position.shape[1] - 1) ** 0.5)
    patches = resize_position_embedding(position[:, 1:], (side, side), grid)
    taken["pos_embed"] = torch.cat([position[:, :1], patches], dim=1)
    own = backbone.state_dict()
    fitting = {key: value for key, value in taken.items() if key in own}
    wrong = [key for key, value in fitting.items() if value.shape != own[key].shape and not key.startswith("head.")]
    if wrong:
        raise CheckpointError(
            f"an MAE encoder whose {wrong[0]} is {tuple(fitting[wrong[0]].shape)}",
            f"{tuple(own[wrong[0]].shape)}, this model's",
            "Choose the MAE of the same ViT size",
        )
    fitting = {key: value for key, value in fitting.items() if value.shape == own[key].shape}
    backbone.load_state_dict(fitting, strict=False)
    return [key for key in own if key not in fitting]
