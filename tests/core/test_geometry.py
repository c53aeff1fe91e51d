"""A mask's box, deepest point and outlines; SciPy is the oracle of what is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial import cKDTree

from segue.core.geometry import (
    deepest_point,
    exact_depths,
    gaussian_blur,
    label_boxes,
    mask_box,
    nearest,
    outlines,
    part_sizes,
)

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))
MASKS = arrays(bool, SIZES)


@given(MASKS)
def test_the_box_is_the_smallest_that_holds_the_mask(mask):
    box = mask_box(mask)
    if box is None:
        assert not mask.any()
        return
    x0, y0, x1, y1 = box
    inside = mask[y0:y1, x0:x1]
    assert inside.sum() == mask.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@given(MASKS)
def test_the_deepest_point_lies_inside(mask):
    x, y, depth = deepest_point(mask)
    assert mask[y, x] or not mask.any()
    assert (depth >= 1) == bool(mask.any())


def test_the_deepest_point_keeps_away_from_the_border_of_the_image():
    assert deepest_point(np.ones((5, 9), bool))[1] == 2


@given(MASKS)
def test_outlines_run_on_the_mask(mask):
    rings = outlines(mask)
    assert bool(len(rings)) == bool(mask.any())
    for ring in rings:
        assert mask[ring[:, 0, 1], ring[:, 0, 0]].all()


@given(MASKS)
def test_exact_depths_are_exact_to_the_last_bit(mask):
    expected = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    assert np.array_equal(exact_depths(mask), expected)


def test_exact_depths_of_a_large_region():
    mask = np.ones((900, 1300), bool)
    mask[::171, ::307] = False
    expected = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    assert np.array_equal(exact_depths(mask), expected)


@pytest.mark.parametrize("spacing", [(1, 1), (0.5, 1.25), (0.7, 3.1)])
def test_nearest_agrees_with_a_tree_in_float64(spacing):
    rng = np.random.default_rng(3)
    points, others = (rng.integers(0, 4000, (n, 2)) * np.asarray(spacing) for n in (500, 300))
    distances, which = nearest(points, others)
    expected, _ = cKDTree(others).query(points)
    np.testing.assert_allclose(distances, expected, rtol=0 if spacing == (1, 1) else 1e-6)
    np.testing.assert_allclose(distances, np.hypot(*(points - others[which]).T), rtol=1e-12)
    assert nearest(points[:0], others)[0].size == 0


@given(arrays(np.int32, SIZES, elements=st.integers(0, 4)))
def test_label_boxes_are_those_of_every_label(labels):
    boxes = {}
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is not None:
            boxes[label] = (place[1].start, place[0].start, place[1].stop, place[0].stop)
    assert label_boxes(labels) == boxes


@given(MASKS)
def test_part_sizes_count_every_pixel_once(mask):
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert sorted(part_sizes(mask)) == sorted(np.bincount(labels.ravel(), minlength=count + 1)[1:])


@pytest.mark.parametrize(("shape", "sigma"), [((40, 31), 3.0), ((5, 60), 3.0), ((30, 20, 3), 0.7)])
def test_the_blur_is_a_gaussian_cut_off_at_four_sigma(shape, sigma):
    values = np.random.default_rng(1).random(shape)
    expected = ndimage.gaussian_filter(values, (sigma, sigma, 0)[: len(shape)])
    np.testing.assert_allclose(gaussian_blur(values, sigma), expected, atol=1e-12)
