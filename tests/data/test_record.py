from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.core.errors import DataError
from segue.data.formats.base import from_labels, label_map
from segue.data.record import AnnotatedImage, Annotation, Sample
from segue.data.rle import Rle

LABELS = arrays(np.int32, (5, 7), elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(LABELS)
def test_label_maps_and_objects_are_one(labels):
    objects, ignored = from_labels(labels, "photo", ignore_values=(255,))
    again, _ = from_labels(label_map(AnnotatedImage("photo", (5, 7), objects), range(1, 255))[0], "photo")
    assert [a.rle for a in again] == [a.rle for a in objects]
    assert len(objects) == len(set(np.unique(labels)) - {0, 255})
    assert (ignored is not None) == (255 in labels)


def test_higher_layers_lie_on_top_whatever_the_order():
    whole, part = Rle((1, 3), np.array([0, 3])), Rle((1, 3), np.array([0, 1, 2]))
    image = AnnotatedImage("a", (1, 3), (Annotation("part", part, "p", layer=2), Annotation("whole", whole, "w")))
    labels, losses = label_map(image, [1, 2])
    assert labels.tolist() == [[1, 2, 2]]
    assert [(loss.object, loss.iou) for loss in losses] == [("w", pytest.approx(2 / 3))]


@pytest.mark.parametrize("where", ["annotations", "ignore_rle"])
def test_masks_of_another_size_than_the_pixels_are_refused(where):
    other = Rle.empty((6, 4))
    wrong = {"annotations": (Annotation("", other),)} if where == "annotations" else {"ignore_rle": other}
    image = replace(AnnotatedImage.from_arrays("x", np.zeros((4, 6, 3), np.uint8)), **wrong)
    with pytest.raises(DataError, match="4 x 6 pixels for the image 'x'"):
        Sample("x", lambda: image).read()
