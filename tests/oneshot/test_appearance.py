"""From near: the same object is alike at any size and place, another one is not."""

import numpy as np
import pytest

from segue.core.frame import Frame
from segue.oneshot.appearance import appearance, close_crop, compare, lab
from tests.jobs.scenes import toy


def pixels_as_patches(image, frame):
    """(3, h, w) unit vectors of the colors themselves."""
    small = frame.view(image.astype(np.float32).transpose(2, 0, 1))[:, ::8, ::8] - 128
    return small / np.maximum(np.linalg.norm(small, axis=0), 1e-6)


def seen(image, mask):
    frame = Frame.longest(mask.shape, 384).zoomed(close_crop(mask), (224, 224))
    return appearance(image, mask, [frame], pixels_as_patches)


@pytest.fixture(scope="module")
def example():
    return seen(*toy())


def test_size_and_place_do_not_matter(example):
    evidence = compare(example, seen(*toy(at=(150, 200), scale=0.6, seed=9)), [3])
    assert min(evidence["near_forward"], evidence["near_backward"], evidence["near_likeness"]) > 0.9
    assert evidence["colors"] > 0.5


def test_another_thing_is_less_alike(example):
    image, mask = toy(at=(150, 200), scale=0.6, seed=9)
    same, other = (compare(example, seen(i, mask), [3]) for i in (image, 255 - image))
    assert other["near_likeness"] < same["near_likeness"] - 0.2
    assert other["near_backward"] < same["near_backward"] - 0.1
    assert other["colors"] < 0.2


def test_layers_are_compared_one_by_one(example):
    evidence = compare(example, example, [1, 2])
    assert evidence["near_layer_0"] == pytest.approx(1, abs=1e-5)
    assert evidence["near_layer_1"] == pytest.approx(1, abs=1e-5)
    assert evidence["color_spread"] == 0


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (0, 0, 240, 320), (239, 319, 240, 320), (100, 0, 102, 320), (0, 100, 240, 103)]
)
def test_any_mask_is_seen_whole(box):
    mask = np.zeros((240, 320), bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    x0, y0, x1, y1 = close_crop(mask)
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert len(seen(toy()[0], mask).patches) > 0


def test_lightness_and_color_axes():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 255
    assert lab(image, image[..., 0] > 0).tolist() == [[255, 128, 128]] * 8
