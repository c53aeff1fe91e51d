"""Proposals against annotated objects: ignored pixels count nowhere."""

import numpy as np

from segue.data.record import AnnotatedImage, Annotation
from segue.data.rle import Rle
from segue.evaluation.proposals import overlaps


def test_ignored_pixels_count_neither_for_nor_against():
    target, ignored = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    target[:, :2], ignored[:, 2:4] = True, True
    image = AnnotatedImage.from_arrays("a.png", np.zeros((4, 6, 3), np.uint8), [Annotation.from_mask(target)], ignored)
    wide = np.zeros((4, 6), bool)
    wide[:, :4] = True
    assert overlaps([Rle.from_mask(wide), Rle.from_mask(np.ones((4, 6), bool))], image).tolist() == [[1.0], [0.5]]


def test_objects_without_a_pixel_are_no_targets():
    image = AnnotatedImage("a.png", (2, 2), (Annotation("x", Rle.empty((2, 2))),))
    assert overlaps([Rle.from_mask(np.ones((2, 2), bool))], image).shape == (1, 0)
