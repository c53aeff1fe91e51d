"""How sure a mean is, when the images could have been others."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of ``values`` (nan left out); nan twice without values.

    With ``groups``, one for each value, whole groups are drawn: the objects of an image are not independent.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    >>> low < 2.5 < high
    True
    >>> bootstrap_interval([1.0, 3.0], groups=["one image", "one image"])
    (2.0, 2.0)
    """
    known = ~np.isnan(np.asarray(values, float))
    if not known.any():
        return math.nan, math.nan
    names = range(len(values)) if groups is None else groups
    kept = [name for name, is_known in zip(names, known, strict=True) if is_known]
    rows = {name: row for row, name in enumerate(dict.fromkeys(kept))}
    index = np.array([rows[name] for name in kept])
    sums, counts = np.bincount(index, np.asarray(values, float)[known]), np.bincount(index)
    picks = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
