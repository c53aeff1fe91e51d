"""ClickAdapter's schedule on one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from segue.adapters.base import attach
from segue.adapters.registry import ADAPTERS
from segue.core.errors import ConfigError
from segue.data.formats.registry import open_data
from segue.models.registry import MODELS
from segue.session.load import build
from segue.training.engine import Engine, Validation
from segue.training.iterative_task import IterativeTask
from segue.training.published_run import PublishedSettings, published_run
from tests.training.toys import small, write_disks


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_disks(tmp_path_factory.mktemp("disks"), 8)


def run_of(disks: Path, **settings: Any) -> Engine:
    torch.manual_seed(0)
    model = build("simpleclick-xtiny", MODELS["simpleclick-xtiny"].tiny)
    adapter = attach(model, ADAPTERS.load("detail")(model, identity=False))
    samples = open_data(disks).samples
    return published_run(
        model, adapter, samples, PublishedSettings(**settings), lambda _: Validation({}), disks / "c.pt"
    )


def test_the_numbers_are_those_of_the_paper(disks: Path) -> None:
    """Li et al., section IV: 60 epochs, 5e-6, a tenth after 50 and 55, 4 GPUs of 2 views each, 448 pixels."""
    engine = run_of(disks)
    assert isinstance(engine.task, IterativeTask)
    assert engine.accumulate * engine.task.batches.batch == 8
    assert engine.budget.epochs == 60
    rates = []
    for epoch in (0, 49, 50, 54, 55, 59):  # eight photos: an epoch is a step
        engine.steps = epoch
        rates.append(5e-6 * engine.schedule.factor(engine.position, engine.budget.share(engine.position)))
    assert rates == pytest.approx([5e-6, 5e-6, 5e-7, 5e-7, 5e-8, 5e-8])
    assert engine.ema is None


def test_fewer_epochs_cut_the_rate_at_the_same_shares(disks: Path) -> None:
    assert run_of(disks, epochs=6).schedule.config.milestones == (5.0, 5.5)


def test_it_runs_to_its_end_and_only_the_adapter_learns(disks: Path) -> None:
    engine = run_of(disks, epochs=2, lr=1e-3, batch=4)
    before = {k: v.clone() for k, v in engine.module.state_dict().items()}
    engine.run()
    assert engine.steps == 2
    assert "2 epochs are over" in engine.ended
    assert any(not torch.equal(v, before[k]) for k, v in engine.module.state_dict().items())


def test_a_model_without_iterative_training_and_an_odd_batch_are_refused(disks: Path) -> None:
    model = small()
    adapter = attach(model, ADAPTERS.load("head")(model))
    samples = open_data(disks).samples
    with pytest.raises(ConfigError, match="simpleclick-base"):
        published_run(model, adapter, samples, PublishedSettings(), lambda _: Validation({}), disks / "c.pt")
    with pytest.raises(ConfigError, match="batch=3"):
        run_of(disks, batch=3)
