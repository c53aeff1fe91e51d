import math
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import InputError
from segue.metrics.interaction import (
    clicks_needed,
    noc,
    noc_spread,
    nof,
    pie,
    quality_at,
    rof,
    spc,
    unreached,
)

QUALITY = st.floats(0, 1, width=32)
COURSES = st.lists(st.lists(QUALITY, min_size=1, max_size=6), min_size=1, max_size=6)
TARGET = st.sampled_from([0.25, 0.5, 0.75])  # exact in float32, so that the oracle may compare in double


def clicks_by_loop(course, target, most):
    for k, quality in enumerate(course[:most], start=1):
        if quality >= target:
            return k
    return None


@given(COURSES, TARGET, st.integers(1, 6))
def test_noc_matches_oracle(courses, target, most):
    assert noc(courses, target, most) == pytest.approx(mean(clicks_by_loop(c, target, most) or most for c in courses))


@given(COURSES, TARGET, st.integers(1, 6))
def test_noc_spread_matches_oracle(courses, target, most):
    expected = pstdev([clicks_by_loop(c, target, most) or most for c in courses])
    assert noc_spread(courses, target, most) == pytest.approx(expected)


@given(COURSES, TARGET, st.integers(1, 6))
def test_nof_matches_oracle(courses, target, most):
    assert nof(courses, target, most) == sum(clicks_by_loop(c, target, most) in (None, most) for c in courses)


@given(COURSES, TARGET, st.integers(1, 6))
def test_unreached_matches_oracle(courses, target, most):
    assert unreached(courses, target, most) == sum(clicks_by_loop(c, target, most) is None for c in courses)


@given(COURSES, TARGET, st.integers(1, 6))
def test_rof_matches_oracle(courses, target, most):
    failed = [c for c in courses if clicks_by_loop(c, target, most) in (None, most)]
    assert rof(courses, target, most) == pytest.approx(len(failed) / len(courses))


@given(COURSES, st.integers(1, 8))
def test_quality_at_matches_oracle(courses, clicks):
    filled = [c + [c[-1]] * clicks for c in courses]
    assert quality_at(courses, clicks) == pytest.approx([mean(c[k] for c in filled) for k in range(clicks)])


@given(st.floats(0.01, 1e4), st.integers(1, 20))
def test_spc_matches_oracle(seconds, clicks):
    assert spc(seconds, clicks) * clicks == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "side", "published"), [(1.51, 448, 75.4e-7), (0.23, 512, 8.9e-7), (0.11, 256, 16.5e-7)]
)
def test_pie_matches_oracle(seconds, side, published):
    """The figures of InterFormer's table 2, whose seconds are rounded to hundredths."""
    assert pie(seconds, (side, side)) == pytest.approx(published, abs=0.005 / side**2 * 1.2)


def test_float32_decides_at_the_threshold():
    """0.85 stored as float32 reaches 0.85; 0.8 in float32 is a little more than the double 0.8."""
    assert clicks_needed([0.8], 0.8, 20) == 1
    assert clicks_needed([0.79999], 0.8, 20) == 20


def test_undefined_quality_never_counts_as_reached_and_leaves_the_mean():
    assert clicks_needed([math.nan, 0.9], 0.5) == 2
    assert quality_at([[math.nan], [0.5]], 1) == [0.5]
    assert math.isnan(quality_at([[math.nan]], 1)[0])


def test_nothing_evaluated_is_nan_and_an_object_without_clicks_is_refused():
    assert math.isnan(noc([], 0.9))
    assert math.isnan(rof([], 0.9))
    assert math.isnan(spc(1.0, 0))
    with pytest.raises(InputError, match="without a single click"):
        noc([[]], 0.9)
    with pytest.raises(InputError, match="max_clicks"):
        noc([[0.5]], 0.9, max_clicks=0)
    with pytest.raises(InputError, match="at least one pixel"):
        pie(0.1, (0, 4))
