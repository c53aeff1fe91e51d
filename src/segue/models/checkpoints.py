"""Published checkpoints: read without running anything in them, recognise them, load them by their own keys."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.core.segmenter import load_strict
from segue.nn.heads import UPSAMPLE
from segue.nn.vit import resize_position_embedding

# libraries whose objects published checkpoints carry beside their tensors (losses, configurations)
CARRIED = ("isegm.", "mmcv.", "mmengine.", "mmseg.", "easydict.", "numpy.", "argparse.", "pathlib.", "omegaconf.")
HEADS = {160: 4, 768: 12, 1024: 16, 1280: 16}  # attention heads of the published widths; no key tells them
SIMPLECLICK_NAMES = {160: "xtiny", 768: "base", 1024: "large", 1280: "huge"}


class _Inert:
    """Stands in for an object of a library that is not installed: accepts any state, keeps none, runs nothing."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def unpickle(path: Path | str) -> dict[str, Any]:
    """What a ``.pth`` holds, read with ``weights_only``: no code in it runs.

    SimpleClick's files carry a loss object and mmsegmentation's carry configurations; such objects of known
    training libraries become inert placeholders. Anything else that is not a tensor or a plain value raises
    ``pickle.UnpicklingError``.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".pth") as file:
    ...     torch.save({"state_dict": {"w": torch.ones(1)}}, file.name)
    ...     unpickle(file.name)
    {'state_dict': {'w': tensor([1.])}}
    """
    # files older than PyTorch 1.6 are no zip archives; for them weights_only alone decides
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
    refused = [name for name in unsafe if not name.startswith(CARRIED)]
    if refused:
        raise pickle.UnpicklingError(f"it would run {', '.join(sorted(refused)[:3])}")
    # one class a name: torch keys its allow list by the class as well as by the name
    stand_ins: list[Any] = [(type("_Inert", (_Inert,), {}), name) for name in unsafe]
    with torch.serialization.safe_globals(stand_ins):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not a dictionary")
    return dict(content)


def looks_like(state: Mapping[str, Tensor]) -> str:
    """What the keys of ``state`` say it is, in words for a message.

    >>> looks_like({"image_encoder.neck.0.weight": torch.zeros(1)})
    'a SAM checkpoint in the original layout'
    """
    keys = set(state)
    signs: tuple[tuple[str, Callable[[], str]], ...] = (
        ("patch_embed_coords.", lambda: simpleclick_label(state)),
        ("neck.stages.", lambda: interformer_label(state)),
        ("maps_transform.", lambda: "a RITM checkpoint"),
        ("image_encoder.", lambda: "a SAM checkpoint in the original layout"),
        ("vision_encoder.", lambda: "a SAM checkpoint in transformers' layout"),
        ("clip.", lambda: "a CLIPSeg checkpoint"),
        ("decoder_pos_embed", lambda: "an MAE pre-training checkpoint with its decoder"),
        ("blocks.0.attn.qkv.", lambda: "an MAE or plain ViT backbone"),
        ("layers.0.ln1.", lambda: "an MAE or plain ViT backbone in mmsegmentation's layout"),
    )
    for start, name in signs:
        if any(key.startswith(start) for key in keys):
            return name()
    return f"something with keys such as {', '.join(sorted(keys)[:3])}"


def simpleclick_label(state: Mapping[str, Tensor]) -> str:
    """Size and input of a SimpleClick checkpoint, in words.

    >>> simpleclick_label({"patch_embed_coords.proj.weight": torch.zeros(768, 3, 16, 16),
    ...                    "backbone.pos_embed": torch.zeros(1, 785, 768)})
    'a simpleclick-base checkpoint at 448 x 448'
    """
    weight = state["patch_embed_coords.proj.weight"]
    name = SIMPLECLICK_NAMES.get(weight.shape[0], f"of width {weight.shape[0]}")
    side = round((state["backbone.pos_embed"].shape[1] - 1) ** 0.5) * weight.shape[-1]
    return f"a simpleclick-{name} checkpoint at {side} x {side}"


def interformer_label(state: Mapping[str, Tensor]) -> str:
    """Which InterFormer a checkpoint is, in words.

    >>> interformer_label({"neck.refine_stages.0.blocks.0.norm1.weight": torch.zeros(1)})
    'an interformer-tiny checkpoint'
    """
    tiny = any(key.startswith("neck.refine_stages.0.") for key in state)
    return f"an interformer-{'tiny' if tiny else 'light'} checkpoint"


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
    found = looks_like(plain)
    try:
        load_strict(module, plain)
    except CheckpointError as error:
        if found == expected:
            raise
        raise CheckpointError(found, expected, "Choose the model it belongs to, or run: segue convert") from error


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
