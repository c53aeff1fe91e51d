"""A mask's box, deepest point and outlines."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.core.geometry import deepest_point, mask_box, outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
def test_the_box_is_the_smallest_that_holds_the_mask(mask):
    box = mask_box(mask)
    if box is None:
        assert not mask.any()
        return
    x0, y0, x1, y1 = box
    inside = mask[y0:y1, x0:x1]
    assert inside.sum() == mask.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@given(MASKS)
def test_the_deepest_point_lies_inside(mask):
    x, y, depth = deepest_point(mask)
    assert mask[y, x] or not mask.any()
    assert (depth >= 1) == bool(mask.any())


def test_the_deepest_point_keeps_away_from_the_border_of_the_image():
    assert deepest_point(np.ones((5, 9), bool))[1] == 2


@given(MASKS)
def test_outlines_run_on_the_mask(mask):
    rings = outlines(mask)
    assert bool(len(rings)) == bool(mask.any())
    for ring in rings:
        assert mask[ring[:, 0, 1], ring[:, 0, 0]].all()
