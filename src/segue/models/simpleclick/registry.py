"""SimpleClick's rows in the tables of models."""

from __future__ import annotations

from typing import Any

from segue.models.entry import Card, CheckpointEntry, ModelEntry

TINY: dict[str, Any] = {
    "img_size": (64, 64),
    "patch_size": (16, 16),
    "embed_dim": 16,
    "depth": 4,
    "num_heads": 2,
    "num_classes": 1,
    "out_dims": (8, 8, 16, 16),
    "head_channels": 8,
}


def _entry(size: str, parameters: str, card_file: str, **config: Any) -> ModelEntry:
    """A published size at 448 x 448 pixels."""
    return ModelEntry(
        "segue.models.simpleclick.model:simpleclick",
        f"SimpleClick {size}, {parameters} parameters: clicks and the last mask enter a plain ViT beside the image",
        config={"img_size": (448, 448), "patch_size": (16, 16), **config},
        tiny=TINY,
        card=Card("https://github.com/uncbiag/SimpleClick", "MIT", card_file),
    )


MODELS = {
    "simpleclick-xtiny": _entry(
        "xTiny",
        "4 M",
        "cocolvis_vit_xtiny.pth",
        embed_dim=160,
        depth=8,
        num_heads=4,
        out_dims=(96, 192, 288, 384),
        head_channels=128,
    ),
    "simpleclick-base": _entry(
        "ViT-B",
        "98 M",
        "cocolvis_vit_base.pth",
        embed_dim=768,
        depth=12,
        num_heads=12,
        out_dims=(128, 256, 512, 1024),
    ),
    "simpleclick-large": _entry(
        "ViT-L",
        "324 M",
        "cocolvis_vit_large.pth",
        embed_dim=1024,
        depth=24,
        num_heads=16,
        out_dims=(192, 384, 768, 1536),
    ),
    "simpleclick-huge": _entry(
        "ViT-H",
        "662 M",
        "cocolvis_vit_huge.pth",
        patch_size=(14, 14),
        embed_dim=1280,
        depth=32,
        num_heads=16,
        out_dims=(240, 480, 960, 1920),
    ),
}

CHECKPOINTS = {
    "simpleclick": CheckpointEntry(
        "segue.models.simpleclick.weights:recognise",
        "a SimpleClick checkpoint",
        key="patch_embed_coords.",
        describe="segue.models.simpleclick.weights:simpleclick_label",
    ),
}
