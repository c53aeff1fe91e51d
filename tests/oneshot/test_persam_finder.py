"""PerSAM behind find: the published choice by default, evidence if asked, absence only with a calibration."""

import numpy as np
import pytest

from segue.core.types import Reference
from segue.models.sam.model import Sam
from segue.models.sam.persam import PerSam
from segue.models.sam.registry import tiny_vit_sam
from segue.oneshot.calibration import Calibration
from segue.oneshot.finder import score_from_evidence
from segue.oneshot.search import finder
from tests.models.sam.test_model import lively

CHANCE = np.random.default_rng(3)
IMAGE = CHANCE.integers(0, 255, (48, 64, 3), dtype=np.uint8)
MASK = np.zeros((48, 64), bool)
MASK[8:36, 10:44] = True
REFERENCE = Reference(IMAGE, MASK)


@pytest.fixture(scope="module")
def sam():
    return lively(Sam(**tiny_vit_sam("sam"))).eval()


@pytest.mark.parametrize("fit_scale", [False, True])
def test_the_answer_is_persams_own(sam, fit_scale):
    seeker = finder(sam, fit_scale=fit_scale)
    features = seeker.encode([IMAGE])
    match = seeker.find(features, REFERENCE)
    own = seeker.inner.decode(features, [REFERENCE])
    assert np.array_equal(match.prediction.logits[:, 0], own.logits[:, own.best])
    assert match.score == pytest.approx(float(own.scores.max()))


def test_evidence_can_choose_instead(sam):
    seeker = finder(sam, choose="evidence")
    match = seeker.find(seeker.encode([IMAGE]), REFERENCE)
    assert match.score == pytest.approx(score_from_evidence(match.evidence))
    published = finder(sam)
    other = published.find(published.encode([IMAGE]), REFERENCE)
    assert match.score >= score_from_evidence(other.evidence)
    assert other.score >= match.evidence["model"]


def test_nothing_is_absent_without_a_calibration(sam):
    assert finder(sam).calibration is None
    assert finder(sam).threshold == 0
    calibration = Calibration("sam", {"colors": 1.0}, -9.0, 0.5)
    seeker = finder(PerSam(sam), calibration=calibration)
    match = seeker.find(seeker.encode([IMAGE]), REFERENCE)
    assert match.score == pytest.approx(calibration.probability(match.evidence))
    assert match.score < seeker.threshold


def test_the_explanation_is_persams_confidence_and_its_two_points(sam):
    seeker = finder(sam)
    features = seeker.encode([IMAGE])
    confidence, (high, low) = seeker.explain(features, REFERENCE)
    stages = seeker.persam.stages(features, [REFERENCE])
    assert np.array_equal(confidence, stages.confidence)
    assert (high, low) == stages.clicks
    assert (high.positive, low.positive) == (True, False)
    assert confidence[int(high.y), int(high.x)] == confidence.max()
    assert confidence[int(low.y), int(low.x)] == confidence.min()


def test_a_mask_of_255_counts_cells_that_are_half_covered(sam):
    cells = [finder(sam, mask_value=value).persam for value in (128, 255)]
    features = sam.encode([IMAGE])
    strict, half = (len(persam._covered(features, MASK)) for persam in cells)
    assert half > strict
