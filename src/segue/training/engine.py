"""The training engine: one run's loop around a task, an optimizer and a schedule.

``segue train``, adapting by clicks and adapting by texts are this loop with other tasks. The state of every part goes
into one checkpoint, from which a run continues exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError, DataError
from segue.training.checkpoint import Interruption, read_checkpoint, write_checkpoint
from segue.training.optimizers import scale_learning_rates
from segue.training.processes import Means, Processes, RandomStreams
from segue.training.schedules import Budget, Clock, Every, Position, Rate, Schedule
from segue.training.selection import Ema, Selection

MOST_EMPTY = 200


@dataclass(frozen=True)
class StepLog:
    """What one micro-batch gave: ``values`` to show, and how many ``targets`` its mean loss is over."""

    values: Mapping[str, float]
    targets: int


class Task(Protocol):
    """What a run learns: it draws a micro-batch and back-propagates its mean loss."""

    generator: torch.Generator

    @property
    def steps_per_epoch(self) -> int:
        """Micro-batches in which everything is seen once."""

    def step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Draw, back-propagate the loss through ``scale``; None, and no gradient, where nothing could be drawn."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the generator."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``."""


@dataclass(frozen=True)
class Validation:
    """A validation's ``row`` to show, its objects' ``costs`` for ``Selection``, the ``loss`` a plateau watches."""

    row: Mapping[str, float]
    costs: tuple[float, ...] = ()
    loss: float | None = None


@dataclass(frozen=True)
class Plan:
    """When a run logs, validates and writes its checkpoint; ``None`` is never.

    ``at_end`` validates once more where the budget ends between two validations.
    """

    checkpoint: Path
    checkpoint_minutes: float = 2.0
    log: Every | None = None
    validate: Every | None = None
    at_end: bool = False


Row = Mapping[str, float]


