"""Scale weights: training finds the scale that is meant."""

import pytest
import torch

from segue.core.errors import InputError
from segue.models.sam.persam_f import fit_scale_weights
from segue.nn.losses import persam_dice, persam_focal


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
