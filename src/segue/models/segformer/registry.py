"""SegFormer's rows in the tables of models."""

from __future__ import annotations

from segue.models.entry import Card, CheckpointEntry, ModelEntry

_SOURCE, _LICENCE = "https://github.com/NVlabs/SegFormer", "NVIDIA Source Code License"

MODELS = {
    "segformer-b0-click": ModelEntry(
        "segue.models.segformer.model:SegFormerClick",
        "SegFormer B0 as a click model, 3.7 M parameters (ClickAdapter, table I)",
        config={"widths": (32, 64, 160, 256), "depths": (2, 2, 2, 2)},
        tiny={"widths": (16, 32, 40, 64), "depths": (1, 1, 1, 1), "side": 64, "channels": 8},
        card=Card(_SOURCE, _LICENCE, "mit_b0.pth", backbone=True),
    ),
    "segformer-b3-click": ModelEntry(
        "segue.models.segformer.model:SegFormerClick",
        "SegFormer B3 as a click model, 44 M parameters (ClickAdapter, table I)",
        config={"widths": (64, 128, 320, 512), "depths": (3, 4, 18, 3)},
        tiny={"widths": (16, 32, 40, 64), "depths": (1, 2, 1, 1), "side": 64, "channels": 8},
        card=Card(_SOURCE, _LICENCE, "mit_b3.pth", backbone=True),
    ),
}

CHECKPOINTS = {
    "mit": CheckpointEntry("", "a Mix Transformer's ImageNet weights", key="patch_embed1.", backbone=True),
}
