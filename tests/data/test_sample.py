import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.core.errors import DataError
from segue.data.sample import Instance, Sample, Target, labels_of_truth, truth_of_labels

LABELS = arrays(np.int32, (5, 7), elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(LABELS)
def test_label_maps_and_truths_are_one(labels):
    target = truth_of_labels(labels, "photo", ignore_mask=(255,))
    again = truth_of_labels(labels_of_truth(target, labels.shape, "photo"), "photo", ignore_mask=(255,))
    assert [i.mask.tobytes() for i in again.instances] == [i.mask.tobytes() for i in target.instances]
    ids = set(np.unique(labels)) - {0, 255}
    assert len(target.instances) == len(ids)
    assert (target.ignore_mask is not None) == (255 in labels)


def test_a_255th_object_is_not_taken_for_void():
    masks = np.eye(256, dtype=bool)[:255].reshape(255, 16, 16)
    instances = tuple(Instance(str(k), m) for k, m in enumerate(masks))
    ignore_mask = ~masks.any(0)
    with pytest.raises(DataError, match="more than 254"):
        labels_of_truth(Target(instances, ignore_mask), (16, 16), "crowd")
    assert labels_of_truth(Target(instances), (16, 16), "crowd").max() == 255


def test_void_of_another_size_is_refused():
    image = np.zeros((4, 6, 3), np.uint8)
    target = Target((), np.zeros((6, 4), bool))
    with pytest.raises(DataError, match="4 x 6 pixels for the image 'x'"):
        Sample("x", lambda: image, lambda: target).read()
