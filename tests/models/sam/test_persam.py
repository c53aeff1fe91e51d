"""PerSAM as a model: references, corrections, ablations. Exactness is in tests/parity."""

import numpy as np
import pytest
import torch

from segue.core.errors import InputError
from segue.core.types import Click, Reference
from segue.models.sam.model import Sam
from segue.models.sam.persam import TABLE_4, PerSam, enclosing_box, personalized
from segue.models.sam.registry import tiny_vit_sam
from segue.models.sam.scale_fit import fit_scale_weights
from segue.nn.losses import persam_dice, persam_focal
from segue.session.session import Session
from tests.fakes import ColourModel
from tests.models.sam.test_model import lively


def scales():
    """A part, the object, and everything, as confident logits."""
    target = torch.zeros(40, 50, dtype=torch.bool)
    target[10:30, 10:40] = True
    part = torch.zeros_like(target)
    part[15:20, 15:20] = True
    return [torch.where(m, 6.0, -6.0) for m in (part, target, torch.ones_like(target))], target


@pytest.mark.parametrize("right", [0, 1, 2])
def test_the_scale_of_the_reference_gets_the_largest_weight(right):
    (part, whole, everything), target = scales()
    order = [part, everything]
    order.insert(right, whole)
    fit = fit_scale_weights(torch.stack(order), target, epochs=300, rate=1e-2)
    assert int(fit.weights.argmax()) == right
    assert float(fit.weights.sum()) == pytest.approx(1, abs=1e-6)
    assert fit.losses[-1].sum() < fit.losses[0].sum()


def test_it_trains_inside_a_callers_inference_mode():
    (part, whole, everything), target = scales()
    with torch.inference_mode():
        fit = fit_scale_weights(torch.stack([part, whole, everything]) + 0, target, epochs=3)
    assert fit.history.shape == (3, 2)


def test_losses_at_their_ends():
    target = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    sure = torch.where(target > 0, 20.0, -20.0)
    assert float(persam_dice(sure, target)) == pytest.approx(0, abs=1e-6)
    assert float(persam_focal(sure, target)) == pytest.approx(0, abs=1e-6)
    assert float(persam_dice(-sure, target)) == pytest.approx(1 - 1 / 5, abs=1e-6)


def test_two_scales_are_refused():
    with pytest.raises(InputError, match="three scales"):
        fit_scale_weights(torch.zeros(2, 4, 4), torch.ones(4, 4, dtype=torch.bool))


RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 255, (48, 64, 3), dtype=np.uint8)
MASK = np.zeros((48, 64), bool)
MASK[8:36, 10:44] = True
REFERENCE = Reference(IMAGE, MASK)


@pytest.fixture(scope="module")
def sam():
    return lively(Sam(**tiny_vit_sam("sam")))


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def test_most_similar_and_least_similar_pixels_become_the_clicks(sam):
    model = PerSam(sam)
    stages = model.stages(model.encode([IMAGE]), [REFERENCE])
    yes, no = stages.clicks
    assert (yes.positive, no.positive) == (True, False)
    assert stages.confidence[int(yes.y), int(yes.x)] == stages.confidence.max()
    assert stages.confidence[int(no.y), int(no.x)] == stages.confidence.min()


def test_table_4_adds_one_component_a_row(sam):
    seen = set()
    for name, parts in TABLE_4.items():
        model = PerSam(sam, **vars(parts), epochs=5)
        stages = model.stages(model.encode([IMAGE]), [REFERENCE])
        assert len(stages.clicks) == (2 if parts.negative else 1), name
        assert len(stages.steps) == (3 if parts.refine else 1), name
        assert (stages.guidance.attention is None) is not parts.attention, name
        assert (stages.guidance.embedding is None) is not parts.semantic, name
        seen.add(tuple(stages.steps[0].logits.flatten()[::97].tolist()))
    assert len(seen) == len(TABLE_4) - 1  # refinement alone leaves the first step as it was


def test_a_reference_is_encoded_once(sam, monkeypatch):
    model = PerSam(sam)
    features = model.encode([IMAGE])
    model.decode(features, [REFERENCE])
    monkeypatch.setattr(model.sam, "encode", lambda *_: pytest.fail("encoded again"))
    model.decode(features, [Reference(IMAGE.copy(), MASK.copy())])


def test_an_object_smaller_than_a_cell_still_has_a_target(sam):
    speck = np.zeros_like(MASK)
    speck[20, 30] = True
    model = PerSam(sam)
    assert model.decode(model.encode([IMAGE]), [Reference(IMAGE, speck)]).scores.shape == (1, 3)


def test_clicks_correct_what_the_reference_found(sam):
    session = Session(PerSam(sam).eval(), IMAGE)
    found = session.add(REFERENCE)
    corrected = session.add(Click(5, 5, positive=False))
    assert found.shape == corrected.shape
    assert np.array_equal(session.undo(), found)


def test_persam_f_learns_three_weights_that_sum_to_one(sam):
    model = PerSam(sam, **vars(TABLE_4["+ scale tuning"]), epochs=10)
    weights = model.target([REFERENCE]).weights
    assert weights.shape == (3,)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5)


def test_the_box_ends_on_the_last_pixel(sam):
    model = PerSam(sam)
    prediction = model.stages(model.encode([IMAGE]), [REFERENCE]).steps[0]
    low = np.full_like(prediction.logits, -5.0)
    low[..., 8:24, 16:40] = 5.0
    box = enclosing_box(type(prediction)(low, prediction.scores, {}, prediction.frame))
    assert (box.x0, box.y0, box.x1, box.y1) == (16, 8, 39, 23)
    assert enclosing_box(type(prediction)(low * 0 - 1, prediction.scores, {}, prediction.frame)) is None


def test_only_a_sam_can_be_a_persam():
    with pytest.raises(InputError, match="SAM family"):
        personalized(ColourModel())
