import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion

from segue.core.errors import InputError
from segue.metrics.boundary import band_width, boundary_band, boundary_iou, bounding_slices


def band_by_repeated_erosion(mask, width):
    eroded = binary_erosion(np.pad(mask, 1), np.ones((3, 3)), iterations=width)[1:-1, 1:-1]
    return mask & ~eroded


@settings(max_examples=60)
@given(arrays(np.bool_, (14, 17), elements=st.sampled_from([True, True, True, False])), st.integers(1, 5))
def test_boundary_band_is_the_mask_less_its_erosions(mask, width):
    assert (boundary_band(mask, width) == band_by_repeated_erosion(mask, width)).all()


@settings(max_examples=60)
@given(arrays(np.bool_, (2, 30, 41)), st.sampled_from([0.02, 0.05, 0.1]))
def test_boundary_iou_matches_oracle(masks, dilation):
    width = max(1, round(dilation * np.sqrt(30**2 + 41**2)))
    a, b = (band_by_repeated_erosion(m, width) for m in masks)
    expected = (a & b).sum() / (a | b).sum() if (a | b).any() else math.nan
    assert boundary_iou(*masks, dilation=dilation) == pytest.approx(expected, nan_ok=True)


def test_a_prediction_that_is_right_outside_the_void_scores_one():
    target = np.zeros((60, 60), bool)
    target[15:45, 15:45] = True
    ignore_mask = np.zeros_like(target)
    ignore_mask[10:50, 10:50] = True
    ignore_mask[18:42, 18:42] = False
    sloppy = target.copy()
    sloppy[12:30, 12:30] = True
    assert boundary_iou(sloppy, target, ignore_mask) == 1.0
    assert boundary_iou(sloppy, target) < 0.6


def test_width_follows_the_diagonal_and_is_never_zero():
    assert band_width((3000, 4000)) == 100
    assert band_width((2, 2)) == 1
    with pytest.raises(InputError, match="fraction of the diagonal"):
        band_width((10, 10), 0)


def test_bounding_slices_stay_inside():
    mask = np.zeros((5, 6), bool)
    mask[0, 2:4] = True
    assert mask[bounding_slices(mask)].all()
    assert mask[bounding_slices(mask, margin=9)].shape == (5, 6)
