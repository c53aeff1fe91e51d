"""Published recipes by ``segue train``: models and adapters, resumed exactly, in one process or two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue.core.errors import ConfigError
from segue.core.types import Click
from segue.jobs.train import train
from segue.models.registry import MODELS
from segue.session.session import Session
from segue.training.config import TrainConfig
from tests.training.toys import states_equal, write_disks


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_disks(tmp_path_factory.mktemp("disks"), 6)


def recipe(disks: Path, output: Path, model: str = "simpleclick-xtiny", **changes: Any) -> TrainConfig:
    """A few small steps as the recipes make them."""
    values: dict[str, Any] = {
        "model": model,
        "config": dict(MODELS[model].tiny),
        "steps": 4,
        "batch": 2,
        "effective_batch": 4,
        "output": output,
        "log_every": 1,
        "device": "cpu",
        "precision": "fp32",
        "ema": 0,
        "crops": {"sources": [{"path": disks}], "size": 64, "least_area": 20},
        "optimizer": {"kind": "adam", "lr": 1e-3, "backbone_lr": None, "weight_decay": 0, "clip": None},
        "schedule": {"kind": "milestones", "unit": "epochs", "milestones": [2], "warmup": 0},
    }
    return TrainConfig.from_fields(**{**values, **changes})


def trained(config: TrainConfig) -> tuple[dict[str, torch.Tensor], list[float]]:
    train(config)
    rows = [json.loads(line)["loss"] for line in (config.output / "metrics.jsonl").read_text().splitlines()]
    return torch.load(config.output / "checkpoint.pt", weights_only=True)["model"], rows


@pytest.mark.parametrize(
    ("model", "simulation"),
    [
        ("simpleclick-xtiny", {"policy": "ritm"}),
        ("simpleclick-xtiny", {"policy": "ritm", "learned": "every"}),
        ("interformer-light", {"policy": "decaying", "most_rounds": 3}),
        ("interformer-light", {"policy": "ritm", "iterations": 1}),
    ],
)
def test_a_model_learns_by_a_recipe_and_answers(
    model: str, simulation: dict[str, Any], disks: Path, tmp_path: Path
) -> None:
    result = train(recipe(disks, tmp_path, model, steps=2, simulation=simulation))
    assert np.isfinite(result.last["loss"])
    answer = Session(segue.load(result.model, device="cpu"), np.zeros((48, 64, 3), np.uint8)).add(Click(20, 20))
    assert answer.shape == (48, 64)


def test_an_adapter_learns_by_a_recipe_and_its_base_stands_still(disks: Path, tmp_path: Path) -> None:
    base = train(recipe(disks, tmp_path / "base", steps=1)).model
    weights = base / "model.safetensors"
    config = recipe(disks, tmp_path / "out", adapter="detail", init_from=weights, steps=2)
    result = train(config)
    model = segue.load(base, adapter=result.model, device="cpu")
    assert Session(model, np.zeros((48, 64, 3), np.uint8)).add(Click(20, 20)).shape == (48, 64)
    with pytest.raises(ConfigError, match="without a trained model"):
        train(recipe(disks, tmp_path / "none", adapter="detail"))


def test_a_recipe_resumes_exactly(disks: Path, tmp_path: Path) -> None:
    whole, losses = trained(recipe(disks, tmp_path / "whole"))
    trained(recipe(disks, tmp_path / "half", steps=2))
    again, more = trained(recipe(disks, tmp_path / "half", resume=True))
    assert more == losses
    assert states_equal(again, whole)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_effective_batch(disks: Path, tmp_path: Path) -> None:
    one, losses = trained(recipe(disks, tmp_path / "one"))
    two, shared = trained(recipe(disks, tmp_path / "two", processes=2))
    assert shared == pytest.approx(losses, abs=1e-4)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)
    trained(recipe(disks, tmp_path / "halves", processes=2, steps=2))
    resumed, more = trained(recipe(disks, tmp_path / "halves", processes=2, resume=True))
    assert more == shared
    assert states_equal(resumed, two)


def test_a_batch_that_does_not_come_out_even_is_an_error(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a multiple of batch times processes"):
        train(recipe(disks, tmp_path, effective_batch=3))


def test_packed_views_and_crops_exclude_each_other(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        recipe(disks, tmp_path, crops=None, effective_batch=None)
