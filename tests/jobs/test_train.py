"""Training from tiny data: it learns, resumes exactly, and leaves a model that answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import segue
from segue.cli import main
from segue.core.errors import CheckpointError, ConfigError, MissingFile
from segue.core.types import Click
from segue.jobs import train as job
from segue.jobs.train import train
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.pretrained_backbone import start_backbone
from segue.models.registry import MODELS
from segue.session.session import Session
from segue.training.config import TrainConfig
from segue.training.trainer import Trainer

TINY: dict[str, dict[str, Any]] = {
    "nano": {"config": dict(MODELS["nano"].tiny)},
    "simpleclick-xtiny": {"config": dict(MODELS["simpleclick-xtiny"].tiny)},
    "interformer-light": {"config": dict(MODELS["interformer-light"].tiny)},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos of bright blocks on dark noise."""
    root = tmp_path_factory.mktemp("data")
    (root / "blocks" / "images").mkdir(parents=True)
    (root / "blocks" / "masks").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        image, labels = rng.integers(0, 60, (64, 80, 3), np.uint8), np.zeros((64, 80), np.uint8)
        for label in (1, 2):
            x, y = (int(rng.integers(2, side - 30)) for side in (80, 64))
            image[y : y + 26, x : x + 26] = rng.integers(150, 255, 3)
            labels[y : y + 26, x : x + 26] = label
        cv2.imwrite(str(root / "blocks" / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "blocks" / "masks" / f"{number}.png"), labels)
    return root


def tiny(root: Path, output: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "steps": 20,
        "batch": 2,
        "output": output,
        "log_every": 5,
        "seed": 3,
        "device": "cpu",
        "bf16": False,
        "data": {
            "root": root,
            "folders": {"blocks": 1},
            "cache": root / "cache",
            "sizes": [64],
            "held_out": 0.3,
        },
        "optimiser": {"warmup": 2, "rate": 2e-3},
        **TINY["nano"],
    }
    return TrainConfig.from_fields(**{**values, **changes})


def states_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", TINY)
def test_twenty_steps_of_every_trainable_model(name: str, root: Path, tmp_path: Path) -> None:
    config = tiny(root, tmp_path, model=name, **TINY[name])
    found = train(config)
    assert found["steps"] == 20
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [5, 10, 15, 20]
    assert all(np.isfinite(r["loss"]) and 0 <= r["iou1"] <= 1 for r in rows)
    model = segue.load(found["model"], device="cpu")
    mask = Session(model, np.zeros((48, 64, 3), np.uint8)).add(Click(20, 20))
    assert mask.shape == (48, 64)


def test_training_begins_with_a_glance_where_it_is_asked(root: Path, tmp_path: Path) -> None:
    nano = {"config": {**MODELS["nano"].tiny, "longest": 128, "zoom": 128, "glance": 64}}
    train(tiny(root, tmp_path, **nano, clicks={"glances": 1.0}))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= r["glance"] <= 1 and np.isfinite(r["loss_128"]) for r in rows)
    with pytest.raises(ConfigError, match="the only one that glances"):
        train(tiny(root, tmp_path, model="simpleclick-xtiny", clicks={"glances": 1.0}, **TINY["simpleclick-xtiny"]))


def test_training_makes_the_loss_fall(root: Path, tmp_path: Path) -> None:
    train(tiny(root, tmp_path, steps=60, batch=4))
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-3:]) < np.mean(losses[:2])


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(
    kind: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, resume: bool = False) -> None:
        train(tiny(root, tmp_path / name, optimiser={"kind": kind, "warmup": 2, "rate": 2e-3}), resume)

    run("whole")

    updates = Trainer.update

    def interrupted(self: Trainer) -> dict[str, float]:
        if self.step == 8:
            raise KeyboardInterrupt
        return updates(self)

    monkeypatch.setattr(Trainer, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("halves")
    monkeypatch.undo()
    run("halves", resume=True)
    ends = [torch.load(tmp_path / name / job.CHECKPOINT, weights_only=True) for name in ("whole", "halves")]
    assert ends[0]["step"] == ends[1]["step"] == 20
    assert states_equal(ends[0]["model"], ends[1]["model"])
    assert states_equal(ends[0]["average"], ends[1]["average"])
    rows = [json.loads(line)["step"] for line in (tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))


def test_the_seed_decides_everything(root: Path, tmp_path: Path) -> None:
    weights = []
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny(root, tmp_path / run, steps=3, seed=seed))
        weights.append(torch.load(tmp_path / run / job.CHECKPOINT, weights_only=True)["model"])
    assert states_equal(weights[0], weights[1])
    assert not states_equal(weights[0], weights[2])


def test_the_shipped_weights_are_the_average_not_the_last_step(root: Path, tmp_path: Path) -> None:
    found = train(tiny(root, tmp_path, steps=6, optimiser={"warmup": 1, "rate": 1e-2, "ema": 0.9}))
    state = torch.load(tmp_path / job.CHECKPOINT, weights_only=True)
    model = segue.load(found["model"], device="cpu").state_dict()
    assert states_equal(model, state["average"])
    assert not states_equal(model, state["model"])


