"""Scores by class, counted as PerSeg's official script counts."""

import numpy as np
import pytest

from segue.evaluation.class_scores import ClassScores


def test_sums_are_divided_once_per_class():
    """A large easy image weighs more than a small hard one, unlike in a mean of ratios."""
    big, small = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    big[:30, :30], small[:2, :2] = True, True
    scores = ClassScores()
    for name, mask, target in (("a", big, big), ("a", np.roll(small, 10, 0), small), ("b", small, small)):
        scores.add(name, mask, target)
    counted, means = scores.per_class(), scores.means()
    assert counted["a"].iou == pytest.approx(100 * 900 / 908, abs=0.01)
    assert means["miou"] == pytest.approx((100 * 900 / 908 + 100) / 2, abs=0.01)
    assert counted["a"].accuracy == pytest.approx(100 * 900 / 904, abs=0.01)
    assert counted["b"].boundary_iou == 100
