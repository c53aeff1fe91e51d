"""How far a run has come (steps, epochs, minutes), the budget that ends it, and the learning rate that goes by it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.core.errors import ConfigError
from segue.session.config import JobConfig

ClockKind = Literal["wall", "cpu"]
Unit = Literal["steps", "epochs", "minutes"]


@dataclass(frozen=True)
class Budget:
    """What ends a run: the first of ``steps``, ``epochs`` and ``minutes`` that is spent; at least one is given.

    >>> Budget(steps=200, minutes=10.0).share(Position(50, 1.0, 9.0))
    0.9
    """

    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.epochs is None and self.minutes is None:
            raise ConfigError("a run without end", "steps, epochs or minutes")

    def share(self, at: Position) -> float:
        """The share of the budget that is spent, at most 1."""
        spent = ((at.steps, self.steps), (at.epochs, self.epochs), (at.minutes, self.minutes))
        return min(1.0, max(done / limit for done, limit in spent if limit is not None))

    def spent(self, at: Position) -> str:
        """Which limit is reached, in words; empty while none is."""
        limits = (("steps", self.steps), ("epochs", self.epochs), ("minutes", self.minutes))
        over = [f"{limit:g} {unit} are over" for unit, limit in limits if limit is not None and at.of(unit) >= limit]
        return over[0] if over else ""


@dataclass(frozen=True)
class Position:
    """Optimizer steps made, passes over the data, and minutes of the clock that counts.

    >>> Position(30, 1.5, 2.0).of("epochs")
    1.5
    """

    steps: int
    epochs: float
    minutes: float

    def of(self, unit: str) -> float:
        """The number in ``unit``: steps, epochs or minutes."""
        value: float = getattr(self, unit)
        return value


@dataclass
class Clock:
    """Minutes on the wall and of processor time, those before a resume included; ``kind`` is the one that counts.

    >>> clock = Clock("cpu", processor_before=2.0)
    >>> clock.start()
    >>> 2.0 <= clock.minutes < 2.1
    True
    """

    kind: ClockKind = "wall"
    wall_before: float = 0.0
    processor_before: float = 0.0
    _began: tuple[float, float] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin to count; what was counted before stays."""
        self._began = (time.monotonic(), time.process_time())

    @property
    def wall(self) -> float:
        """Minutes by the clock on the wall."""
        return self.wall_before + ((time.monotonic() - self._began[0]) / 60 if self._began else 0.0)

    @property
    def processor(self) -> float:
        """Minutes of processor time."""
        return self.processor_before + ((time.process_time() - self._began[1]) / 60 if self._began else 0.0)

    @property
    def minutes(self) -> float:
        """Minutes that count."""
        return self.processor if self.kind == "cpu" else self.wall

    def state_dict(self) -> dict[str, float]:
        """What a resumed run goes on from."""
        return {"wall": self.wall, "processor": self.processor}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from ``state_dict()``."""
        self.wall_before, self.processor_before = state["wall"], state["processor"]


class Every:
    """A moment that comes again every ``amount`` of a unit; at once where ``first``.

    >>> every = Every(5, "steps")
    >>> [step for step in range(12) if every.due(Position(step, 0, 0)) and not every.fired(Position(step, 0, 0))]
    [5, 10]
    """

    def __init__(self, amount: float, unit: Unit, first: bool = False) -> None:
        self.amount, self.unit = amount, unit
        self.last = -math.inf if first else 0.0

    def where(self, at: Position) -> float:
        """The position in this unit."""
        return at.of(self.unit)

    def due(self, at: Position) -> bool:
        """Whether it is time."""
        return self.where(at) - self.last >= self.amount - 1e-9

    def fired(self, at: Position) -> None:
        """Count from ``at`` on; steps and epochs from the last multiple of the amount."""
        self.last = self.where(at) if self.unit == "minutes" else self.where(at) // self.amount * self.amount

    def state_dict(self) -> dict[str, float]:
        """What a resumed run goes on from."""
        return {"last": self.last}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from ``state_dict()``."""
        self.last = state["last"]


class Rate:
    """Steps a second since the run began or went on, and minutes left at that rate.

    >>> Rate(Position(0, 0, 0), Budget(steps=10)).row(Position(0, 0, 0))["minutes_left"]
    inf
    """

    def __init__(self, first: Position, budget: Budget) -> None:
        self.first, self.budget, self.began = first, budget, time.monotonic()

    def row(self, at: Position) -> dict[str, float]:
        """What to show of the progress at ``at``."""
        seconds, share = time.monotonic() - self.began, self.budget.share(at)
        gained = share - self.budget.share(self.first)
        left = seconds * (1 - share) / gained / 60 if gained > 0 else math.inf
        return {
            "steps_per_second": round((at.steps - self.first.steps) / seconds, 3),
            "minutes_left": round(left, 1),
        }


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
    warmup_from: Annotated[
        Share | None,
        Field(description="Share of the rate at the first step, from which it rises; default: one part of warmup."),
    ] = None
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
        warmup = self._warmup(at)
        if c.kind == "constant":
            return min(warmup, self._cooldown(at, share))
        if c.kind == "poly":
            return warmup * (c.floor + (1 - c.floor) * float((1 - share) ** c.power))
        if c.kind == "cosine":
            return warmup * (c.floor + (1 - c.floor) * (1 + math.cos(math.pi * share)) / 2)
        if c.kind == "milestones":
            return warmup * float(c.gamma ** sum(at.of(c.unit) >= m for m in c.milestones))
        return warmup * self.cut

    def _warmup(self, at: Position) -> float:
        c = self.config
        if not c.warmup:
            return 1.0
        if c.warmup_from is None:
            return min(1.0, (at.of(c.unit) + (c.unit == "steps")) / c.warmup)
        return c.warmup_from + (1 - c.warmup_from) * min(1.0, at.of(c.unit) / c.warmup)

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
