"""Training from tiny data: it learns, resumes exactly, and leaves a model that answers."""

from __future__ import annotations

import json
import signal
from pathlib import Path

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
from segue.models.nano.training import start_backbone
from segue.models.registry import MODELS
from segue.session.session import Session
from segue.training.click_run import TrainRun, train_run
from segue.training.config import TrainConfig
from segue.training.engine import Engine, StepLog
from tests.training.toys import states_equal, tiny_config, write_blocks

TRAINED = ("nano", "simpleclick-xtiny", "interformer-light")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("data"))


def prepared(config: TrainConfig) -> TrainRun:
    return train_run(config, lambda run: pytest.fail("nothing to validate"), config.output / "checkpoint.pt")


@pytest.mark.parametrize("name", TRAINED)
def test_twenty_steps_of_every_trainable_model(name: str, root: Path, tmp_path: Path) -> None:
    config = tiny_config(root, tmp_path, model=name)
    result = train(config)
    assert result.steps == 20
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [5, 10, 15, 20]
    assert all(np.isfinite(r["loss"]) and 0 <= r["iou1"] <= 1 for r in rows)
    model = segue.load(result.model, device="cpu")
    mask = Session(model, np.zeros((48, 64, 3), np.uint8)).add(Click(20, 20))
    assert mask.shape == (48, 64)


def test_training_begins_with_a_coarse_pass_where_it_is_asked(root: Path, tmp_path: Path) -> None:
    nano = {"config": {**MODELS["nano"].tiny, "longest": 128, "zoom": 128, "glance": 64}}
    train(tiny_config(root, tmp_path, **nano, clicks={"coarse_pass_probability": 1.0}))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= r["coarse_iou"] <= 1 and np.isfinite(r["loss_128"]) for r in rows)
    with pytest.raises(ConfigError, match="the only one that has a coarse pass"):
        train(
            tiny_config(
                root,
                tmp_path / "other",
                model="simpleclick-xtiny",
                clicks={"coarse_pass_probability": 1.0},
            )
        )


def test_late_corrections_are_played_and_looked_at_closely(root: Path, tmp_path: Path) -> None:
    nano = {"config": {**MODELS["nano"].tiny, "close": 64, "newest": True}}
    clicks = {"corrections": 0.5, "long": 1.0, "most_unlearned": 3, "imported": 0.5, "even": 0.5}
    config = {**nano, "steps": 12, "log_every": 12, "clicks": clicks}
    train(tiny_config(root, tmp_path / "whole", **config))
    (row,) = (json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines())
    assert all(np.isfinite(row[k]) for k in ("loss", "corrected_loss", "close_loss"))
    assert 0 <= row["close_last_iou"] <= 1
    train(tiny_config(root, tmp_path / "again", **config))
    assert (tmp_path / "again" / "model" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model" / "model.safetensors"
    ).read_bytes()


def test_training_makes_the_loss_fall(root: Path, tmp_path: Path) -> None:
    train(tiny_config(root, tmp_path, steps=60, batch=4))
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-3:]) < np.mean(losses[:2])


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(
    kind: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, resume: bool = False) -> None:
        train(tiny_config(root, tmp_path / name, optimizer={"kind": kind, "lr": 2e-3}, resume=resume))

    run("whole")

    updates = Engine.update

    def interrupted(self: Engine) -> StepLog | None:
        if self.steps == 8:
            signal.raise_signal(signal.SIGINT)  # in the middle of a step, which is finished first
        return updates(self)

    monkeypatch.setattr(Engine, "update", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after 9 steps.*--resume"):
        run("halves")
    monkeypatch.undo()
    run("halves", resume=True)
    ends = [torch.load(tmp_path / name / job.CHECKPOINT, weights_only=True) for name in ("whole", "halves")]
    assert ends[0]["step"] == ends[1]["step"] == 20
    assert states_equal(ends[0]["model"], ends[1]["model"])
    assert states_equal(ends[0]["ema"], ends[1]["ema"])
    rows = [json.loads(line)["step"] for line in (tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))


def test_the_seed_decides_everything(root: Path, tmp_path: Path) -> None:
    weights = []
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny_config(root, tmp_path / run, steps=3, seed=seed))
        weights.append(torch.load(tmp_path / run / job.CHECKPOINT, weights_only=True)["model"])
    assert states_equal(weights[0], weights[1])
    assert not states_equal(weights[0], weights[2])


def test_the_shipped_weights_are_the_average_not_the_last_step(root: Path, tmp_path: Path) -> None:
    result = train(tiny_config(root, tmp_path, steps=6, optimizer={"lr": 1e-2}, schedule={"warmup": 1}, ema=0.9))
    state = torch.load(tmp_path / job.CHECKPOINT, weights_only=True)
    model = segue.load(result.model, device="cpu").module.state_dict()
    assert states_equal(model, state["ema"])
    assert not states_equal(model, state["model"])


