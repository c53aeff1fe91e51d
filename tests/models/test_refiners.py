"""Every refiner sharpens a rough mask of an object that its colours show, and leaves certainty alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segue.core.types import Image, Mask, Probability
from segue.metrics.overlap import iou
from segue.models.refined import REFINERS, Refiner


@pytest.fixture
def scene() -> tuple[Image, Mask, Probability]:
    """A bright star-shaped object, noise, and its mask blurred and shifted by a few pixels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128] - np.array([48, 64])[:, None, None]
    target = np.hypot(y, x) < 26 + 6 * np.cos(5 * np.arctan2(y, x))
    image = np.where(target[..., None], (210, 90, 60), (50, 90, 140)) + rng.normal(0, 6, (96, 128, 3))
    rough = ndimage.gaussian_filter(ndimage.shift(target.astype(float), (3, -3), order=0), 4)
    return image.clip(0, 255).astype(np.uint8), target, rough.astype(np.float32)


@pytest.mark.parametrize("name", REFINERS)
def test_it_sharpens_what_the_colours_show(name: str, scene: tuple[Image, Mask, Probability]) -> None:
    image, target, rough = scene
    refine: Refiner = REFINERS.load(name)
    refined = refine(image, rough)
    assert refined.shape == rough.shape
    assert ((refined >= 0) & (refined <= 1 + 1e-5)).all()
    assert iou(refined > 0.5, target) > iou(rough > 0.5, target) + 0.03


@pytest.mark.parametrize("name", REFINERS)
def test_an_empty_answer_stays_empty(name: str, scene: tuple[Image, Mask, Probability]) -> None:
    image, _, rough = scene
    assert not (REFINERS.load(name)(image, 0 * rough) > 0.5).any()
