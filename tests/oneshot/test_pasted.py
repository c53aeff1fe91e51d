"""Pasted copies: where the mask says, recognisable, never the same twice."""

import numpy as np

from segue.oneshot.pasted import pasted
from tests.jobs.scenes import empty, toy


def test_the_mask_is_where_the_object_is():
    image, mask = toy()
    for seed in range(8):
        ground = empty(seed=3)
        made, where = pasted(ground, image, mask, np.random.default_rng(seed))
        changed = np.abs(made.astype(int) - ground).max(-1) > 40
        assert where.any()
        assert changed[where].mean() > 0.8
        assert changed[~where].mean() < 0.02


def test_copies_differ_and_can_be_made_again():
    image, mask = toy()
    first, second, again = (pasted(empty(), image, mask, np.random.default_rng(seed))[1] for seed in (1, 2, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)


def test_a_small_photo_takes_a_wide_object():
    wide = np.zeros((100, 400), bool)
    wide[40:60, 10:390] = True
    made, where = pasted(
        np.zeros((30, 20, 3), np.uint8), np.full((100, 400, 3), 200, np.uint8), wide, np.random.default_rng(0)
    )
    assert made.shape == (30, 20, 3)
    assert where.shape == (30, 20)