def test_validation_reports_clicks_on_held_out_photos(root: Path, tmp_path: Path) -> None:
    config = tiny_config(root, tmp_path, steps=4, validate_every=4, validate_objects=2, validate_clicks=3)
    result = train(config)
    assert 1 <= result.last["noc90"] <= 20
    assert {"miou1", "miou3", "noc85"} <= set(result.last)
    run = prepared(config)
    held_out = run.held_out.args[1]  # type: ignore[attr-defined]
    assert held_out
    assert not set(held_out) & set(run.engine.task.batches.sampler.indices)


def test_frozen_blocks_keep_their_weights(shared: Path, root: Path, tmp_path: Path) -> None:
    start = shared / "weights_init" / "imagenet_mobilenet_v2_1.0.npz"
    config = tiny_config(
        root, tmp_path, steps=2, config={"longest": 64, "zoom": 0}, pretrained_backbone=start, frozen=4
    )
    run = prepared(config)
    before = {k: v.clone() for k, v in run.model.module.state_dict().items()}
    run.engine.update()
    after = run.model.module.state_dict()
    moved = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert not any(k.startswith(("network.encoder.backbone.stem", "network.encoder.backbone.blocks.3.")) for k in moved)
    assert any(k.startswith("network.encoder.backbone.blocks.4.") for k in moved)


def test_a_fresh_backbone_is_scaled_and_a_pretrained_one_is_not(shared: Path, root: Path, tmp_path: Path) -> None:
    """Without batch norm the features of a random one would be as good as nothing."""
    config = {"longest": 64, "zoom": 0}
    start = shared / "weights_init" / "imagenet_mobilenet_v2_1.0.npz"
    fresh, pretrained = (
        prepared(
            tiny_config(root, tmp_path, config=config, pretrained_backbone=path, frozen=frozen)
        ).model.module.network.encoder.backbone
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
    text = tiny_config(root, tmp_path / "run", steps=3).model_dump_json()
    (tmp_path / "tiny.yaml").write_text(text)  # JSON is YAML
    arguments = ["train", str(tmp_path / "tiny.yaml"), "--json", str(tmp_path / "out.json")]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "out.json").read_text())["steps"] == 3
    assert main([*arguments, "--resume", "--steps", "5"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["steps"] == 5


def test_a_finished_model_is_not_overwritten_unasked(root: Path, tmp_path: Path) -> None:
    first = train(tiny_config(root, tmp_path, steps=1))
    weights = (first.model / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"holds model of an earlier run.*--resume goes on.*--force replaces"):
        train(tiny_config(root, tmp_path, steps=2, seed=5))
    assert (first.model / "model.safetensors").read_bytes() == weights
    train(tiny_config(root, tmp_path, steps=2, seed=5, force=True))
    assert (first.model / "model.safetensors").read_bytes() != weights
    assert [json.loads(r)["step"] for r in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2]


def test_wrong_configurations_say_what_is_wrong(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("steps: 5\noutput: x\ndata: {root: ., folders: {a: 1}, sized: 3}\n")
    with pytest.raises(ConfigError, match="sized"):
        TrainConfig.from_file(tmp_path / "bad.yaml")
    with pytest.raises(MissingFile, match="nowhere"):
        TrainConfig.from_file(tmp_path / "nowhere.yaml")
    with pytest.raises(MissingFile, match="checkpoint"):
        train(tiny_config(root, tmp_path / "fresh", resume=True))
    with pytest.raises(ConfigError, match="clipseg"):
        train(tiny_config(root, tmp_path / "text", model="clipseg-rd64", config=dict(MODELS["clipseg-rd64"].tiny)))


def test_a_warm_start_takes_over_a_shallower_model(root: Path, tmp_path: Path) -> None:
    shallow = train(tiny_config(root, tmp_path / "shallow", steps=2))
    deep = {**MODELS["nano"].tiny, "blocks": (2, 1, 1)}
    run = prepared(tiny_config(root, tmp_path / "deep", config=deep, init_from=shallow.model))
    old = segue.load(shallow.model, device="cpu").module.state_dict()
    new = run.model.module.state_dict()
    assert states_equal({k: new[k] for k in old}, old)
    assert set(new) - set(old) == {k for k in new if k.startswith("network.decoder.blocks16.1.")}
    with pytest.raises(CheckpointError, match="no place"):
        prepared(
            tiny_config(
                root,
                tmp_path / "other",
                init_from=shallow.model,
                model="simpleclick-xtiny",
            )
        )


@pytest.mark.parametrize("path", sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml")), ids=str)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert TrainConfig.from_file(path).model in MODELS
