"""Sizes of the SAM family's published models, as keywords of ``Sam``, and tiny ones for tests. Data only.

Source: the build scripts of segment-anything, SAM 2 and SAM-HQ (facts).
"""

from __future__ import annotations

from typing import Any

Sizes = dict[str, Any]


def vit(kind: str, width: int, depth: int, heads: int, whole: list[int]) -> Sizes:
    """SAM or SAM-HQ with a plain vision transformer; ``whole`` lists the blocks with global attention."""
    decoder: Sizes = {"layer_norm_eps": 1e-5}  # torch's own, as in the published code
    vision: Sizes = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "global_attn_indexes": whole,
        "mlp_dim": 4 * width,
    }
    if kind == "sam_hq":
        decoder["vit_dim"] = width
    return {"kind": kind, "vision_config": vision, "mask_decoder_config": decoder}


def hiera(width: int, heads: int, depths: list[int], whole: list[int], windows: list[int], background: int) -> Sizes:
    """SAM 2 / 2.1 with a Hiera encoder of four stages."""
    widths = [width, 2 * width, 4 * width, 8 * width]
    backbone: Sizes = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": width,
        "num_attention_heads": heads,
        "blocks_per_stage": depths,
        "embed_dim_per_stage": widths,
        "num_attention_heads_per_stage": [heads, 2 * heads, 4 * heads, 8 * heads],
        "window_size_per_stage": windows,
        "window_positional_embedding_background_size": [background, background],
        "global_attention_blocks": whole,
    }
    return {"kind": "sam2", "vision_config": {"backbone_config": backbone, "backbone_channel_list": widths[::-1]}}


VIT_B = (768, 12, 12, [2, 5, 8, 11])
VIT_L = (1024, 24, 16, [5, 11, 17, 23])
VIT_H = (1280, 32, 16, [7, 15, 23, 31])
HIERA_TINY = (96, 1, [1, 2, 7, 2], [5, 7, 9], [8, 4, 14, 7], 7)
HIERA_SMALL = (96, 1, [1, 2, 11, 2], [7, 10, 13], [8, 4, 14, 7], 7)
HIERA_BASE_PLUS = (112, 2, [2, 3, 16, 3], [12, 16, 20], [8, 4, 14, 7], 14)
HIERA_LARGE = (144, 2, [2, 6, 36, 4], [23, 33, 43], [8, 4, 16, 8], 7)

_TINY_IMAGE: Sizes = {"image_size": 64, "patch_size": 4}
_TINY_DECODER: Sizes = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}


def tiny_vit_sam(kind: str) -> Sizes:
    """SAM or SAM-HQ with two blocks on 64 x 64 pixels."""
    vision = {
        **_TINY_IMAGE,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "output_channels": 32,
        "window_size": 6,
        "global_attn_indexes": [1],
        "num_pos_feats": 16,
        "mlp_dim": 32,
    }
    decoder = _TINY_DECODER | ({"vit_dim": 16} if kind == "sam_hq" else {})
    return {
        "kind": kind,
        "vision_config": vision,
        "prompt_encoder_config": {**_TINY_IMAGE, "hidden_size": 32, "mask_input_channels": 8},
        "mask_decoder_config": decoder,
    }


TINY_HIERA: Sizes = {
    "kind": "sam2",
    "vision_config": {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "image_size": [64, 64],
            "hidden_size": 8,
            "num_attention_heads": 1,
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 2, 4, 8],
            "window_size_per_stage": [8, 4, 4, 4],
            "window_positional_embedding_background_size": [4, 4],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": {"image_size": 64, "patch_size": 16, "hidden_size": 32, "mask_input_channels": 8},
    "mask_decoder_config": _TINY_DECODER,
}

TINY_EDGETAM: Sizes = {
    "kind": "edgetam",
    "vision_config": {
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": TINY_HIERA["prompt_encoder_config"],
    "mask_decoder_config": _TINY_DECODER,
}

TINY_MOBILE: Sizes = {
    "encoder": {"widths": [8, 16, 16, 32], "depths": [1] * 4, "heads": [1, 2, 2, 2], "windows": [4] * 4},
    "prompt_encoder_config": {"image_size": 64, "patch_size": 16, "hidden_size": 32, "mask_input_channels": 8},
    "mask_decoder_config": _TINY_DECODER,
}
