"""Schedules step by step: against numbers worked out by hand and the library's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from segue.core.errors import ConfigError
from segue.training.schedules import Position, Schedule, ScheduleConfig


def factors(total: int, steps: list[int], epoch: float = 1.0, **config: Any) -> list[float]:
    schedule = Schedule(ScheduleConfig.from_fields(**config), total)
    return [schedule.factor(Position(s, s / epoch, s / 10), s / total) for s in steps]


def test_constant_rises_stays_and_falls() -> None:
    found = factors(100, [0, 1, 9, 10, 75, 90, 99], warmup=10, cooldown=0.25)
    assert found == pytest.approx([0.1, 0.2, 1.0, 1.0, 1.0, 0.4, 0.04])


def test_poly_is_the_remaining_share_to_a_power() -> None:
    found = factors(16, [0, 8, 12], kind="poly", warmup=0, power=2.0)
    assert found == pytest.approx([1.0, 0.25, 0.0625])
    assert factors(16, [8], kind="poly", warmup=0, power=2.0, floor=0.2) == pytest.approx([0.4])


def test_cosine_is_half_a_wave() -> None:
    assert factors(90, [0, 30, 45, 60], kind="cosine", warmup=0) == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_milestones_cut_the_rate() -> None:
    found = factors(55, [0, 49, 50, 54], kind="milestones", warmup=0, milestones=(50, 55), gamma=0.1)
    assert found == pytest.approx([1.0, 1.0, 0.1, 0.1])
    by_epoch = factors(550, [499, 500], epoch=10, kind="milestones", unit="epochs", warmup=0, milestones=(50,))
    assert by_epoch == pytest.approx([1.0, 0.1])


def test_warm_up_may_count_minutes() -> None:
    found = factors(100, [0, 5, 20], kind="cosine", unit="minutes", warmup=1.0)
    assert found == pytest.approx([0.0, 0.49692, 0.90451], rel=1e-4)


def test_a_plateau_is_the_librarys() -> None:
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    ours = Schedule(ScheduleConfig(kind="plateau", warmup=0, gamma=0.3, patience=2))
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    library = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2)
    for loss in losses:
        ours.observe(loss)
        library.step(loss)
        assert ours.factor(Position(1, 1, 1), 0.5) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert optimizer.param_groups[0]["lr"] < 0.1


def test_milestones_must_rise() -> None:
    with pytest.raises(ConfigError, match="must rise"):
        ScheduleConfig.from_fields(kind="milestones", milestones=(55, 50))
