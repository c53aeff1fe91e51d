"""Proposals: what there is in an image, each thing once, parts inside wholes."""

import numpy as np
import pytest

from segue.core.errors import ConfigError, InputError
from segue.core.types import Click
from segue.data.rle import Rle, overlap
from segue.session.load import load
from segue.session.proposals import (
    Proposal,
    ProposalSettings,
    is_cut,
    propose,
    search_plan,
    suppress,
    with_parents,
)
from tests.fakes import ColourModel


def box_mask(x0, y0, x1, y1, size=(60, 80)):
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return Rle.from_mask(mask)


@pytest.fixture(scope="module")
def scene():
    """A red plate with a blue square on it, and a green thing apart: each of one colour."""
    image = np.full((60, 80, 3), 128, np.uint8)
    plate, square, apart = box_mask(8, 8, 48, 48), box_mask(20, 20, 32, 32), box_mask(60, 10, 72, 26)
    for rle, colour in ((plate, (220, 30, 30)), (square, (30, 30, 220)), (apart, (30, 200, 30))):
        image[rle.mask()] = colour
    return image, square, apart


def test_every_thing_is_found_once(scene):
    image, *things = scene
    found = propose(ColourModel(80), image, ProposalSettings(12, crop_layers=0, stability=0.5))
    for thing in things:
        assert sum(overlap(p.rle, thing) > 0.8 for p in found) == 1


def test_the_click_of_a_proposal_lies_in_it_or_gave_it(scene):
    image, *_ = scene
    for p in propose(ColourModel(80), image, ProposalSettings(12, crop_layers=0, stability=0.5)):
        x, y = p.point
        assert p.rle.mask()[int(y), int(x)]


def test_thresholds_drop_what_is_unsure(scene):
    image, *_ = scene
    assert propose(ColourModel(80), image, ProposalSettings(6, predicted_iou=0.95)) == []


def test_of_nearly_equal_masks_the_surest_stays_and_parts_are_no_duplicates():
    whole, nearly, part = box_mask(0, 0, 40, 40), box_mask(0, 0, 40, 38), box_mask(0, 0, 40, 20)
    assert suppress([nearly, whole, part], [0.6, 0.9, 0.8], 0.7) == [1, 2]


def test_suppression_agrees_with_comparing_every_pair():
    rng = np.random.default_rng(0)
    masks = [box_mask(*(rng.integers(0, 30, 2)), *(rng.integers(35, 60, 2))) for _ in range(40)]
    scores = rng.random(40)
    kept = []
    for i in np.argsort(-scores):
        if all(overlap(masks[i], masks[j]) <= 0.6 for j in kept):
            kept.append(i)
    assert suppress(masks, scores, 0.6) == kept


def test_parts_lie_inside_the_smallest_whole():
    rles = [box_mask(0, 0, 50, 50), box_mask(5, 5, 30, 30), box_mask(10, 10, 20, 20), box_mask(55, 0, 70, 20)]
    proposals = with_parents([Proposal(rle, 0.9, 0.9, (1, 1), (0, 0, 80, 60)) for rle in rles])
    assert [p.inside for p in proposals] == [None, 0, 1, None]


def test_crops_cover_the_image_and_masks_that_they_cut_are_dropped():
    plan = search_plan((600, 800), ProposalSettings(8, crop_layers=2))
    assert len(plan) == 1 + 4 + 16
    covered = np.zeros((600, 800), bool)
    for (x0, y0, x1, y1), points in plan[5:]:
        covered[y0:y1, x0:x1] = True
        assert ((points >= (x0, y0)) & (points < (x1, y1))).all()
    assert covered.all()
    assert is_cut((300, 10, 400, 50), (0, 0, 400, 300), (600, 800))
    assert not is_cut((0, 0, 300, 200), (0, 0, 400, 300), (600, 800))


def test_nano_answers_many_clicks_at_once_as_one_by_one():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    model = load("nano")
    features, clicks = model.encode([image]), [Click(20, 30), Click(90, 60), Click(64, 10)]
    together = list(model.decode_each(features, clicks))
    assert len(together) == 2  # the coarse pass and the view
    for k, click in enumerate(clicks):
        for (_, several), (_, alone) in zip(together, model.decode_each(features, [click]), strict=True):
            assert np.allclose(several.logits[k], alone.logits[0], atol=1e-3)
            assert np.allclose(several.scores[k], alone.scores[0], atol=1e-4)


def test_a_tiny_image_and_a_flat_one_are_no_error():
    for shape in ((1, 1, 3), (3, 200, 3)):
        assert isinstance(propose(load("nano"), np.zeros(shape, np.uint8), ProposalSettings(4)), list)


def test_mistakes_are_named():
    class Deaf(ColourModel):
        accepts = frozenset()

    with pytest.raises(InputError, match="accepts clicks"):
        propose(Deaf(), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match="points_per_side=0"):
        ProposalSettings(0)
