"""The published ``.pth`` files of segment-anything and MobileSAM: their keys, and what sizes they tell.

Source: state dicts of github.com/facebookresearch/segment-anything and github.com/ChaoningZhang/MobileSAM
(facts about names and shapes only).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from segue.core.errors import CheckpointError

SHARED, TIED = "shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"

# What the published names are called in transformers, first match wins. Feed-forward heads number all their
# layers; transformers names the first and last, so those depend on the depth and are done in code.
_RULES: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", SHARED),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"^prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (r"^(mask_decoder\.transformer\.layers\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
)
_HEAD = re.compile(r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.(\d+)\.(.*)$")
_UNUSED = re.compile(r"^image_encoder\.(norm_head|head)\.|\.attention_bias_idxs$")  # MobileSAM's ImageNet classifier


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Whether ``state`` has the keys of segment-anything's own checkpoints."""
    return any(k.startswith("image_encoder.") for k in state)


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` by segment-anything's keys -> the same tensors by the keys of transformers' ``SamModel``.

    MobileSAM's encoder keeps its published names under ``vision_encoder``.

    >>> import torch
    >>> list(to_transformers({"image_encoder.blocks.0.norm1.weight": torch.ones(2)}))
    ['vision_encoder.layers.0.layer_norm1.weight']
    """
    tiny = any(k.startswith("image_encoder.layers.") for k in state)
    depths: dict[str, int] = {}
    for key in state:
        if match := _HEAD.match(key):
            depths[match[1]] = max(depths.get(match[1], 0), int(match[2]))
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if _UNUSED.search(key):
            continue
        renamed[_rename(key, depths, tiny)] = tensor
    if SHARED in renamed:
        renamed[TIED] = renamed[SHARED]
    return renamed


def _rename(key: str, depths: Mapping[str, int], tiny: bool) -> str:
    if match := _HEAD.match(key):
        index = int(match[2])
        inner = "proj_in" if index == 0 else "proj_out" if index == depths[match[1]] else f"layers.{index - 1}"
        return f"{match[1]}.{inner}.{match[3]}"
    if tiny and key.startswith("image_encoder."):
        return "vision_encoder." + key.removeprefix("image_encoder.")
    for pattern, target in _RULES:
        if re.match(pattern, key):
            return re.sub(pattern, target, key)
    return key


def sizes(state: Mapping[str, Tensor], decoder_heads: int = 8) -> dict[str, Any]:
    """Keywords for ``Sam`` read off the shapes of a segment-anything checkpoint.

    The number of heads in the decoder leaves no trace in the weights; every published file has 8. Raises
    ``CheckpointError`` when keys are missing.
    """
    try:
        grid = state["image_encoder.pos_embed"].shape[1]
        width, _, patch, _ = state["image_encoder.patch_embed.proj.weight"].shape
        depth = _count(state, r"^image_encoder\.blocks\.(\d+)\.")
        reach = [state[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
        channels = state["image_encoder.neck.0.weight"].shape[0]
        whole = [i for i, shape in enumerate(reach) if shape[0] == 2 * grid - 1]
        windows = [(shape[0] + 1) // 2 for i, shape in enumerate(reach) if i not in whole]
        mlp = state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0]
        image = {"image_size": grid * patch, "patch_size": patch}
        decoder = decoder_sizes(state, decoder_heads)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"a file without what a SAM checkpoint holds ({error})", "segment-anything's own keys"
        ) from error
    vision = {
        **image,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // reach[0][1],
        "output_channels": channels,
        "window_size": windows[0] if windows else 0,
        "global_attn_indexes": whole,
        "mlp_dim": mlp,
        "num_pos_feats": channels // 2,
    }
    prompt = {
        **image,
        "hidden_size": channels,
        "mask_input_channels": state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    }
    return {"vision_config": vision, "prompt_encoder_config": prompt, "mask_decoder_config": decoder}


def decoder_sizes(state: Mapping[str, Tensor], heads: int = 8) -> dict[str, Any]:
    """Keywords of transformers' mask decoder; segment-anything's layer norms there have torch's epsilon."""
    return {
        "hidden_size": state["mask_decoder.iou_token.weight"].shape[1],
        "num_hidden_layers": _count(state, r"^mask_decoder\.transformer\.layers\.(\d+)\."),
        "num_attention_heads": heads,
        "mlp_dim": state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        "num_multimask_outputs": state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        "iou_head_depth": _count(state, r"^mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
        "iou_head_hidden_dim": state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
        "layer_norm_eps": 1e-5,
    }


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for key in state if (match := re.match(pattern, key))})
