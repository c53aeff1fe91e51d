"""Packing photos and drawing views of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segue.training.packing import Pack, build_pack
from segue.training.view_batches import ViewSampler, pick_objects

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos: a red square on blue, another object beside it, a void strip."""
    (tmp_path / "toys" / "images").mkdir(parents=True)
    (tmp_path / "toys" / "masks").mkdir()
    for number in range(4):
        image, labels = np.full((80, 120, 3), (200, 40, 20), np.uint8), np.zeros((80, 120), np.uint8)
        image[20:60, 30:70] = (20, 30, 220)
        labels[20:60, 30:70], labels[5:25, 80:110], labels[:, 115:] = 1, 2, 255
        cv2.imwrite(str(tmp_path / "toys" / "images" / f"{number}.jpg"), image)
        cv2.imwrite(str(tmp_path / "toys" / "masks" / f"{number}.png"), labels)
    return tmp_path / "toys"


@pytest.fixture
def pack(folder: Path, tmp_path: Path) -> Pack:
    return build_pack([folder], tmp_path / "cache")


def test_labels_of_a_view_lie_on_what_they_label(pack: Pack) -> None:
    sampler = ViewSampler(pack, [0, 1, 2, 3], {"toys": 1.0}, torch.Generator().manual_seed(0))
    views = sampler.draw(16, 64, CPU)
    red = views.labels == 1
    assert red.flatten(1).any(1).sum() > 8
    inner = -torch.nn.functional.max_pool2d(-red[:, None].float(), 5, 1, 2) > 0  # away from blurred edges
    colour = views.pixels.permute(1, 0, 2, 3)[:, inner[:, 0]].mean(1)
    assert colour[0] > 0.7 > 0.3 > colour[2]


def test_views_range_from_close_up_to_the_whole_photo(pack: Pack) -> None:
    sampler = ViewSampler(pack, [0], {"toys": 1.0}, torch.Generator().manual_seed(1))
    shares = (sampler.draw(64, 64, CPU).labels == 1).float().mean((1, 2))
    assert shares.max() > 0.5
    assert shares[shares > 0].min() < 0.2


def test_targets_are_the_objects_of_their_view(pack: Pack) -> None:
    labels = torch.zeros(3, 60, 60, dtype=torch.int32)
    labels[0, :30], labels[0, 40:], labels[1, 10:50, 10:50] = 1, 2, 700
    rows, targets, ignore_mask = pick_objects(labels, 2, 0.0, torch.Generator().manual_seed(0))
    assert rows.tolist() == [0, 0, 1]  # the empty view gives none
    assert torch.equal(targets[0] ^ targets[1], (labels[0] > 0)[None])
    assert not ignore_mask.any()


def test_merged_targets_join_two_objects() -> None:
    labels = torch.zeros(1, 40, 40, dtype=torch.int32)
    labels[0, :15], labels[0, 25:] = 1, 2
    _, targets, _ = pick_objects(labels, 1, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(targets[0, 0], labels[0] > 0)
