"""The tracker: several objects in one video, lost, found again and corrected."""

import numpy as np
import pytest

import segue
from segue.core.errors import InputError
from segue.oneshot.search import finder
from segue.oneshot.tracker import Tracker
from tests.jobs.scenes import empty, toy

SIZE = (160, 240)


@pytest.fixture(scope="module")
def seeker():
    return finder(segue.load("nano"))


def iou(answer, mask):
    inside = answer.probability > 0.5
    return (inside & mask).sum() / (inside | mask).sum()


def test_a_small_object_is_followed_at_its_own_resolution(seeker):
    image, mask = toy(SIZE, at=(60, 60), scale=0.3)
    tracker = Tracker(seeker, image, {1: mask})
    for i in range(1, 6):
        image, mask = toy(SIZE, at=(60 + 2 * i, 60 + 7 * i), scale=0.3)
        answer = tracker.step(image)[1]
    assert iou(answer, mask) > 0.8
    assert answer.score > 0.6


def test_two_alike_objects_keep_their_labels(seeker):
    def scene(i):
        image, left = toy(SIZE, at=(80, 60 + 2 * i), scale=0.7)
        other, right = toy(SIZE, at=(80, 180 - 2 * i), scale=0.7)
        return np.where(right[..., None], other, image), {1: left, 2: right}

    tracker = Tracker(seeker, *scene(0))
    for i in range(1, 6):
        image, masks = scene(i)
        answers = tracker.step(image)
    assert {label: iou(answers[label], mask) > 0.8 for label, mask in masks.items()} == {1: True, 2: True}


def test_lost_then_found_again_elsewhere(seeker):
    image, mask = toy(SIZE, at=(80, 60), scale=0.8)
    tracker = Tracker(seeker, image, {1: mask})
    gone = tracker.step(empty(SIZE))[1]
    assert gone.score == 0
    assert not gone.probability.any()
    image, mask = toy(SIZE, at=(90, 180), scale=0.8)
    back = tracker.step(image)[1]
    assert back.again
    assert iou(back, mask) > 0.8


def test_a_correction_is_followed_from_then_on(seeker):
    image, mask = toy(SIZE, at=(80, 60), scale=0.8)
    tracker = Tracker(seeker, image, {1: np.roll(mask, 90, 1)})  # the background beside it
    tracker.step(image)
    tracker.correct(1, mask)
    image, mask = toy(SIZE, at=(82, 66), scale=0.8)
    assert iou(tracker.step(image)[1], mask) > 0.8


def test_marked_gone_it_stays_away_until_it_is_back(seeker):
    image, mask = toy(SIZE, at=(80, 60), scale=0.8)
    tracker = Tracker(seeker, image, {1: mask})
    tracker.correct(1, np.zeros(SIZE, bool))
    assert not tracker.step(empty(SIZE))[1].probability.any()
    assert iou(tracker.step(image)[1], mask) > 0.8


def test_frames_of_another_size_and_empty_masks_are_refused(seeker):
    image, mask = toy(SIZE)
    with pytest.raises(InputError, match="as the first"):
        Tracker(seeker, image, {1: mask}).step(image[:100])
    with pytest.raises(InputError, match="an empty mask"):
        Tracker(seeker, image, {1: np.zeros(SIZE, bool)})
