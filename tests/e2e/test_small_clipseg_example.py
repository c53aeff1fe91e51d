"""The example that trains CLIPSeg from nothing: its model speaks its own words and starts with calm logits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from segue.core.types import Text
from segue.data.sample import Instance, Sample, Truth

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("small_clipseg", ROOT / "examples" / "small_clipseg.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_model_answers_in_words_it_learned(example: ModuleType, tmp_path: Path) -> None:
    ids = example.learn_words(["one small polyp", "a foot ulcer"] * 5, tmp_path)
    model = example.small_clipseg(tmp_path, ids, 64).eval()
    tokens, _ = model.tokens(["a polyp"])
    assert tokens.shape[1] == 4  # begin, two whole words, end
    example.calm(model, 64)
    with torch.inference_mode():
        logits = model.decode(model.encode([np.zeros((40, 50, 3), np.uint8)]), [Text("a polyp")]).logits
    assert logits.abs().max() < 20


def test_classes_are_joined_and_specks_left_out(example: ModuleType) -> None:
    large, speck = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    large[:20], speck[30, 30] = True, True
    truth = Truth((Instance("a", large, "cat"), Instance("b", ~large, "cat"), Instance("c", speck, "dog")))
    joined = example.named_classes(Sample("x", lambda: np.zeros((40, 40, 3), np.uint8), lambda: truth)).load_truth()
    assert [(i.name, i.mask.all()) for i in joined.instances] == [("cat", True)]
    assert joined.instances[0].texts[0] == "cat"
