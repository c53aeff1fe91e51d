"""Sizes of the SAM family's published models, as keywords of ``Sam``, and tiny ones for tests. Data only.

Source: the build scripts of segment-anything, SAM 2 and SAM-HQ (facts).
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Published(NamedTuple):
    """What a row of the table of models says of one published model."""

    name: str
    target: str
    summary: str
    config: Sizes
    tiny: Sizes
    source: str
    licence: str
    file: str = ""
    hub: str = ""
    extra: str = ""


_SAM, _MOBILE = "segue.models.sam.model:Sam", "segue.models.sam.mobilesam:MobileSam"
_META = "https://github.com/facebookresearch/segment-anything"
_META_FILES = {"base": "sam_vit_b_01ec64.pth", "large": "sam_vit_l_0b3195.pth", "huge": "sam_vit_h_4b8939.pth"}
SHA256 = {  # of the published files, as several projects that fetched them pin it
    "sam_vit_b_01ec64.pth": "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    "sam_vit_l_0b3195.pth": "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    "sam_vit_h_4b8939.pth": "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    "mobile_sam.pt": "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
}
_VITS = {"base": VIT_B, "large": VIT_L, "huge": VIT_H}
_HIERAS = {"tiny": HIERA_TINY, "small": HIERA_SMALL, "base-plus": HIERA_BASE_PLUS, "large": HIERA_LARGE}
_HUB = "https://huggingface.co/"
_APACHE = "Apache-2.0"


def _sam2(version: str, size: str) -> Published:
    hub = f"facebook/sam{version}-hiera-{size}"
    summary = f"SAM {version} on single images, Hiera {size} encoder: clicks, boxes, masks"
    return Published(
        f"sam{version}-hiera-{size}",
        _SAM,
        summary,
        hiera(*_HIERAS[size]),
        TINY_HIERA,
        _HUB + hub,
        _APACHE,
        "model.safetensors",
        hub,
    )


SAM_FAMILY: tuple[Published, ...] = (
    *(
        Published(
            f"sam-vit-{size}",
            _SAM,
            f"Segment Anything, ViT-{size} encoder at 1024: clicks, boxes, masks",
            vit("sam", *_VITS[size]),
            tiny_vit_sam("sam"),
            _META,
            _APACHE,
            file,
            f"facebook/sam-vit-{size}",
        )
        for size, file in _META_FILES.items()
    ),
    *(
        Published(
            f"sam-hq-vit-{size}",
            _SAM,
            f"SAM-HQ, ViT-{size} encoder: a SAM with a finer mask token",
            vit("sam_hq", *_VITS[size]),
            tiny_vit_sam("sam_hq"),
            "https://github.com/SysCV/sam-hq",
            _APACHE,
            "model.safetensors",
            f"syscv-community/sam-hq-vit-{size}",
        )
        for size in _VITS
    ),
    *(_sam2(version, size) for version in ("2", "2.1") for size in _HIERAS),
    Published(
        "edgetam",
        _SAM,
        "EdgeTAM on single images: SAM 2 with a RepViT encoder for phones",
        {"kind": "edgetam"},
        TINY_EDGETAM,
        _HUB + "yonigozlan/EdgeTAM-hf",
        _APACHE,
        "model.safetensors",
        "yonigozlan/EdgeTAM-hf",
        "edgetam",
    ),
    Published(
        "mobilesam",
        _MOBILE,
        "MobileSAM, 10 M parameters: SAM behind a TinyViT encoder",
        {"mask_decoder_config": {"layer_norm_eps": 1e-5}},
        TINY_MOBILE,
        "https://github.com/ChaoningZhang/MobileSAM",
        _APACHE,
        "mobile_sam.pt",
    ),
    Published(
        "persam",
        "segue.models.sam.persam:PerSam",
        "PerSAM over SAM ViT-H: one example, no training",
        {"sam": vit("sam", *VIT_H)},
        {"sam": tiny_vit_sam("sam")},
        _META,
        _APACHE,
        _META_FILES["huge"],
    ),
    Published(
        "persam-f",
        "segue.models.sam.persam:PerSam",
        "PerSAM-F over SAM ViT-H: one example, two trained scale weights",
        {"sam": vit("sam", *VIT_H), "scale": True, "negative": False, "attention": False, "semantic": False},
        {
            "sam": tiny_vit_sam("sam"),
            "scale": True,
            "negative": False,
            "attention": False,
            "semantic": False,
            "epochs": 20,
        },
        _META,
        _APACHE,
        _META_FILES["huge"],
    ),
)

FOLDER_READERS: dict[str, tuple[str, str]] = {
    "sam": ("segue.models.sam.model:sam_folder", "Segment Anything"),
    "sam_hq": ("segue.models.sam.model:sam_hq_folder", "SAM-HQ"),
    "sam2": ("segue.models.sam.model:sam2_folder", "SAM 2 / 2.1, images"),
    "sam2_video": ("segue.models.sam.model:sam2_folder", "the image part of SAM 2 / 2.1"),
    "edgetam": ("segue.models.sam.model:edgetam_folder", "EdgeTAM, images"),
    "edgetam_video": ("segue.models.sam.model:edgetam_folder", "the image part of EdgeTAM"),
}