class Engine:
    """One run: ``module`` is what learns, is averaged and clipped; ``task`` reaches the whole model by itself."""

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        budget: Budget,
        plan: Plan,
        *,
        clock: Clock | None = None,
        ema: Ema | None = None,
        clip: float | None = None,
        accumulate: int = 1,
        scaler: torch.amp.GradScaler | None = None,
        processes: Processes | None = None,
        selection: Selection | None = None,
        validate: Callable[[Engine], Validation] | None = None,
        mean_over_targets: bool = False,
        seed: int = 0,
    ) -> None:
        self.module, self.task, self.optimizer, self.schedule = module, task, optimizer, schedule
        self.budget, self.plan, self.clock = budget, plan, clock or Clock()
        self.ema, self.clip, self.accumulate = ema, clip, accumulate
        self.scaler = scaler or torch.amp.GradScaler("cuda", enabled=False)
        self.processes, self.selection, self.validate = processes or Processes(), selection, validate
        self.streams = RandomStreams(task.generator, self.processes, accumulate, seed)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self._agreed_minutes = 0.0
        self.interruption, self.means = Interruption(), Means(mean_over_targets)
        self.steps, self.empty, self.ended, self.rows = 0, 0, "", list[dict[str, float]]()

    @property
    def position(self) -> Position:
        """How far the run has come."""
        minutes = self.clock.minutes if self.processes.count == 1 else self._agreed_minutes
        batches = self.steps * self.accumulate * self.processes.count
        return Position(self.steps, batches / self.task.steps_per_epoch, minutes)

    def run(self, on_row: Callable[[Row], None] = lambda row: None) -> str:
        """Train until the budget is spent or validation stands still; why it ended.

        ``on_row`` is shown every row. However the run ends, its checkpoint is written; Ctrl-C and SIGTERM raise
        ``KeyboardInterrupt`` that says how to go on.
        """
        self.clock.start()
        rate, on_row = Rate(self.position, self.budget), on_row if self.processes.is_main else lambda row: None
        saved = self.clock.wall
        try:
            with self.interruption.watched():
                while not self._over(rate, on_row):
                    with self.interruption.step():
                        self.update()
                    if self.clock.wall - saved > self.plan.checkpoint_minutes and self.processes.count == 1:
                        self.save()
                        saved = self.clock.wall
        except KeyboardInterrupt as error:
            self.save()
            raise KeyboardInterrupt(
                f"interrupted after {self.steps} steps; {self.plan.checkpoint} holds the run: --resume goes on from it"
            ) from error
        self.save()
        return self.ended

    def _over(self, rate: Rate, on_row: Callable[[Row], None]) -> bool:
        """Log and validate where it is time; whether the run is over."""
        self._agreed_minutes, asked = self.processes.agree(self.clock.minutes, self.interruption.asked)
        at = self.position
        self.ended = self.budget.spent(at) if self.steps else ""
        if self.plan.log and (self.plan.log.due(at) or (self.ended and self.means)):
            on_row({"step": self.steps, **rate.row(at), **self._mean_row()})
            self.plan.log.fired(at)
        if self.validate and self.plan.validate:
            late = self.plan.at_end and self.ended and not (self.rows and self.rows[-1]["step"] == self.steps)
            if self.plan.validate.due(at) or late:
                self._validate(self.validate, on_row)
        if asked:
            raise KeyboardInterrupt
        return bool(self.ended)

    def _validate(self, validate: Callable[[Engine], Validation], on_row: Callable[[Row], None]) -> None:
        if self.processes.count > 1:
            self.save()
        found = validate(self) if self.processes.is_main else Validation({})
        loss = self.processes.from_main(math.nan if found.loss is None else found.loss)
        if not math.isnan(loss):
            self.schedule.observe(loss)
        means = {} if self.plan.log else self._mean_row()
        at = self.position
        lr = self.optimizer.param_groups[0]["initial_lr"] * self.schedule.factor(at, self.budget.share(at))
        row = {"step": self.steps, "minutes": at.minutes, "lr": lr, **means, **found.row}
        self.rows.append(row)
        if self.selection and found.costs:
            self.selection.judge(found.costs, self.averaged_state(), self.steps)
            self.ended = self.selection.ended or self.ended
        assert self.plan.validate is not None
        self.plan.validate.fired(self.position)
        if self.selection:
            self.save()
        on_row(row)

    def _mean_row(self) -> dict[str, float]:
        return {k: round(v, 4) if self.plan.log else v for k, v in sorted(self.means.taken(self.processes).items())}

    def update(self) -> StepLog | None:
        """One optimizer step; what its (last) micro-batch gave, None where nothing was drawn and nothing changed."""
        if self.accumulate == self.processes.count == 1:
            log = self.task.step(self.scaler.scale)
        else:
            log = self._accumulated()
        if log is None:
            self.empty += 1
            if self.empty >= MOST_EMPTY:
                raise DataError(
                    f"{MOST_EMPTY} batches in a row without any object", "objects of at least 1/400 of a view"
                )
            return None
        self.empty, norm = 0, self._apply()
        values = log.values if norm is None else {**log.values, "gradient": norm}
        self.means.add(values, log.targets)
        self.steps += 1
        return StepLog(values, log.targets)

    def _accumulated(self) -> StepLog | None:
        """Gradients as of one batch of all micro-batches, of all processes: means weighted by targets."""
        held = [torch.zeros_like(p) for p in self.parameters]
        counts = torch.zeros(1 + len(held), device=held[0].device)  # targets, then micro-batches that reached each
        log = None
        for micro in range(self.accumulate):
            with self.streams.use(micro):
                found = self.task.step(self.scaler.scale)
            for i, parameter in enumerate(self.parameters):
                if found is not None and parameter.grad is not None:
                    held[i].add_(parameter.grad, alpha=found.targets)
                    counts[1 + i] += 1
                parameter.grad = None
            if found is not None:
                counts[0] += found.targets
                log = self._merged(log, found)
        self.processes.sum([counts, *held])
        if not counts[0]:
            return None
        for parameter, total, reached in zip(self.parameters, held, counts[1:].tolist(), strict=True):
            parameter.grad = total / counts[0] if reached else None
        return log or StepLog({}, 0)

    @staticmethod
    def _merged(first: StepLog | None, second: StepLog) -> StepLog:
        """Two micro-batches' values, weighted by targets where both have one."""
        if first is None:
            return second
        both = first.targets + second.targets
        values = {**first.values, **second.values}
        for key in first.values.keys() & second.values.keys():
            values[key] = (first.values[key] * first.targets + second.values[key] * second.targets) / both
        return StepLog(values, both)

    def _apply(self) -> float | None:
        """Clip, step, advance the moving average; the gradient's norm. A step that is not finite is left out."""
        at = self.position
        scale_learning_rates(self.optimizer, self.schedule.factor(at, self.budget.share(at)))
        norm = None
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            norm = float(nn.utils.clip_grad_norm_(self.parameters, self.clip))
        if norm is None or math.isfinite(norm):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.steps)
        return norm

    def averaged_state(self) -> Mapping[str, Tensor]:
        """The moving average of the weights, or the weights themselves where there is none."""
        return self.module.state_dict() if self.ema is None else self.ema.average

    def averaged(self) -> AbstractContextManager[None]:
        """The module with its averaged weights, for the length of a ``with``."""
        return nullcontext() if self.ema is None else self.ema.applied()

    @property
    def best_validation(self) -> tuple[int, float]:
        """Which validation was the best, from 0, and its mean cost."""
        return (self.selection.best_index, self.selection.best) if self.selection else (-1, math.inf)

    @property
    def improving(self) -> bool:
        """Whether the budget ended the run while its last validation was the best."""
        s = self.selection
        return bool(s and s.count > 1 and s.best_index == s.count - 1 and not s.ended)

    def load_best(self) -> None:
        """Give the module the weights that validation chose."""
        if self.selection and self.selection.weights:
            self.module.load_state_dict(self.selection.weights)

    def _parts(self) -> dict[str, Any]:
        """What has a state of its own."""
        parts = {
            "model": self.module,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
            "task": self.task,
            "clock": self.clock,
            "streams": self.streams,
            "selection": self.selection,
            "log": self.plan.log,
            "validate": self.plan.validate,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def save(self) -> None:
        """Write the checkpoint, whole or not at all; every process takes part, the main one writes."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"step": self.steps, "rows": self.rows, "ema": self.ema.average if self.ema else {}}
        if self.processes.is_main:
            write_checkpoint(self.plan.checkpoint, state)

    def resume(self) -> None:
        """Continue exactly where the checkpoint was written; ``MissingFile`` or ``CheckpointError`` where it can't."""
        path = self.plan.checkpoint
        state = read_checkpoint(path, next(self.module.parameters()).device)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            if self.ema is not None:
                self.ema.load(state["ema"])
            self.steps, self.rows = state["step"], state["rows"]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"{path}, which is of another run ({str(error).splitlines()[0][:120]})",
                "a checkpoint of this model, adapter and configuration",
                "choose another output folder",
            ) from error
