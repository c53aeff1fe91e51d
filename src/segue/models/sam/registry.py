"""The SAM family's rows in the tables of models."""

from __future__ import annotations

from typing import Any

from segue.core.registry import RegistryEntry
from segue.models.entry import Card, CheckpointEntry, ModelEntry
from segue.models.sam.sizes import (
    HIERA_BASE_PLUS,
    HIERA_LARGE,
    HIERA_SMALL,
    HIERA_TINY,
    TINY_EDGETAM,
    TINY_HIERA,
    TINY_MOBILE,
    VIT_B,
    VIT_H,
    VIT_L,
    hiera,
    tiny_vit_sam,
    vit,
)

_SAM, _PERSAM = "segue.models.sam.model:Sam", "segue.models.sam.persam:PerSam"
_META, _HUB, _APACHE = "https://github.com/facebookresearch/segment-anything", "https://huggingface.co/", "Apache-2.0"
_VITS = {"base": VIT_B, "large": VIT_L, "huge": VIT_H}
_HIERAS = {"tiny": HIERA_TINY, "small": HIERA_SMALL, "base-plus": HIERA_BASE_PLUS, "large": HIERA_LARGE}
_META_CARDS = {  # with the files' SHA-256, as several projects that fetched them pin it
    size: Card(_META, _APACHE, file, sha256=digest)
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