def test_validation_reports_clicks_on_held_out_photos(root: Path, tmp_path: Path) -> None:
    config = tiny(root, tmp_path, steps=4, validate_every=4, validate_objects=2, validate_clicks=3)
    found = train(config)
    assert 1 <= found["last"]["noc90"] <= 20
    assert {"miou1", "miou3", "noc85"} <= set(found["last"])
    trainer = Trainer(config)
    assert not set(trainer.held_out) & set(trainer.sampler.indices)


def test_decaying_clicks_train_as_well(root: Path, tmp_path: Path) -> None:
    found = train(tiny(root, tmp_path, steps=5, clicks={"policy": "decaying", "gamma": 0.6}))
    assert np.isfinite(found["last"]["loss"])


def test_frozen_blocks_keep_their_weights(shared: Path, root: Path, tmp_path: Path) -> None:
    start = shared / "weights_init" / "imagenet_mobilenet_v2_1.0.npz"
    config = tiny(root, tmp_path, steps=2, config={"longest": 64, "zoom": 0}, start=start, frozen=4)
    trainer = Trainer(config)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.update()
    after = trainer.model.state_dict()
    moved = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert not any(k.startswith(("network.encoder.backbone.stem", "network.encoder.backbone.blocks.3.")) for k in moved)
    assert any(k.startswith("network.encoder.backbone.blocks.4.") for k in moved)


def test_a_fresh_backbone_is_scaled_and_a_pretrained_one_is_not(shared: Path, root: Path, tmp_path: Path) -> None:
    """Without batch norm the features of a random one would be as good as nothing."""
    config = {"longest": 64, "zoom": 0}
    start = shared / "weights_init" / "imagenet_mobilenet_v2_1.0.npz"
    fresh, pretrained = (
        Trainer(tiny(root, tmp_path, config=config, start=path, frozen=frozen)).model.network.encoder.backbone
        for path, frozen in ((None, 0), (start, 1))
    )
    published = MobileNetV2()
    start_backbone(published, start)
    assert states_equal(pretrained.state_dict(), published.state_dict())
    blocks = [next(iter(b.parameters())) for b in pretrained.blocks[:2]]
    assert [p.requires_grad for p in (next(pretrained.stem.parameters()), *blocks)] == [False, False, True]
    with torch.no_grad():
        deviations = [m.std() for m in fresh(torch.rand(4, 3, 64, 64) * 2 - 1).values()]
    assert min(deviations) > 0.2
    assert next(fresh.stem.parameters()).requires_grad


def test_the_command_trains_and_a_second_one_resumes(root: Path, tmp_path: Path) -> None:
    text = tiny(root, tmp_path / "run", steps=3).model_dump_json()
    (tmp_path / "tiny.yaml").write_text(text)  # JSON is YAML
    arguments = ["train", str(tmp_path / "tiny.yaml"), "--json", str(tmp_path / "out.json")]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "out.json").read_text())["steps"] == 3
    assert main([*arguments, "--resume", "--steps", "5"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["steps"] == 5


def test_wrong_configurations_say_what_is_wrong(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("steps: 5\noutput: x\ndata: {root: ., folders: {a: 1}, sized: 3}\n")
    with pytest.raises(ConfigError, match="sized"):
        TrainConfig.read(tmp_path / "bad.yaml")
    with pytest.raises(MissingFile, match="nowhere"):
        TrainConfig.read(tmp_path / "nowhere.yaml")
    with pytest.raises(MissingFile, match="checkpoint"):
        train(tiny(root, tmp_path / "fresh"), resume=True)
    with pytest.raises(ConfigError, match="clipseg"):
        train(tiny(root, tmp_path / "text", model="clipseg-rd64", config=dict(MODELS["clipseg-rd64"].tiny)))


def test_a_warm_start_takes_over_a_shallower_model(root: Path, tmp_path: Path) -> None:
    shallow = train(tiny(root, tmp_path / "shallow", steps=2))
    deep = {**TINY["nano"]["config"], "blocks": (2, 1, 1)}
    trainer = Trainer(tiny(root, tmp_path / "deep", config=deep, warm=shallow["model"]))
    old = segue.load(shallow["model"], device="cpu").state_dict()
    new = trainer.model.state_dict()
    assert states_equal({k: new[k] for k in old}, old)
    assert set(new) - set(old) == {k for k in new if k.startswith("network.decoder.blocks16.1.")}
    with pytest.raises(CheckpointError, match="no place"):
        Trainer(
            tiny(
                root,
                tmp_path / "other",
                warm=shallow["model"],
                model="simpleclick-xtiny",
                **TINY["simpleclick-xtiny"],
            )
        )


@pytest.mark.parametrize("path", sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml")), ids=str)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert TrainConfig.read(path).model in MODELS
