import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.core.errors import InputError
from segue.metrics.overlap import dice, iou

TWO_AND_VOID = arrays(np.bool_, (3, 6, 7)).map(tuple)


def pixel_sets(masks):
    return [{tuple(p) for p in np.argwhere(m)} for m in masks]


@given(TWO_AND_VOID)
def test_iou_matches_oracle(masks):
    a, b, ignore_mask = pixel_sets(masks)
    a, b = a - ignore_mask, b - ignore_mask
    expected = len(a & b) / len(a | b) if a | b else math.nan
    assert iou(*masks) == pytest.approx(expected, nan_ok=True)


@given(TWO_AND_VOID)
def test_dice_matches_oracle(masks):
    a, b, ignore_mask = pixel_sets(masks)
    a, b = a - ignore_mask, b - ignore_mask
    expected = 2 * len(a & b) / (len(a) + len(b)) if a | b else 1.0
    assert dice(*masks) == pytest.approx(expected)


@given(arrays(np.bool_, (2, 5, 5)).filter(lambda m: m.any()))
def test_dice_and_iou_tell_the_same_story(masks):
    j = iou(*masks)
    assert dice(*masks) == pytest.approx(2 * j / (1 + j))


@pytest.mark.parametrize(("shape", "kind"), [((3, 4), bool), ((4, 3), np.uint8), ((1, 4, 3), bool)])
def test_masks_of_another_size_or_type_are_refused(shape, kind):
    prediction = np.zeros(shape, kind)
    with pytest.raises(InputError, match="same height and width"):
        iou(prediction, np.zeros((4, 3), bool))


def test_void_of_another_size_is_refused():
    mask = np.ones((4, 3), bool)
    with pytest.raises(InputError):
        iou(mask, mask, ignore_mask=np.zeros((3, 4), bool))


@given(st.floats(0, 1))
def test_two_empty_masks_give_the_value_asked_for(value):
    empty = np.zeros((2, 2), bool)
    assert iou(empty, empty, empty=value) == value
    assert math.isnan(iou(empty, empty))
