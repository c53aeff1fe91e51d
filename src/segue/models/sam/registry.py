"""The SAM family's rows in the tables of models, and the sizes of its published networks.

Source: the build scripts of segment-anything, SAM 2 and SAM-HQ (facts).
"""

from __future__ import annotations

from typing import Any

from segue.core.registry import RegistryEntry
from segue.models.entry import Card, CheckpointEntry, ModelEntry

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


_SAM, _PERSAM = "segue.models.sam.model:Sam", "segue.models.sam.persam:PerSam"
_META, _HUB, _APACHE = "https://github.com/facebookresearch/segment-anything", "https://huggingface.co/", "Apache-2.0"
_META_FILES = "https://dl.fbaipublicfiles.com/segment_anything/"
_VITS = {"base": VIT_B, "large": VIT_L, "huge": VIT_H}
_HIERAS = {"tiny": HIERA_TINY, "small": HIERA_SMALL, "base-plus": HIERA_BASE_PLUS, "large": HIERA_LARGE}
_META_CARDS = {  # with the files' SHA-256, as several projects that fetched them pin it
    size: Card(_META, _APACHE, file, sha256=digest, url=f"{_META_FILES}{file}")
    for size, file, digest in (
        ("base", "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
        ("large", "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        ("huge", "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    )
}


def _sam_vit(size: str) -> ModelEntry:
    return ModelEntry(
        _SAM,
        f"Segment Anything, ViT-{size} encoder at 1024: clicks, boxes, masks",
        config=vit("sam", *_VITS[size]),
        tiny=tiny_vit_sam("sam"),
        card=_META_CARDS[size],
        hub=f"facebook/sam-vit-{size}",
    )


def _sam_hq(size: str) -> ModelEntry:
    return ModelEntry(
        _SAM,
        f"SAM-HQ, ViT-{size} encoder: a SAM with a finer mask token",
        config=vit("sam_hq", *_VITS[size]),
        tiny=tiny_vit_sam("sam_hq"),
        card=Card("https://github.com/SysCV/sam-hq", _APACHE, "model.safetensors"),
        hub=f"syscv-community/sam-hq-vit-{size}",
    )


def _sam2(version: str, size: str) -> ModelEntry:
    hub = f"facebook/sam{version}-hiera-{size}"
    return ModelEntry(
        _SAM,
        f"SAM {version} on single images, Hiera {size} encoder: clicks, boxes, masks",
        config=hiera(*_HIERAS[size]),
        tiny=TINY_HIERA,
        card=Card(_HUB + hub, _APACHE, "model.safetensors"),
        hub=hub,
    )


def _persam(summary: str, **settings: Any) -> ModelEntry:
    return ModelEntry(
        _PERSAM,
        summary,
        config={"sam": vit("sam", *VIT_H), **settings},
        tiny={"sam": tiny_vit_sam("sam"), **settings, **({"epochs": 20} if settings else {})},
        card=_META_CARDS["huge"],
    )


MODELS = {
    **{f"sam-vit-{size}": _sam_vit(size) for size in _VITS},
    **{f"sam-hq-vit-{size}": _sam_hq(size) for size in _VITS},
    **{f"sam{version}-hiera-{size}": _sam2(version, size) for version in ("2", "2.1") for size in _HIERAS},
    "edgetam": ModelEntry(
        _SAM,
        "EdgeTAM on single images: SAM 2 with a RepViT encoder for phones",
        config={"kind": "edgetam"},
        tiny=TINY_EDGETAM,
        card=Card(_HUB + "yonigozlan/EdgeTAM-hf", _APACHE, "model.safetensors"),
        hub="yonigozlan/EdgeTAM-hf",
    ),
    "mobilesam": ModelEntry(
        "segue.models.sam.mobilesam:MobileSam",
        "MobileSAM, 10 M parameters: SAM behind a TinyViT encoder",
        config={"mask_decoder_config": {"layer_norm_eps": 1e-5}},
        tiny=TINY_MOBILE,
        card=Card(
            "https://github.com/ChaoningZhang/MobileSAM",
            _APACHE,
            "mobile_sam.pt",
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            url="https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        ),
    ),
    "persam": _persam("PerSAM over SAM ViT-H: one example, no training"),
    "persam-f": _persam(
        "PerSAM-F over SAM ViT-H: one example, two trained scale weights",
        scale=True,
        negative=False,
        attention=False,
        semantic=False,
    ),
}

FOLDERS = {
    kind: RegistryEntry(f"segue.models.sam.model:{reader}_folder", summary)
    for kind, reader, summary in (
        ("sam", "sam", "Segment Anything"),
        ("sam_hq", "sam_hq", "SAM-HQ"),
        ("sam2", "sam2", "SAM 2 / 2.1, images"),
        ("sam2_video", "sam2", "the image part of SAM 2 / 2.1"),
        ("edgetam", "edgetam", "EdgeTAM, images"),
        ("edgetam_video", "edgetam", "the image part of EdgeTAM"),
    )
}

CHECKPOINTS = {
    "sam": CheckpointEntry("", "a SAM checkpoint in the original layout", key="image_encoder."),
    "sam-transformers": CheckpointEntry("", "a SAM checkpoint in transformers' layout", key="vision_encoder."),
}
