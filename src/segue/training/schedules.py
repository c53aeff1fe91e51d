"""Learning-rate schedules: the factor of the learning rate at each step of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.session.config import JobConfig
from segue.training.progress import Position, Unit

Share = Annotated[float, Field(ge=0, le=1)]


class ScheduleConfig(JobConfig):
    """How the learning rate goes by: a linear warm-up, then ``kind``.

    >>> [Schedule(ScheduleConfig(warmup=2, cooldown=0.5)).factor(Position(s, 0, 0), s / 8) for s in (0, 1, 4, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """

    kind: Annotated[
        Literal["constant", "poly", "cosine", "milestones", "plateau"],
        Field(description="constant with a linear cooldown; poly; cosine to zero; cuts at milestones; or at a plateau"),
    ] = "constant"
    warmup: Annotated[float, Field(ge=0, description="Warm-up, in units; the rate rises linearly over it.")] = 300
    unit: Annotated[Unit, Field(description="What warm-up and milestones count: steps, epochs or minutes.")] = "steps"
    cooldown: Annotated[Share, Field(description="constant: share of the run over which it falls to zero.")] = 0.25
    power: Annotated[float, Field(gt=0, description="poly: exponent of the remaining share.")] = 0.9
    floor: Annotated[Share, Field(description="poly, cosine: share of the rate that is left at the end.")] = 0.0
    milestones: Annotated[tuple[float, ...], Field(description="milestones: where the rate is cut, in units.")] = ()
    gamma: Annotated[Share, Field(description="milestones, plateau: factor of each cut.")] = 0.1
    patience: Annotated[int, Field(ge=0, description="plateau: validations without a lower loss before a cut.")] = 5

    @model_validator(mode="after")
    def _milestones_rise(self) -> ScheduleConfig:
        if self.kind == "milestones" and list(self.milestones) != sorted(set(self.milestones) - {0.0}):
            raise ValueError(f"milestones {self.milestones} must rise from above zero")
        return self


class Schedule:
    """The learning rate's factor by position in the run; ``observe`` tells a plateau schedule the validation loss.

    The poly schedule is DeepLab's (1 - share)^power, the plateau torch's ``ReduceLROnPlateau`` in mode "min" with its
    relative threshold of 1e-4.

    >>> Schedule(ScheduleConfig(kind="cosine", warmup=0)).factor(Position(5, 0, 0), 0.5)
    0.5
    >>> steps = Schedule(ScheduleConfig(kind="milestones", unit="epochs", warmup=0, milestones=(50, 55)))
    >>> [round(steps.factor(Position(0, e, 0), e / 55), 4) for e in (49.9, 50, 55)]
    [1.0, 0.1, 0.01]
    """

    def __init__(self, config: ScheduleConfig, total_steps: int | None = None) -> None:
        self.config, self.total_steps = config, total_steps
        self.best, self.stale, self.cut = math.inf, 0, 1.0

    def factor(self, at: Position, share: float) -> float:
        """The factor of the next step, ``at`` steps, epochs and minutes done, a ``share`` of the budget spent."""
        c = self.config
        done = at.of(c.unit) + (c.unit == "steps")
        warmup = min(1.0, done / c.warmup) if c.warmup else 1.0
        if c.kind == "constant":
            return min(warmup, self._cooldown(at, share))
        if c.kind == "poly":
            return warmup * (c.floor + (1 - c.floor) * float((1 - share) ** c.power))
        if c.kind == "cosine":
            return warmup * (c.floor + (1 - c.floor) * (1 + math.cos(math.pi * share)) / 2)
        if c.kind == "milestones":
            return warmup * float(c.gamma ** sum(at.of(c.unit) >= m for m in c.milestones))
        return warmup * self.cut

    def _cooldown(self, at: Position, share: float) -> float:
        if self.total_steps is None:
            return (1 - share) / self.config.cooldown if self.config.cooldown else 1.0
        return (self.total_steps - at.steps) / max(1, int(self.total_steps * self.config.cooldown))

    def observe(self, loss: float) -> None:
        """Cut a plateau's rate after more than ``patience`` validations without a lower ``loss``."""
        if loss < self.best * (1 - 1e-4):
            self.best, self.stale = loss, 0
        else:
            self.stale += 1
        if self.stale > self.config.patience:
            self.cut, self.stale = self.cut * self.config.gamma, 0

    def state_dict(self) -> dict[str, float]:
        """What a resumed run goes on from."""
        return {"best": self.best, "stale": self.stale, "cut": self.cut}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``."""
        self.best, self.stale, self.cut = state["best"], state["stale"], state["cut"]
