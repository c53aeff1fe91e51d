import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation
from skimage.morphology import disk

from segue.metrics.video import contour_accuracy, decay, recall, region_similarity

TWO_AND_VOID = arrays(np.bool_, (3, 12, 15)).map(tuple)


def contour_by_hand(mask):
    height, width = mask.shape
    contour = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            neighbours = {(y, min(x + 1, width - 1)), (min(y + 1, height - 1), x)}
            neighbours.add((min(y + 1, height - 1), min(x + 1, width - 1)))
            contour[y, x] = any(mask[n] != mask[y, x] for n in neighbours)
    return contour


@settings(max_examples=40)
@given(TWO_AND_VOID)
def test_contour_accuracy_matches_oracle(masks):
    prediction, target, ignore_mask = masks
    a, b = contour_by_hand(prediction & ~ignore_mask), contour_by_hand(target & ~ignore_mask)
    radius = 2
    if not a.any() or not b.any():
        expected = float(a.any() == b.any())
    else:
        precision = (a & binary_dilation(b, disk(radius))).sum() / a.sum()
        recall = (b & binary_dilation(a, disk(radius))).sum() / b.sum()
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert contour_accuracy(prediction, target, ignore_mask, tolerance=radius) == pytest.approx(expected)


@given(TWO_AND_VOID)
def test_region_similarity_matches_oracle(masks):
    prediction, target, ignore_mask = (m.ravel().tolist() for m in masks)
    both = sum(p and t for p, t, v in zip(prediction, target, ignore_mask, strict=True) if not v)
    either = sum(p or t for p, t, v in zip(prediction, target, ignore_mask, strict=True) if not v)
    assert region_similarity(*masks) == pytest.approx(both / either if either else 1.0)


def test_tolerance_is_a_share_of_the_diagonal_rounded_up():
    square = np.zeros((300, 400), bool)
    square[50:250, 50:250] = True
    allowed = math.ceil(0.008 * 500)
    assert contour_accuracy(np.roll(square, allowed, axis=1), square) == 1.0
    assert contour_accuracy(np.roll(square, allowed + 1, axis=1), square) < 1.0


def test_decay_is_the_first_quarter_less_the_last_and_recall_counts_above_one_half():
    falling = [1.0] * 5 + [0.8] * 5 + [0.6] * 5 + [0.2] * 5
    # 20 frames: the quarters end at the rounded frames 1, 6, 10 or 11, 15, 20, both ends included
    assert decay(falling) == pytest.approx((5 * 1.0 + 0.8) / 6 - (0.6 + 5 * 0.2) / 6)
    assert decay([0.7] * 9) == 0.0
    assert decay([0.7]) == 0.0
    assert recall([0.5, 0.51, 0.9, 0.0]) == 0.5
