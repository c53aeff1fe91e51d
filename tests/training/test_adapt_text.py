"""Training with texts, interrupted and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.adapters.base import attach, detach
from segue.adapters.registry import ADAPTERS
from segue.core.errors import CheckpointError, MissingFile
from segue.data.io.image import write_image, write_labels
from segue.jobs.adapt import AdaptConfig, adapt
from segue.models.clipseg.model import CLIPSeg
from segue.models.registry import MODELS
from segue.session.load import build
from segue.training.adapt_text import Course, Said, TextSettings, TextTrainer


def said(count: int = 4) -> list[Said]:
    rng = np.random.default_rng(0)
    views = [torch.from_numpy(rng.integers(0, 255, (3, 64, 64), np.uint8)) for _ in range(count)]
    targets = [torch.from_numpy(rng.random((64, 64)) > 0.7) for _ in range(count)]
    return [Said(str(i), v, t, ("a disk", "one disk")) for i, (v, t) in enumerate(zip(views, targets, strict=True))]


def tiny() -> CLIPSeg:
    torch.manual_seed(0)
    model = build("clipseg-rd64", MODELS["clipseg-rd64"].tiny).eval()
    assert isinstance(model, CLIPSeg)
    return model


def trainer(model: CLIPSeg, epochs: int, width: int = 8) -> TextTrainer:
    torch.manual_seed(1)
    adapter = attach(model, ADAPTERS.load("dense")(model, width=width))
    return TextTrainer(model, adapter, TextSettings(batch=2, epochs=epochs), seed=3)


def losses(course: Course) -> list[float]:
    return [row["loss"] for row in course.rows]


def test_a_run_taken_up_again_continues_as_if_never_interrupted(tmp_path: Path) -> None:
    masks, kept = said(), tmp_path / "run.pt"
    whole = trainer(tiny(), 4)
    course = whole.run(masks, masks)
    trainer(tiny(), 2).run(masks, masks, checkpoint=kept)
    again = trainer(tiny(), 4)
    seen: list[int] = []
    resumed = again.run(masks, masks, lambda row: seen.append(int(row["epoch"])), kept)
    assert seen == [2, 3]
    assert losses(resumed) == pytest.approx(losses(course), rel=1e-4)
    assert resumed.best_epoch == course.best_epoch
    for name, value in whole.adapter.state_dict().items():
        torch.testing.assert_close(again.adapter.state_dict()[name], value, atol=1e-4, rtol=1e-3)


def test_a_run_that_is_over_only_gives_its_best_epoch(tmp_path: Path) -> None:
    masks, kept, model = said(), tmp_path / "run.pt", tiny()
    first = trainer(model, 2)
    first.run(masks, masks, checkpoint=kept)
    detach(model)
    again = trainer(model, 2)
    seen: list[object] = []
    again.run(masks, masks, seen.append, kept)
    assert seen == []
    for name, value in first.adapter.state_dict().items():
        assert torch.equal(again.adapter.state_dict()[name], value)


def test_an_interrupted_command_goes_on_seed_by_seed(tmp_path: Path) -> None:
    for i in range(6):
        mask = np.zeros((40, 40), bool)
        mask[5 : 20 + i, 10:30] = True
        write_image(tmp_path / "data" / "images" / f"{i}.png", np.full((40, 40, 3), 40 * i, np.uint8))
        write_labels(tmp_path / "data" / "masks" / f"{i}.png", mask)
    values = {
        "data": tmp_path / "data",
        "output": tmp_path / "out",
        "model": "clipseg-rd64",
        "adapter": "dense",
        "name": "disk",
        "seeds": 2,
        "epochs": 2,
        "settings": {"width": 8},
        "holdout": 0.34,
    }
    with pytest.raises(MissingFile, match="--resume"):
        adapt(AdaptConfig.from_fields(**values, resume=True), tiny())
    rows = 0

    def stop(row: Mapping[str, float]) -> None:
        nonlocal rows
        rows += 1
        if rows == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(AdaptConfig.from_fields(**values), tiny(), stop)
    seen: list[Mapping[str, float]] = []
    result = adapt(AdaptConfig.from_fields(**values, resume=True), tiny(), seen.append)
    assert [row["epoch"] for row in seen] == [1]
    assert [run["epochs"] for run in result["runs"]] == [2, 2]
    assert list((tmp_path / "out").glob("checkpoint*")) == []


def test_a_checkpoint_of_another_adapter_is_refused(tmp_path: Path) -> None:
    masks, kept = said(), tmp_path / "run.pt"
    trainer(tiny(), 1).run(masks, masks, checkpoint=kept)
    with pytest.raises(CheckpointError, match="another adapter"):
        trainer(tiny(), 2, width=4).run(masks, masks, checkpoint=kept)
