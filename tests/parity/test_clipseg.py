"""CLIPSeg and VLSM-Adapter against the official code's recorded tensors, for any fixture of the same kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from segue.adapters.base import attach, disabled
from segue.adapters.bottleneck import Dense, Shallow, official_adapter
from segue.models.clipseg.model import CLIPSeg
from segue.models.clipseg.training import MEAN, STD
from tests.parity.folders import folders_where

STAGE, LOGITS = 2e-5, 1e-4
CASES = [f"{kind}_{variant}" for kind in ("dense", "shallow") for variant in ("v", "vl", "vlc")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "folder" in metafunc.fixturenames:
        found = folders_where(metafunc.config, lambda c: "clipseg_config" in c)
        metafunc.parametrize("folder", found, ids=lambda p: p.name, scope="module")


@pytest.fixture(scope="module")
def fixture(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    return folder, json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")


def official_model(folder: Path, config: dict[str, Any]) -> CLIPSeg:
    torch.manual_seed(0)
    model = CLIPSeg(**config["clipseg_config"])
    model.load_published(load_file(folder / "weights.safetensors"))
    return model.eval()


def close(got: Tensor, wanted: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(got, wanted.reshape(got.shape), atol=tolerance, rtol=0)


@torch.no_grad()
def run(model: CLIPSeg, io: dict[str, Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
    taps = model.core.vision(io["pixel_values"])
    condition = model.core.text(io["input_ids"], io["attention_mask"])
    side = io["pixel_values"].shape[-1] // model.core.patch
    return taps, condition, model.core.decode(taps, condition, (side, side))


def test_the_image_is_normalised_as_published(fixture: Any) -> None:
    _, _, io = fixture
    pixels = io["image_u8"].permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    close((pixels - mean) / std, io["pixel_values"], STAGE)


def test_plain_clipseg(fixture: Any) -> None:
    folder, config, io = fixture
    close(run(official_model(folder, config), io)[2], io["plain.logits"], LOGITS)


def test_encode_and_decode_reach_the_same_logits(fixture: Any) -> None:
    folder, config, io = fixture
    model = official_model(folder, config)
    with torch.no_grad():
        maps = model.tensors(model.encode(list(io["image_u8"].numpy())).maps)
        condition = model.core.text(io["input_ids"], io["attention_mask"])
        taps = [maps[f"tap{i}"] for i in range(len(model.core.extract))]
        side = io["image_u8"].shape[1] // model.core.patch
        close(model.core.decode(taps, condition, (side, side)), io["plain.logits"], LOGITS)


def test_simple_upsampling(fixture: Any) -> None:
    folder, config, io = fixture
    torch.manual_seed(0)
    model = CLIPSeg(**{**config["clipseg_config"], "use_complex_transposed_convolution": False}).eval()
    own = "clipseg.decoder.transposed_convolution."
    state = {k: v for k, v in load_file(folder / "weights.safetensors").items() if not k.startswith(own)}
    for name in ("weight", "bias"):
        state[own + name] = io[f"plain_simple.decoder.transposed_convolution.{name}"]
    model.load_published(state)
    close(run(model, io)[2], io["plain_simple.logits"], LOGITS)


@pytest.mark.parametrize("case", CASES)
def test_adapted(fixture: Any, case: str) -> None:
    folder, config, io = fixture
    kind, variant = case.split("_")
    model = official_model(folder, config)
    plain = run(model, io)[2]
    make = {"dense": Dense, "shallow": Shallow}[kind]
    adapter = make(model, variant=variant, width=config["adapter_dim"][kind])
    adapter.load_state_dict(official_adapter(load_file(folder / f"adapters_{kind}.safetensors"), adapter))
    attach(model, adapter)
    taps, condition, logits = run(model, io)
    for i, tap in enumerate(taps):
        close(tap, io[f"{case}.activation{i}"], STAGE)
    close(condition, io[f"{case}.cond"], STAGE)
    close(logits, io[f"{case}.logits"], LOGITS)
    assert sum(p.numel() for p in adapter.parameters()) == config["trainable_small"][case]
    with disabled(model):
        assert torch.equal(run(model, io)[2], plain)


@pytest.mark.parametrize("case", CASES)
def test_trainable_parameters_at_the_published_size(parity_dir: Path, case: str) -> None:
    """Dense VL is the paper's "3 M", shallow VLC its "4.2 M"."""
    from segue.models.registry import MODELS

    wanted = json.loads((parity_dir / "tables.json").read_text())["vlsm_trainable_rd64"]
    with torch.device("meta"):
        model = CLIPSeg(**MODELS["clipseg-rd64-refined"].config)
        kind, variant = case.split("_")
        adapter = {"dense": Dense, "shallow": Shallow}[kind](model, variant=variant)
    assert sum(p.numel() for p in adapter.parameters()) == wanted[case]
    assert sum(p.numel() for p in model.parameters()) == wanted["frozen_clipseg"]
