"""The reference map's rules, as sentences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.models.interformer.reference_map import (
    UNKNOWN,
    common_windows,
    divided,
    region_of_interest,
    shifted,
    unknown_labels,
    with_answer,
    with_clicks,
)


def test_windows_and_shifts_follow_roi_align():
    roi_align = pytest.importorskip("torchvision.ops").roi_align
    regions = [(0, 0, 6, 4), (4, 2, 6, 4), (5, 4, 8, 8)]
    x = torch.randn(3, 2, 8, 8)
    windows = common_windows(regions, (8, 8))
    boxes = torch.tensor([[i, *w] for i, w in enumerate(windows)], dtype=torch.float32)
    part = roi_align(x, boxes, (4, 6), aligned=True)
    offsets = torch.tensor(windows) - torch.tensor([(r[0], r[1], r[0], r[1]) for r in regions])
    relative = torch.cat([torch.arange(3)[:, None], offsets], dim=1).float()
    expected = roi_align(part, relative, (4, 6), aligned=True)
    assert torch.allclose(shifted(part, windows, regions), expected)


def test_windows_have_one_size_and_hold_their_region_inside_the_map():
    regions = [(0, 0, 6, 4), (4, 2, 6, 4), (5, 4, 8, 8)]
    windows = common_windows(regions, (8, 8))
    assert {(right - left, bottom - top) for left, top, right, bottom in windows} == {(6, 4)}
    for (left, top, right, bottom), (x0, y0, x1, y1) in zip(regions, windows, strict=True):
        assert 0 <= x0 <= left < right <= x1 <= 8
        assert 0 <= y0 <= top < bottom <= y1 <= 8


def test_a_window_on_its_own_region_is_not_shifted():
    part = torch.randn(2, 3, 4, 6)
    regions = [(1, 2, 7, 6), (0, 0, 6, 4)]
    assert torch.equal(shifted(part, regions, regions), part)


def test_division_keeps_the_order_of_the_sides():
    assert divided([(32, 64, 96, 160)], 32) == [(1, 2, 3, 5)]
    assert divided(None, 4) is None


point = st.tuples(st.integers(0, 15), st.integers(0, 19), st.booleans())
cells = st.lists(st.integers(0, 4), min_size=12, max_size=12)


@settings(max_examples=50, deadline=None)
@given(cells, st.lists(st.booleans(), min_size=12, max_size=12))
def test_an_answer_never_changes_what_is_definite_and_twice_is_enough(values, mask):
    labels, answer = torch.tensor(values), torch.tensor(mask)
    once = with_answer(labels, answer)
    definite = (labels == 0) | (labels == 4)
    assert torch.equal(once[definite], labels[definite])
    settled = with_answer(once, answer)
    assert torch.equal(with_answer(settled, answer), settled)
    assert torch.equal(settled[~definite] == 3, answer[~definite])


@settings(max_examples=30, deadline=None)
@given(st.lists(point, min_size=1, max_size=4))
def test_the_newest_click_always_holds_its_own_pixel(points):
    labels = unknown_labels((16, 20))
    for y, x, positive in points:
        labels = with_clicks(labels, [(y, x, positive)])
        assert labels[0, 0, y, x] == (4 if positive else 0)


def test_no_click_changes_nothing():
    labels = torch.randint(0, 5, (1, 1, 4, 4))
    assert with_clicks(labels, []) is labels


def test_rings_only_suggest():
    labels = unknown_labels((20, 20))
    labels[..., 0:3, :] = 1
    drawn = with_clicks(labels, [(8, 8, True)], inner=2, outer=6)[0, 0]
    assert drawn[8, 8] == 4
    assert drawn[8, 12] == 3
    assert drawn[2, 8] == UNKNOWN  # possibly background, contradicted
    assert drawn[0, 0] == 1


def test_the_region_is_whole_cells_and_holds_everything_definite():
    labels = with_clicks(unknown_labels((256, 320)), [(100, 200, True), (5, 5, False)])[0, 0]
    left, top, right, bottom = region_of_interest(labels, torch.zeros(256, 320, dtype=torch.bool))
    assert (left, top, right % 32, bottom % 32) == (0, 0, 0, 0)
    assert right >= 206
    assert bottom >= 106
