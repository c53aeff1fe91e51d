"""InterFormer's rows in the tables of models."""

from __future__ import annotations

from typing import Any

from segue.models.entry import Card, CheckpointEntry, ModelEntry

_SOURCE = "https://github.com/YouHuang67/InterFormer"
TINY: dict[str, Any] = {
    "img_size": (64, 64),
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "dims": (8, 8, 16, 16),
    "target_size": (64, 64),
    "neck_heads": (1, 2, 2, 2),
    "neck_mlp_ratio": (2, 2, 2, 2),
    "head_channels": 8,
    "depths": (2, 1, 2, 1),
    "refine_start": (1, 1, 1, 1),
    "pool_scales": (1, 2),
}

MODELS = {
    "interformer-light": ModelEntry(
        "segue.models.interformer.model:InterFormer",
        "InterFormer-Light: ViT-B encodes once (95 M parameters), 2.4 M answer each click",
        config={"embed_dim": 768, "depth": 12, "num_heads": 12, "depths": (1, 1, 2, 1)},
        tiny=TINY,
        card=Card(_SOURCE, "MIT", "interformer_light_coco_lvis_320k.pth"),
    ),
    "interformer-tiny": ModelEntry(
        "segue.models.interformer.model:InterFormer",
        "InterFormer-Tiny: ViT-L encodes once (320 M parameters), 4.9 M answer each click, zoomed in",
        config={
            "embed_dim": 1024,
            "depth": 24,
            "num_heads": 16,
            "depths": (2, 2, 6, 3),
            "refine_start": (1, 1, 2, 1),
            "zoom_in": True,
        },
        tiny=TINY,
        card=Card(_SOURCE, "MIT", "interformer_tiny_coco_lvis_320k.pth"),
    ),
}

CHECKPOINTS = {
    "interformer": CheckpointEntry(
        "segue.models.interformer.weights:recognise",
        "an InterFormer checkpoint",
        key="neck.stages.",
        describe="segue.models.interformer.weights:interformer_label",
    ),
}
