"""Motion: where pixels were in the frame before, and a mask carried along."""

import cv2
import numpy as np

from segue.core.frame import Frame
from segue.oneshot.motion import Motion, grey


def texture(seed=0, size=(120, 160)):
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


def test_a_mask_is_carried_along():
    before = texture()
    mask = np.zeros((120, 160), np.float32)
    mask[40:80, 50:100] = 1
    motion = Motion(grey(np.roll(before, (3, 5), (0, 1))), grey(before))
    view = Frame.resize((120, 160), (60, 80))
    moved, trust = motion.warp(mask, view, (60, 80))
    expected = view.resample(np.roll(mask, (3, 5), (0, 1))) > 0.5
    assert ((moved > 0.5) & expected).sum() / ((moved > 0.5) | expected).sum() > 0.9
    assert np.median(trust) > 0.9
    assert np.allclose(motion.box(mask), (55, 43, 105, 83), atol=2)


def test_another_picture_is_not_trusted():
    motion = Motion(grey(texture(1)), grey(texture(2)))
    assert np.median(motion.trust) < 0.6


def test_frames_of_a_few_pixels_stand_still():
    assert not Motion(np.zeros((4, 9), np.uint8), np.full((4, 9), 9, np.uint8)).flow.any()


def test_nothing_has_no_box():
    frame = grey(texture())
    assert Motion(frame, frame).box(np.zeros((120, 160), np.float32)) is None
