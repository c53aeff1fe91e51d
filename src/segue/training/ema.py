"""Exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
