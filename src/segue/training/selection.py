"""Which weights of a run are kept, and when validation has stood still for long enough."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor


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
