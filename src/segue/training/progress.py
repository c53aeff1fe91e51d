"""How far a run has come: steps, epochs and minutes, and the budget that ends it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from segue.core.errors import ConfigError

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
