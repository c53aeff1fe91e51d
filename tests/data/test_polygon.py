"""Polygons: exact there and back, simplified without changing parts, holes or nesting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segue.core.errors import InputError
from segue.data.polygon import fill, to_rings

small_masks = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(lambda size: arrays(np.bool_, size))


def signed_area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@given(small_masks)
def test_exact_rings_fill_to_the_same_mask(mask: np.ndarray) -> None:
    assert (fill(to_rings(mask), mask.shape) == mask).all()


@given(small_masks)
def test_one_clockwise_ring_a_part_and_one_counterclockwise_a_hole(mask: np.ndarray) -> None:
    rings = to_rings(mask)
    parts = ndimage.label(mask)[1]  # corners do not connect
    holes = ndimage.label(~np.pad(mask, 1), np.ones((3, 3)))[1] - 1
    assert sum(signed_area(ring) > 0 for ring in rings) == parts
    assert sum(signed_area(ring) < 0 for ring in rings) == holes
    assert sum(signed_area(ring) for ring in rings) == mask.sum()


def blob(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((160, 220)), 6)
    return noise > 0.01


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [0.7, 1.5, 4.0, 20.0])
def test_simplified_rings_keep_parts_and_holes(seed: int, tolerance: float) -> None:
    mask = blob(seed)
    exact, simple = to_rings(mask), to_rings(mask, tolerance)
    assert [np.sign(signed_area(r)) for r in simple] == [np.sign(signed_area(r)) for r in exact]
    assert sum(map(len, simple)) < 0.6 * sum(map(len, exact))
    filled = fill(simple, mask.shape)
    assert (filled & mask).sum() / (filled | mask).sum() > 1 - 0.05 * tolerance


def test_more_tolerance_gives_fewer_points() -> None:
    mask = blob(9)
    points = [sum(map(len, to_rings(mask, t))) for t in (0, 0.5, 1, 2, 4)]
    assert points == sorted(points, reverse=True)
    assert points[-1] < points[0] / 8


def test_nothing_gives_nothing_and_a_negative_tolerance_is_refused() -> None:
    assert to_rings(np.zeros((4, 4), bool)) == []
    with pytest.raises(InputError, match="0 or more"):
        to_rings(np.ones((4, 4), bool), -1)
