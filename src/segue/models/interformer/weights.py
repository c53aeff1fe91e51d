"""InterFormer's published files: what their keys and shapes say, and MAE encoders under its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.models.checkpoints import load_mae, looks_like


def interformer_label(state: Mapping[str, Tensor]) -> str:
    """Which InterFormer a checkpoint is, in words.

    >>> import torch
    >>> interformer_label({"neck.refine_stages.0.blocks.0.norm1.weight": torch.zeros(1)})
    'an interformer-tiny checkpoint'
    """
    return f"an {_name(state)} checkpoint"


def recognise(state: Mapping[str, Tensor], stored: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The registry's name and the keywords of the model whose file this is."""
    return _name(state), interformer_config(state)


def _name(state: Mapping[str, Tensor]) -> str:
    tiny = any(key.startswith("neck.refine_stages.0.") for key in state)
    return f"interformer-{'tiny' if tiny else 'light'}"


def interformer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The constructor keywords of a published InterFormer, from its keys' shapes.

    Attention heads of the neck and the pooling's target size stand in no shape; they are the published ones.
    Raises ``CheckpointError`` for another model's state or one without encoder.
    """
    if "neck.patch_embed" not in state or "backbone.cls_token" not in state:
        raise CheckpointError(looks_like(state), "a whole InterFormer checkpoint", "Choose the model it belongs to")
    patch = state["backbone.patch_embed.projection.weight"].shape[-1]
    side = round((state["backbone.pos_embed"].shape[1] - 1) ** 0.5) * patch
    dims = tuple(state[f"neck.norm{i}.weight"].shape[0] for i in range(4))
    starts = tuple(_blocks(state, f"neck.stages.{i}.blocks.") for i in range(4))
    refined = tuple(_blocks(state, f"neck.refine_stages.{i}.blocks.") for i in range(4))
    widths = (state[f"neck.stages.{i}.blocks.0.mlp.0.weight"].shape[0] for i in range(4))
    return {
        "img_size": (side, side),
        "patch_size": patch,
        "embed_dim": state["backbone.cls_token"].shape[-1],
        "depth": _blocks(state, "backbone.layers."),
        "num_heads": state["backbone.layers.0.attn.relative_position_bias_table"].shape[1],
        "mlp_ratio": state["backbone.layers.0.ffn.layers.1.weight"].shape[1] / state["backbone.cls_token"].shape[-1],
        "dims": dims,
        "depths": tuple(a + b for a, b in zip(starts, refined, strict=True)),
        "refine_start": starts,
        "neck_mlp_ratio": tuple(width / dim for width, dim in zip(widths, dims, strict=True)),
        "head_channels": state["decode_head.conv_seg.weight"].shape[1],
        "pool_scales": (1, 2, 3, 6)[: _blocks(state, "decode_head.psp_modules.")],
    }


def _blocks(state: Mapping[str, Tensor], start: str) -> int:
    """How many numbered parts there are under ``start``."""
    return len({key[len(start) :].split(".", 1)[0] for key in state if key.startswith(start)})


def load_mae_mm(backbone: nn.Module, state: Mapping[str, Tensor], grid: tuple[int, int]) -> list[str]:
    """``load_mae`` for a backbone with mmsegmentation's names, from a file with MAE's or with mmsegmentation's.

    >>> mm_name("blocks.3.mlp.fc1.weight"), mm_name("patch_embed.proj.bias")
    ('layers.3.ffn.layers.0.0.weight', 'patch_embed.projection.bias')
    """
    if "layers.0.ln1.weight" in state:
        plain = {mae_name(key): value for key, value in state.items()}
    else:
        plain = dict(state)
    return [mm_name(key) for key in load_mae(_Renamed(backbone), plain, grid)]


_MM_NAMES = (
    ("patch_embed.proj.", "patch_embed.projection."),
    ("blocks.", "layers."),
    (".norm1.", ".ln1."),
    (".norm2.", ".ln2."),
    (".mlp.fc1.", ".ffn.layers.0.0."),
    (".mlp.fc2.", ".ffn.layers.1."),
)


def mm_name(key: str) -> str:
    """MAE's name of a parameter -> mmsegmentation's.

    >>> mm_name("blocks.0.norm1.weight")
    'layers.0.ln1.weight'
    """
    for ours, theirs in _MM_NAMES:
        key = key.replace(ours, theirs)
    return key


def mae_name(key: str) -> str:
    """mmsegmentation's name of a parameter -> MAE's.

    >>> mae_name("layers.0.ffn.layers.1.bias")
    'blocks.0.mlp.fc2.bias'
    """
    for ours, theirs in reversed(_MM_NAMES):
        key = key.replace(theirs, ours)
    return key


class _Renamed(nn.Module):
    """A backbone with mmsegmentation's names, seen under MAE's."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = [backbone]  # in a list: not a submodule, so that no prefix appears

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:  # type: ignore[override]
        return {mae_name(key): value for key, value in self.backbone[0].state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Any], *_: Any, **__: Any) -> None:  # type: ignore[override]
        self.backbone[0].load_state_dict({mm_name(key): value for key, value in state.items()}, strict=False)
