"""Tiny data for training: photos of bright blocks, bright disks with masks, and masks with texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segue.core.segmenter import Segmenter
from segue.data.io.image import write_image, write_labels
from segue.models.registry import MODELS
from segue.session.load import build
from segue.training.config import TrainConfig
from segue.training.text_task import TextSample


def write_blocks(root: Path) -> Path:
    """Six photos of two bright blocks each on dark noise."""
    (root / "blocks" / "images").mkdir(parents=True)
    (root / "blocks" / "masks").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        image, labels = rng.integers(0, 60, (64, 80, 3), np.uint8), np.zeros((64, 80), np.uint8)
        for label in (1, 2):
            x, y = (int(rng.integers(2, side - 30)) for side in (80, 64))
            image[y : y + 26, x : x + 26] = rng.integers(150, 255, 3)
            labels[y : y + 26, x : x + 26] = label
        cv2.imwrite(str(root / "blocks" / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "blocks" / "masks" / f"{number}.png"), labels)
    return root


def tiny_config(root: Path, output: Path, model: str = "nano", **changes: Any) -> TrainConfig:
    """A configuration of a few small steps on ``write_blocks``."""
    values: dict[str, Any] = {
        "model": model,
        "config": dict(MODELS[model].tiny),
        "steps": 20,
        "batch": 2,
        "output": output,
        "log_every": 5,
        "seed": 3,
        "device": "cpu",
        "precision": "fp32",
        "data": tiny_data(root),
        "optimizer": {"lr": 2e-3},
        "schedule": {"warmup": 2},
    }
    return TrainConfig.from_fields(**{**values, **changes})


def tiny_data(root: Path, **changes: Any) -> dict[str, Any]:
    """The ``data`` of ``tiny_config``."""
    values = {"root": root, "folders": {"blocks": 1}, "cache": root / "cache", "sizes": [64], "held_out": 0.3}
    return {**values, **changes}


def write_disks(folder: Path, count: int) -> Path:
    """Bright disks on a dark ground, a mask each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    for i in range(count):
        mask = (x - rng.integers(40, 90)) ** 2 + (y - rng.integers(30, 60)) ** 2 < rng.integers(15, 28) ** 2
        image = rng.integers(20, 60, (96, 128, 3)).astype(np.uint8)
        image[mask] += 120
        write_image(folder / "images" / f"disk{i}.png", image)
        write_labels(folder / "masks" / f"disk{i}.png", mask)
    return folder


def small(name: str = "nano") -> Segmenter:
    """The tiny model of a registry row, the same every time."""
    torch.manual_seed(0)
    return build(name, MODELS[name].tiny).eval()


def text_samples(count: int = 4) -> list[TextSample]:
    """Random masks with two texts each."""
    rng = np.random.default_rng(0)
    views = [torch.from_numpy(rng.integers(0, 255, (3, 64, 64), np.uint8)) for _ in range(count)]
    targets = [torch.from_numpy(rng.random((64, 64)) > 0.7) for _ in range(count)]
    pairs = enumerate(zip(views, targets, strict=True))
    return [TextSample(str(i), view, target, ("a disk", "one disk")) for i, (view, target) in pairs]


def states_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts hold the same bits."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
