"""Matching: similarity, thresholds learned from the reference, mutual neighbours."""

import numpy as np
import pytest

from segue.oneshot.matching import (
    Bank,
    boundary,
    calibrated,
    cover,
    mutual,
    probability,
    similarity,
    split,
    thinned,
    unit,
)

RNG = np.random.default_rng(0)
LOOKS = unit(RNG.standard_normal((2, 16), np.float32), 1)  # of the object and of everything else


def scene(top, left, noise=0.15):
    """A (16, 10, 12) map of patches with a 4 x 5 object at (top, left), and its cover."""
    covered = np.zeros((10, 12), np.float32)
    covered[top : top + 4, left : left + 5] = 1
    looks = LOOKS[1][:, None, None] * (1 - covered) + LOOKS[0][:, None, None] * covered
    return unit(looks + noise * RNG.standard_normal((16, 10, 12), np.float32)), covered


SEEN = np.ones((10, 12), bool)


@pytest.mark.parametrize("kind", ["mean", "contrast"])
def test_the_object_is_found_where_it_moved_to(kind):
    patches, covered = scene(1, 1)
    bank = calibrated([(patches, covered, SEEN)])
    moved, target = scene(5, 6)
    found = similarity(moved, bank, kind)
    assert found[target > 0].min() > found[target == 0].max()


def test_the_references_background_sets_the_threshold():
    views = [(*scene(1, 1), SEEN), (*scene(3, 4), SEEN)]
    bank = calibrated(views)
    moved, target = scene(5, 6)
    likely = probability(similarity(moved, bank), bank)
    assert ((likely > 0.5) == (target > 0)).all()
    elsewhere = unit(RNG.standard_normal((16, 10, 12), np.float32))
    assert probability(similarity(elsewhere, bank), bank).mean() < 0.3
    assert 0.5 < bank.self_similarity <= 1.0 + 1e-6


def test_mutual_neighbours_tell_the_object_from_what_is_not():
    patches, covered = scene(1, 1)
    bank = calibrated([(patches, covered, SEEN)])
    moved, target = scene(5, 6)
    forward, backward = mutual(moved, target > 0, bank)
    assert forward > 0.9
    assert backward > 0.9
    forward, backward = mutual(moved, np.roll(target, 6, 1) > 0, bank)
    assert forward + backward < 0.7
    assert mutual(moved, target < 0, bank) == (0.0, 0.0)


def test_a_thin_object_has_at_least_one_patch():
    patches, covered = scene(1, 1)
    inside, outside = split(patches, covered * 0.2, SEEN)
    assert len(inside) == 20  # all equally covered
    assert len(outside) == 100


def test_thinning_keeps_an_even_sample():
    rows = np.arange(1000.0)[:, None]
    sample = thinned(rows, 10)
    assert len(sample) == 10
    assert float(sample[0, 0]) == 0
    assert float(sample[-1, 0]) == 999


def test_a_boundary_lies_nearer_to_the_narrower_side():
    middle, spread = boundary(np.array([0.9, 0.9, 0.9]), np.array([-0.5, 0.0, 0.5]))
    assert 0.6 < middle < 0.9
    assert spread > 0
    assert boundary(np.array([0.9]), np.zeros(0))[0] == pytest.approx(0.4)


def test_cover_counts_area():
    mask = np.zeros((8, 8))
    mask[:4, :2] = 1
    assert cover(mask, (2, 2)).tolist() == [[0.5, 0.0], [0.0, 0.0]]


def test_a_bank_without_background_still_compares():
    bank = Bank(LOOKS[:1], LOOKS[:0], LOOKS[0])
    assert similarity(LOOKS[0][:, None, None], bank, "contrast").item() == pytest.approx(2, abs=1e-4)
