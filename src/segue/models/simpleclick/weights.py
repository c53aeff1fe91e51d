"""SimpleClick's published files: what their keys and shapes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from segue.core.errors import CheckpointError
from segue.models.checkpoints import looks_like
from segue.nn.heads import UPSAMPLE

HEADS = {160: 4, 768: 12, 1024: 16, 1280: 16}  # attention heads of the published widths; no key tells them
NAMES = {160: "xtiny", 768: "base", 1024: "large", 1280: "huge"}


def simpleclick_label(state: Mapping[str, Tensor]) -> str:
    """Size and input of a SimpleClick checkpoint, in words.

    >>> import torch
    >>> simpleclick_label({"patch_embed_coords.proj.weight": torch.zeros(768, 3, 16, 16),
    ...                    "backbone.pos_embed": torch.zeros(1, 785, 768)})
    'a simpleclick-base checkpoint at 448 x 448'
    """
    weight = state["patch_embed_coords.proj.weight"]
    name = NAMES.get(weight.shape[0], f"of width {weight.shape[0]}")
    side = round((state["backbone.pos_embed"].shape[1] - 1) ** 0.5) * weight.shape[-1]
    return f"a simpleclick-{name} checkpoint at {side} x {side}"


def recognise(state: Mapping[str, Tensor], stored: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The registry's name and the keywords of the model whose file this is; ``stored`` is the file's configuration."""
    keywords = simpleclick_config(state, stored)
    return f"simpleclick-{NAMES.get(keywords['embed_dim'], 'base')}", keywords


def simpleclick_config(state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The constructor keywords of a published SimpleClick, from its keys' shapes.

    ``stored`` is the file's own ``config`` where it has one; it settles what shapes do not tell (attention
    heads, an oblong input). Raises ``CheckpointError`` for another model's state.
    """
    if "patch_embed_coords.proj.weight" not in state or "head.conv_seg.weight" not in state:
        raise CheckpointError(looks_like(state), "a SimpleClick checkpoint", "Choose the model it belongs to")
    coords = state["patch_embed_coords.proj.weight"]  # (dim, 2 or 3, patch, patch)
    dim, patch = coords.shape[0], coords.shape[-1]
    side = round((state["backbone.pos_embed"].shape[1] - 1) ** 0.5) * patch
    channels = state["head.conv_seg.weight"].shape[1]
    factor = state["head.convs.0.conv.weight"].shape[0] // channels
    params = _stored_parameters(stored)
    backbone = params.get("backbone_params", {})
    mean, std = params.get("norm_mean_std") or ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return {
        "img_size": tuple(backbone.get("img_size", (side, side))),
        "patch_size": (patch, patch),
        "embed_dim": dim,
        "depth": 1 + max(int(key.split(".")[2]) for key in state if key.startswith("backbone.blocks.")),
        "num_heads": int(backbone.get("num_heads", HEADS.get(dim, max(1, dim // 64)))),
        "mlp_ratio": state["backbone.blocks.0.mlp.fc1.weight"].shape[0] / dim,
        "qkv_bias": "backbone.blocks.0.attn.qkv.bias" in state,
        "num_classes": state["backbone.head.weight"].shape[0],
        "out_dims": tuple(state[f"head.convs.{i}.conv.weight"].shape[1] for i in range(4)),
        "head_channels": channels,
        "upsample": {value: key for key, value in UPSAMPLE.items()}[factor],
        "with_prev_mask": coords.shape[1] == 3,
        "use_disks": bool(params.get("use_disks", True)),
        "norm_radius": float(params.get("norm_radius", 5)),
        "head_align_corners": bool(params.get("head_params", {}).get("align_corners", False)),
        "mean": tuple(mean),
        "std": tuple(std),
        "windowed": not params.get("random_split", False),
    }


def _stored_parameters(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """SimpleClick's ``config["params"]``: {name: {"type", "value", "specified"}} -> {name: value}."""
    params = (stored or {}).get("params", {})
    return {name: entry["value"] for name, entry in params.items() if isinstance(entry, Mapping) and "value" in entry}
