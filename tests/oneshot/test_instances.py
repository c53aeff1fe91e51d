"""All instances of one example: seven are seven, close twins are two, none is none."""

import numpy as np
import pytest

from segue.annotator.config import SAMPLES
from segue.core.types import Reference
from segue.data.io.image import read_image
from segue.metrics.overlap import iou
from segue.models.sam.model import Sam
from segue.models.sam.registry import tiny_vit_sam
from segue.oneshot.instances import find_instances, halves, shape_likeness
from segue.oneshot.search import finder
from segue.session.load import load
from tests.jobs.scenes import empty, toy
from tests.models.sam.test_model import lively

MANY = 50


@pytest.fixture(scope="module")
def seeker():
    return finder(load("nano", device="cpu"))


@pytest.fixture(scope="module")
def reference():
    return Reference(*toy())


def scene(background, places):
    """``background`` with a toy at every (row, column, scale), and the toys' masks."""
    image, masks = background.copy(), []
    for row, column, scale in places:
        drawn, mask = toy(image.shape[:2], at=(row, column), scale=scale, seed=3)
        image[mask] = drawn[mask]
        masks.append(mask)
    return image, masks


def found_in(seeker, image, reference, most=MANY):
    return find_instances(seeker, seeker.encode([image]), reference, most)


def each_found_once(matches, masks, least=0.75):
    table = np.array([[iou(match.prediction.mask(), mask) for mask in masks] for match in matches])
    return sorted(table.argmax(1)) == list(range(len(masks))) and table.max(1).min() > least


SEVEN = [
    (60, 80, 0.8),
    (70, 300, 1.0),
    (60, 520, 0.7),
    (240, 170, 0.9),
    (260, 420, 0.8),
    (400, 90, 0.7),
    (410, 560, 1.0),
]


@pytest.mark.parametrize("name", [None, "rocket.jpg", "coffee.jpg"])
def test_seven_toys_are_seven(seeker, reference, name):
    background = empty((480, 640), seed=3) if name is None else read_image(SAMPLES / name)
    scale = min(background.shape[0] / 480, background.shape[1] / 640)
    image, masks = scene(background, [(r * scale, c * scale, s * scale) for r, c, s in SEVEN])
    matches = found_in(seeker, image, reference)
    assert len(matches) == 7
    assert each_found_once(matches, masks)
    assert min(match.score for match in matches) >= seeker.threshold


def test_no_more_than_asked_for(seeker, reference):
    image, _ = scene(empty((480, 640), seed=3), SEVEN)
    assert len(found_in(seeker, image, reference, 3)) == 3


def test_close_twins_are_two(seeker, reference):
    image, masks = scene(empty(seed=3), [(120, 100, 70 / 84), (120, 172, 70 / 84)])
    matches = found_in(seeker, image, reference)
    assert len(matches) == 2
    assert each_found_once(matches, masks)


def test_one_is_one_and_none_is_none(seeker, reference):
    image, mask = toy(at=(120, 200), scale=1.3)
    (match,) = found_in(seeker, image, reference)
    assert iou(match.prediction.mask(), mask) > 0.9
    (best,) = found_in(seeker, empty(), reference)
    assert best.score < seeker.threshold


def test_without_a_calibration_the_search_ends_where_likeness_falls(reference):
    seeker = finder(lively(Sam(**tiny_vit_sam("sam"))).eval())
    image, _ = scene(empty(seed=3), [(120, 100, 0.8)])
    matches = found_in(seeker, image, reference)
    likeness = [match.evidence["likeness"] for match in matches]
    assert 1 <= len(matches) < MANY
    assert min(likeness) >= 0.75 * likeness[0]


def test_shapes_are_compared_whatever_their_size_and_turn():
    y, x = np.mgrid[:100, :100]
    disc, small = np.hypot(y - 50, x - 50) < 30, np.hypot(y - 20, x - 70) < 12
    twins = small | (np.hypot(y - 20, x - 46) < 12)
    assert shape_likeness(disc, small) > 0.9
    assert shape_likeness(disc, twins) < 0.75
    assert halves(twins)[0] == pytest.approx((46, 20), abs=1)
    assert halves(twins)[1] == pytest.approx((70, 20), abs=1)
