"""nano's row in the table of models."""

from __future__ import annotations

from segue.models.entry import Card, ModelEntry

MODELS = {
    "nano": ModelEntry(
        "segue.models.nano.model:Nano",
        "the shipped default, 2.8 M parameters: encodes a photo once, answers a click in milliseconds on a CPU",
        tiny={
            "longest": 64,
            "zoom": 64,
            "width": 0.25,
            "channels": (16, 16, 16),
            "blocks": (1, 1, 1),
            "heads": 2,
        },
        card=Card("trained here", "Apache-2.0", "nano.safetensors", mean=(0.5,) * 3, std=(0.5,) * 3),
        shipped=True,
    ),
}
