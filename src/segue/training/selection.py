"""Which weights a run keeps: their moving average, and the best by validation."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Ema:
    """The moving average of every floating-point tensor in ``module.state_dict()``.

    The first steps are forgotten quickly, later ones averaged over 1 / (1 - ``decay``) steps: the decay of step n is
    at most (1 + n) / (10 + n).

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> ema = Ema(layer, 0.9)
    >>> _ = layer.weight.data.add_(1.0)
    >>> ema.update(0)
    >>> round(float((layer.weight - ema.average["weight"]).detach()), 4)
    0.1
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.average: dict[str, Tensor] = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, step: int) -> None:
        """Move towards the module's weights as they are after ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = {k: v for k, v in self.module.state_dict().items() if v.is_floating_point()}
        torch._foreach_lerp_([self.average[k] for k in now], list(now.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with the averaged weights, for the length of a ``with``."""
        now = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        try:
            yield
        finally:
            self.module.load_state_dict(now)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Go on from a saved ``average``."""
        self.average = dict(average)


class Selection:
    """The best weights by validation, and the end of a run that gets no better.

    ``costs`` of a validation are one number an object, lower is better. With ``one_standard_error`` the latest weights
    are kept as long as they are worse than the best by no more than a standard error of the paired difference (the
    latest have learned longest), and only validations beyond it count against ``patience``: few objects say little, so
    chance alone does not end a run. Without it the best mean is kept and every validation without a new best counts.

    The rule is Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.

    >>> selection = Selection(patience=2)
    >>> for cost in (0.5, 0.4, 0.6, 0.6):
    ...     selection.judge([cost], {}, step=1)
    >>> selection.best, selection.ended
    (0.4, 'no better in 2 validations')
    """

    def __init__(self, patience: int, one_standard_error: bool = False) -> None:
        self.patience, self.one_standard_error = patience, one_standard_error
        self.weights: dict[str, Tensor] = {}
        self.best, self.best_step, self.best_index = math.inf, 0, -1
        self.best_costs: list[float] = []
        self.count = self.stale = 0

    def judge(self, costs: Sequence[float], weights: Mapping[str, Tensor], step: int) -> None:
        """Keep ``weights`` (copied) if ``costs`` say so."""
        mean = float(np.mean(costs))
        better = mean < self.best
        close = better or (self.one_standard_error and not self._worse(costs))
        if better or (close and self.best_step > 0):
            self.weights = copy.deepcopy(dict(weights))
        if better:
            self.best, self.best_step, self.best_index = mean, step, self.count
            self.best_costs = [float(c) for c in costs]
        self.stale = 0 if close else self.stale + 1
        self.count += 1

    def _worse(self, costs: Sequence[float]) -> bool:
        """Whether the paired difference to the best is beyond its standard error."""
        worse = np.subtract(costs, self.best_costs)
        return bool(worse.mean() > worse.std() / math.sqrt(len(worse)))

    @property
    def ended(self) -> str:
        """Why the run should end, in words; empty while it should not."""
        return f"no better in {self.patience} validations" if self.stale >= self.patience else ""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        names = ("weights", "best", "best_step", "best_index", "best_costs", "count", "stale")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``."""
        for name, value in state.items():
            setattr(self, name, value)
