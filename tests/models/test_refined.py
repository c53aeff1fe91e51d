"""A refiner behind a model: the answer changes, the dialogue does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.core.errors import UnknownName
from segue.core.types import Click
from segue.models.refined import REFINERS, Refined
from segue.models.registry import MODELS
from segue.session.load import build
from segue.session.session import Session

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
