"""Every refiner sharpens a rough mask of an object that its colours show, and leaves certainty alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from segue.core.errors import UnknownName
from segue.core.types import Click, Image, Mask, Probability
from segue.metrics.overlap import iou
from segue.models.refiners import REFINERS, Refined, Refiner
from segue.models.registry import MODELS
from segue.session.load import build
from segue.session.session import Session


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


IMAGE = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
IMAGE[10:30, 10:40] //= 8


@pytest.mark.parametrize("name", REFINERS)
def test_the_answer_is_the_refined_answer_and_the_memory_the_models_own(name: str) -> None:
    torch.manual_seed(0)
    bare = build("nano", MODELS["nano"].tiny).eval()
    plain, refined = Session(bare, IMAGE), Session(Refined(bare, name), IMAGE)
    for click in (Click(20, 20), Click(50, 5, positive=False)):
        plain.add(click)
        refined.add(click)
    assert plain.probability is not None
    wanted = REFINERS.load(name)(IMAGE, plain.probability)
    np.testing.assert_allclose(refined.probability, wanted.clip(1e-6, 1 - 1e-6), atol=1e-4)
    refined.undo()
    assert len(refined.prompts) == 1


def test_an_unknown_refiner_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'pamr'"):
        Refined(build("nano", MODELS["nano"].tiny), "parm")
