"""Bootstrap intervals: they cover the truth about as often as they say."""

from __future__ import annotations

import math

import numpy as np

from segue.evaluation.bootstrap import bootstrap_interval


def test_nineteen_of_twenty_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        low, high = bootstrap_interval(list(rng.normal(3.0, 2.0, 60)), draws=400, seed=i)
        covered += low < 3.0 < high
    assert 0.88 < covered / 200 < 0.99


def test_more_objects_make_it_narrower() -> None:
    values = list(np.random.default_rng(0).normal(0, 1, 400))
    few, many = bootstrap_interval(values[:25]), bootstrap_interval(values)
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_undefined_values_are_left_out_and_nothing_gives_nothing() -> None:
    assert bootstrap_interval([1.0, math.nan, 1.0]) == (1.0, 1.0)
    assert all(math.isnan(v) for v in bootstrap_interval([math.nan]))
