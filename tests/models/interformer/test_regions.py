"""Windows and shifts of batched regions, by hand and against torchvision's RoIAlign where it is installed."""

import pytest
import torch

from segue.models.interformer.regions import common_windows, divided, shifted


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
