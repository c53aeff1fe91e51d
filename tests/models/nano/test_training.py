"""Starts of nano's encoder: files of two kinds, and those that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segue.core.errors import CheckpointError
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.training import start_backbone


def test_a_backbone_that_was_pretrained_here_comes_back(tmp_path: Path) -> None:
    before, after = MobileNetV2(0.25), MobileNetV2(0.25)
    save_file(before.state_dict(), tmp_path / "backbone.safetensors")
    start_backbone(after, tmp_path / "backbone.safetensors")
    assert all(torch.equal(v, after.state_dict()[k]) for k, v in before.state_dict().items())


def test_a_start_of_another_kind_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\.npz"):
        start_backbone(MobileNetV2(0.25), tmp_path / "net.param")
