"""Simulated clicks: where a user would click, drawn on tensors."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from segue.training.click_sampler import (
    CELL,
    boxes_around,
    depth,
    first_clicks,
    next_clicks,
    rough_masks,
    scattered_clicks,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 6, size: int = 48, seed: int = 0) -> Tensor:
    noise = torch.randn(n, 1, size // 8, size // 8, generator=generator(seed))
    return torch.nn.functional.interpolate(noise, (size, size), mode="bilinear") > 0.1


def at(masks: Tensor, clicks: Tensor, stride: int) -> Tensor:
    """The mask's value under each click."""
    column, row = (clicks[:, k].long() // stride for k in (0, 1))
    return masks[torch.arange(len(masks)), 0, row, column]


def test_depth_is_the_exact_distance_transform() -> None:
    region = blobs()[:, 0]
    for mask, found in zip(region, depth(region), strict=True):
        expected = distance_transform_edt(np.pad(mask.numpy(), 1))[1:-1, 1:-1]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_first_clicks_lie_on_their_targets_at_every_stride() -> None:
    for stride in (1, 2, 4, 8):
        targets = blobs()
        for seed in range(5):
            clicks = first_clicks(targets, stride, generator(seed))
            assert (clicks[:, 2] == 1).all()
            assert at(targets, clicks, stride).all()


def test_a_centred_first_click_is_at_the_deepest_point() -> None:
    target = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    target[..., 8:24, 4:28] = True
    x, y, _ = first_clicks(target, CELL, generator(), centred=1.0)[0].tolist()
    assert depth(target[:, 0])[0, int(y) // CELL, int(x) // CELL] == 8


def test_the_next_click_is_in_the_deeper_error_with_its_sign() -> None:
    wanted = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    wanted[..., 4:20, 4:20] = True
    shown = wanted.float()
    shown[0, :, 4:12, 4:20] = 0  # half missing
    shown[1, :, 24:30, 24:30] = 1  # something else shown as well
    ignore_mask = torch.zeros_like(wanted)
    for seed in range(5):
        clicks = next_clicks(shown, wanted, ignore_mask, 2, generator(seed))
        assert clicks[:, 2].tolist() == [1, 0]
        assert at(wanted, clicks, 2).tolist() == [True, False]
        assert at(shown > 0.5, clicks, 2).tolist() == [False, True]


def test_nothing_wrong_or_only_void_wrong_means_no_click() -> None:
    wanted = blobs(2)
    nothing = torch.zeros_like(wanted)
    assert next_clicks(wanted.float(), wanted, nothing, 2, generator())[:, 2].tolist() == [-1, -1]
    assert next_clicks((~wanted).float(), wanted, nothing | True, 2, generator())[:, 2].tolist() == [-1, -1]


def test_scattered_clicks_carry_the_label_of_what_they_hit() -> None:
    targets, ignore_mask = blobs(), torch.zeros(6, 1, 48, 48, dtype=torch.bool)
    clicks = scattered_clicks(targets, ignore_mask, 8, 2, generator())
    assert clicks.shape == (6, 8, 3)
    assert (clicks[:, 0, 2] == 1).all()
    assert {-1.0, 0.0, 1.0} <= set(clicks[..., 2].flatten().tolist())
    for k in range(8):
        used = clicks[:, k, 2] >= 0
        assert (at(targets, clicks[:, k], 2)[used] == (clicks[:, k, 2] == 1)[used]).all()


def test_noisy_boxes_stay_near_the_target() -> None:
    target = torch.zeros(1, 1, 50, 50, dtype=torch.bool)
    target[..., 10:40, 20:40] = True
    box = boxes_around(target, 2, generator(), noise=0.1)[0]
    assert (box - torch.tensor([40.0, 20.0, 80.0, 80.0])).abs().max() <= 6


def test_rough_masks_resemble_their_target_without_being_it() -> None:
    targets = blobs(8, 64)
    rough = rough_masks(targets, generator()) > 0.5
    overlap = (rough & targets).sum() / (rough | targets).sum()
    assert 0.4 < overlap < 0.98
