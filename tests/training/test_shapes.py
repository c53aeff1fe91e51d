"""Synthetic thin things: repeatable, thin, premultiplied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from segue.training.shapes import SHAPES, drawn_shapes


def test_a_seed_draws_the_same_again() -> None:
    assert torch.equal(drawn_shapes(3, 64, seed=5), drawn_shapes(3, 64, seed=5))
    assert not torch.equal(drawn_shapes(3, 64, seed=5), drawn_shapes(3, 64, seed=6))


@pytest.mark.parametrize("kind", range(len(SHAPES)))
def test_every_kind_shows_and_no_colour_exceeds_its_alpha(kind: int) -> None:
    for seed in range(3):
        shape = drawn_shapes(kind + 1, 128, seed)[kind]
        assert (shape[3] > 127).float().mean() > 0.004
        assert (shape[:3] <= shape[3:]).all()


def test_most_are_thin() -> None:
    alphas = drawn_shapes(len(SHAPES) - 1, 256, seed=1)[:, 3].numpy() > 127  # all but the leaf
    depths = [np.percentile(distance_transform_edt(a)[a], 90) for a in alphas]
    assert np.median(depths) < 8
