"""The losses of text-prompted training against their formulas, and the published double sigmoid by name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segue.metrics.overlap import dice as dice_metric
from segue.nn.losses import dice, dice_cross_entropy, double_sigmoid_dice_cross_entropy


def test_for_certain_answers_it_is_one_minus_the_dice_metric() -> None:
    torch.manual_seed(0)
    answers, target = (torch.rand(3, 1, 8, 8) > 0.5 for _ in range(2))
    wanted = np.mean([1 - dice_metric(a[0].numpy(), b[0].numpy()) for a, b in zip(answers, target, strict=True)])
    logits = torch.where(answers, 60.0, -60.0)
    assert dice(logits.sigmoid(), target.float()).item() == pytest.approx(wanted, abs=1e-5)


def test_the_sum_is_equation_two() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).float()
    wanted = 1.5 * dice(logits.sigmoid(), target) + F.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(dice_cross_entropy(logits, target), wanted)


def test_the_published_form_cannot_reach_zero() -> None:
    target = torch.tensor([[[[1.0, 0.0]]]])
    certain = torch.tensor([[[[90.0, -90.0]]]])
    floor = (math.log1p(math.exp(-1)) + math.log(2)) / 2
    assert dice_cross_entropy(certain, target).item() == pytest.approx(0, abs=1e-4)
    assert double_sigmoid_dice_cross_entropy(certain, target).item() == pytest.approx(floor, abs=1e-4)


def test_an_empty_target_answered_empty_costs_nothing() -> None:
    assert dice(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == pytest.approx(0, abs=1e-6)
