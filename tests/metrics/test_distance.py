import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion, distance_transform_edt

from segue.core.errors import InputError
from segue.metrics.distance import assd, hausdorff, hd95, surface_distances

PAIR = arrays(np.bool_, (2, 9, 11)).filter(lambda m: m[0].any() and m[1].any())


def distances_by_transform(a, b, spacing=(1.0, 1.0)):
    """The textbook way: a distance transform of everything but the other outline, read off along this one."""
    first, second = a ^ binary_erosion(a), b ^ binary_erosion(b)
    return (
        distance_transform_edt(~second, sampling=spacing)[first],
        distance_transform_edt(~first, sampling=spacing)[second],
    )


@settings(max_examples=60)
@given(PAIR)
def test_hausdorff_matches_oracle(masks):
    there, back = distances_by_transform(*masks)
    assert hausdorff(*masks) == pytest.approx(max(there.max(), back.max()))


@settings(max_examples=60)
@given(PAIR)
def test_hd95_matches_oracle(masks):
    there, back = distances_by_transform(*masks)
    directed = max(np.percentile(there, 95), np.percentile(back, 95))
    pooled = np.percentile([*there, *back], 95)
    assert hd95(*masks) == pytest.approx(directed)
    assert hd95(*masks, convention="medpy") == pytest.approx(pooled)


@settings(max_examples=60)
@given(PAIR)
def test_assd_matches_oracle(masks):
    there, back = distances_by_transform(*masks, spacing=(2.0, 0.5))
    assert assd(*masks, spacing=(2.0, 0.5)) == pytest.approx(np.mean([*there, *back]))


def test_conventions_differ_where_one_outline_is_much_longer():
    whole = np.zeros((40, 40), bool)
    whole[5:35, 5:35] = True
    hair = np.zeros_like(whole)
    hair[20, 5:12] = True
    assert hd95(hair, whole) > hd95(hair, whole, convention="medpy")


def test_an_empty_mask_has_no_distance():
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert math.isnan(hd95(empty, full))
    assert math.isnan(assd(full, empty))
    assert hausdorff(empty, full) == math.inf
    assert math.isnan(hausdorff(empty, empty))
    assert [len(d) for d in surface_distances(empty, full)] == [0, 0]


def test_an_unknown_convention_is_refused():
    with pytest.raises(InputError, match="'monai' or 'medpy'"):
        hd95(np.ones((2, 2), bool), np.ones((2, 2), bool), convention="itk")
