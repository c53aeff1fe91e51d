"""How sure a mean is, when the images could have been others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of ``values`` (nan left out); nan twice without values.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    >>> low < 2.5 < high
    True
    """
    known = np.asarray([v for v in values if not math.isnan(v)])
    if not len(known):
        return math.nan, math.nan
    picks = np.random.default_rng(seed).integers(0, len(known), (draws, len(known)))
    means = known[picks].mean(1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
