"""Adapters that an earlier version saved still load on the base they were trained on, and answer as they did.

``saved/`` holds one folder an adapter, named by its base and kind, and ``logits.npz`` what each answered. Bases are
filled by parameter name, so that neither the order of construction nor a random generator's version matters.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segue.adapters.base import load_adapter
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Prompt, Text
from segue.models.registry import MODELS
from segue.session.load import build

SAVED = Path(__file__).parent / "saved"
IMAGE: Image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


def fill(module: nn.Module, scale: float) -> None:
    """Every floating-point parameter and buffer from noise seeded by its name."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
                noise = np.asarray(noise, np.float32)
                tensor.copy_(torch.as_tensor(np.abs(noise) + 0.5 if name.endswith("running_var") else scale * noise))


def base(name: str) -> Segmenter:
    plain = {"close": 0} if name == "nano" else {}  # answers on the view's own grid
    model = build(name, {**MODELS[name].tiny, **plain}).eval()
    fill(model.module, 0.1)
    return model


@pytest.mark.parametrize("folder", sorted(SAVED.glob("*/")), ids=lambda folder: folder.name)
def test_an_adapter_saved_by_an_earlier_version_answers_as_it_did(folder: Path) -> None:
    model = base(folder.name.rpartition("-")[0].removesuffix("-lora"))
    if "-lora-" in folder.name:  # trained on top of another one
        load_adapter(model, SAVED / folder.name.rpartition("-")[0])
    load_adapter(model, folder)
    prompts: list[Prompt] = [Text("a cup")] if Text in model.accepts else [Click(30, 20), Click(70, 50, False)]
    with torch.no_grad():
        logits = np.asarray(model.decode(model.encode([IMAGE]), prompts).logits)[0, 0, ::4, ::4]
    expected = np.load(SAVED / "logits.npz")[folder.name]
    assert np.allclose(logits, expected, atol=1e-3 * np.abs(expected).max())
