"""An adapter's run: its schedule, its views and its simulated users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from segue.adapters.base import attach
from segue.adapters.registry import ADAPTERS
from segue.data.formats.registry import open_data
from segue.training.click_run import ADAPT_CLICKS, ADAPT_DATA, ClickSettings, adapter_run
from segue.training.click_task import ClickTask
from segue.training.engine import Engine
from segue.training.schedules import Clock
from tests.training.toys import small, write_disks


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_disks(tmp_path_factory.mktemp("disks"), 8)


def run_of(disks: Path, colour: float = 0.5, repeats: float = 0.3, **settings: Any) -> Engine:
    model = small()
    adapter = attach(model, ADAPTERS.load("head")(model))
    chosen = ClickSettings(
        data=ADAPT_DATA.model_copy(update={"sizes": (64,), "colour": colour}),
        clicks=ADAPT_CLICKS.model_copy(update={"repeat_clicks_probability": repeats}),
    )
    return adapter_run(model, adapter, open_data(disks).samples, replace(chosen, **settings), None, disks / "c.pt")  # type: ignore[arg-type]


def task_of(engine: Engine) -> ClickTask:
    assert isinstance(engine.task, ClickTask)
    return engine.task


def test_the_rate_falls_to_zero_as_the_minutes_go_by(disks: Path) -> None:
    engine, rates = run_of(disks, lr=1e-3, minutes=10.0), []
    engine.steps = 100
    for minutes in (0.0, 5.0, 10.0):
        engine.clock = Clock(wall_before=minutes)
        engine.update()
        rates.append(engine.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 5e-4, 0.0])


def test_views_turn_with_their_masks(disks: Path) -> None:
    """The disks are brighter than their ground however a view lies."""
    batches = task_of(run_of(disks, colour=0.0)).batches
    for _ in range(8):
        batch = batches.draw(2)
        grey = torch.nn.functional.avg_pool2d(batch.pixels.mean(1, keepdim=True), 2)[batch.rows]
        inside = [float(g[t].mean()) for g, t in zip(grey, batch.targets, strict=True)]
        outside = [float(g[~t].mean()) for g, t in zip(grey, batch.targets, strict=True)]
        assert all(i > o + 0.2 for i, o in zip(inside, outside, strict=True))


@pytest.mark.parametrize(("share", "labels"), [(0.0, {1.0}), (1.0, {-1.0})])
def test_a_simulated_user_may_look_on_instead_of_clicking(disks: Path, share: float, labels: set[float]) -> None:
    dialogue = task_of(run_of(disks, repeats=share)).dialogue
    target = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    target[..., 8:20, 8:20] = True
    clicks = dialogue.next(torch.zeros(2, 1, 32, 32), target, torch.zeros_like(target))
    assert set(clicks[:, 2].tolist()) == labels
