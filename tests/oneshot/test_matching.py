"""Matching: similarity, thresholds learned from the reference, mutual neighbours."""

import pytest
import torch
import torch.nn.functional as F

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

GENERATOR = torch.Generator().manual_seed(0)
LOOKS = F.normalize(torch.randn(2, 16, generator=GENERATOR), dim=1)  # of the object and of everything else


def scene(top, left, noise=0.15):
    """A (16, 10, 12) map of cells with a 4 x 5 object at (top, left), and its cover."""
    covered = torch.zeros(10, 12)
    covered[top : top + 4, left : left + 5] = 1
    looks = LOOKS[1][:, None, None] * (1 - covered) + LOOKS[0][:, None, None] * covered
    return unit(looks + noise * torch.randn(16, 10, 12, generator=GENERATOR)), covered


SEEN = torch.ones(10, 12, dtype=torch.bool)


@pytest.mark.parametrize("kind", ["mean", "contrast"])
def test_the_object_is_found_where_it_moved_to(kind):
    cells, covered = scene(1, 1)
    bank = calibrated([(cells, covered, SEEN)])
    moved, target = scene(5, 6)
    found = similarity(moved, bank, kind)
    assert found[target > 0].min() > found[target == 0].max()


def test_the_references_background_sets_the_threshold():
    views = [(*scene(1, 1), SEEN), (*scene(3, 4), SEEN)]
    bank = calibrated(views)
    moved, target = scene(5, 6)
    believed = probability(similarity(moved, bank), bank)
    assert ((believed > 0.5) == (target > 0)).all()
    elsewhere = unit(torch.randn(16, 10, 12, generator=GENERATOR))
    assert probability(similarity(elsewhere, bank), bank).mean() < 0.3
    assert 0.5 < bank.own <= 1.0 + 1e-6


def test_mutual_neighbours_tell_the_object_from_what_is_not():
    cells, covered = scene(1, 1)
    bank = calibrated([(cells, covered, SEEN)])
    moved, target = scene(5, 6)
    forth, back = mutual(moved, target > 0, bank)
    assert forth > 0.9
    assert back > 0.9
    forth, back = mutual(moved, torch.roll(target, 6, 1) > 0, bank)
    assert forth + back < 0.7
    assert mutual(moved, target < 0, bank) == (0.0, 0.0)


def test_a_thin_object_has_at_least_one_cell():
    cells, covered = scene(1, 1)
    inside, outside = split(cells, covered * 0.2, SEEN)
    assert len(inside) == 20  # all equally covered
    assert len(outside) == 100


def test_thinning_keeps_an_even_sample():
    rows = torch.arange(1000.0)[:, None]
    kept = thinned(rows, 10)
    assert len(kept) == 10
    assert float(kept[0]) == 0
    assert float(kept[-1]) == 999


def test_a_boundary_lies_nearer_to_the_narrower_side():
    middle, spread = boundary(torch.tensor([0.9, 0.9, 0.9]), torch.tensor([-0.5, 0.0, 0.5]))
    assert 0.6 < middle < 0.9
    assert spread > 0
    assert boundary(torch.tensor([0.9]), torch.zeros(0))[0] == pytest.approx(0.4)


def test_cover_counts_area():
    mask = torch.zeros(8, 8)
    mask[:4, :2] = 1
    assert cover(mask, (2, 2)).tolist() == [[0.5, 0.0], [0.0, 0.0]]


def test_a_bank_without_background_still_compares():
    bank = Bank(LOOKS[:1], LOOKS[:0], LOOKS[0])
    assert similarity(LOOKS[0][:, None, None], bank, "contrast").item() == pytest.approx(2, abs=1e-4)
