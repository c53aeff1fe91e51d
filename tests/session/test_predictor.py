"""SamPredictor's contract, over a SAM and over a model that is none."""

import numpy as np
import pytest

from segue.core.errors import InputError
from segue.models.sam.model import Sam
from segue.models.sam.registry import TINY_HIERA, tiny_vit_sam
from segue.session.load import load
from segue.session.predictor import SamPredictor
from tests.fakes import ColourModel
from tests.models.sam.test_model import lively

IMAGE = np.zeros((40, 60, 3), np.uint8)
IMAGE[10:30, 20:50] = (200, 40, 30)
POINT, LABEL = np.array([[30, 20]]), np.array([1])


@pytest.fixture(scope="module", params=["sam", "sam2"])
def over_sam(request):
    sam = lively(Sam(**(tiny_vit_sam("sam") if request.param == "sam" else TINY_HIERA)))
    predictor = SamPredictor(sam)
    predictor.set_image(IMAGE)
    return predictor


def test_shapes_and_types_over_a_sam(over_sam):
    side = over_sam.model.low_side
    for multimask, count in ((True, 3), (False, 1)):
        masks, scores, low = over_sam.predict(POINT, LABEL, multimask_output=multimask)
        assert (masks.shape, masks.dtype) == ((count, 40, 60), np.bool_)
        assert (scores.shape, scores.dtype) == ((count,), np.float32)
        assert (low.shape, low.dtype) == ((count, side, side), np.float32)


def test_logits_threshold_to_the_masks(over_sam):
    masks, _, low = over_sam.predict(POINT, LABEL)
    logits, _, _ = over_sam.predict(POINT, LABEL, return_logits=True)
    assert np.array_equal(logits > over_sam.mask_threshold, masks)
    again, _, _ = over_sam.predict(POINT, LABEL, mask_input=low[:1], return_logits=True)
    assert not np.allclose(again, logits)


def test_bgr_is_turned_round(over_sam):
    before = over_sam.predict(POINT, LABEL)[2]
    over_sam.set_image(IMAGE[..., ::-1], "BGR")
    assert np.array_equal(over_sam.predict(POINT, LABEL)[2], before)


def test_over_any_model_the_mask_is_right_and_comes_back_as_mask_input():
    predictor = SamPredictor(ColourModel())
    predictor.set_image(IMAGE)
    masks, scores, low = predictor.predict(POINT, LABEL)
    assert masks.shape == (1, 40, 60)
    assert masks[0, 20, 35]
    assert not masks[0, 5, 5]
    assert scores.shape == (1,)
    assert low.shape == (1, 256, 256)
    assert low[0, 85, 150] > 0 > low[0, 20, 20]  # row 20 of 40 is row 85 of the 256-pixel square
    assert predictor.predict(POINT, LABEL, mask_input=low)[0].shape == (1, 40, 60)


@pytest.mark.parametrize("multimask", [True, False])
def test_over_nano_the_best_mask_is_taken_and_fed_back_as_over_a_sam(multimask):
    predictor = SamPredictor(load("nano"))
    predictor.set_image(IMAGE)
    masks, scores, logits = predictor.predict(POINT, LABEL, multimask_output=multimask)
    assert (masks.shape, scores.shape, logits.shape) == ((1, 40, 60), (1,), (1, 256, 256))
    best = int(np.argmax(scores))
    assert masks[best, 20, 30]
    points, labels = np.array([[30, 20], [5, 5]]), np.array([1, 0])
    again, _, _ = predictor.predict(points, labels, mask_input=logits[best][None], multimask_output=multimask)
    assert again[0, 20, 30]
    assert not again[0, 5, 5]


def test_a_batch_answers_like_its_images_one_by_one():
    other = np.ascontiguousarray(IMAGE[:, ::-1])
    predictor = SamPredictor(ColourModel())
    predictor.set_image_batch([IMAGE, other[:30]])
    masks, _, _ = predictor.predict_batch([POINT, POINT], [LABEL, LABEL])
    for image, mask in ((IMAGE, masks[0]), (other[:30], masks[1])):
        alone = SamPredictor(ColourModel())
        alone.set_image(image)
        assert np.array_equal(alone.predict(POINT, LABEL)[0], mask)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"point_coords": POINT}, "as many labels"),
        ({"point_coords": POINT, "point_labels": LABEL, "mask_input": np.zeros((1, 9, 9))}, "mask input"),
        ({"point_coords": np.array([[100, 5]]), "point_labels": LABEL}, "click at"),
    ],
)
def test_wrong_questions_say_what_is_wrong(asked, message):
    predictor = SamPredictor(ColourModel())
    with pytest.raises(InputError, match="set_image"):
        predictor.predict(POINT, LABEL)
    predictor.set_image(IMAGE)
    with pytest.raises(InputError, match=message):
        predictor.predict(**asked)


def over_colours():
    predictor = SamPredictor(ColourModel())
    predictor.set_image(IMAGE)
    return predictor


def test_a_place_filled_with_minus_one_is_not_looked_at(over_sam):
    for predictor in (over_sam, over_colours()):
        padded = predictor.predict(np.array([[30, 20], [5, 5]]), np.array([1, -1]), return_logits=True)
        for array, alone in zip(padded, predictor.predict(POINT, LABEL, return_logits=True), strict=True):
            assert np.array_equal(array, alone)


def test_two_and_three_are_the_corners_of_a_box(over_sam):
    corners = over_sam.predict(np.array([[18, 8], [52, 33]]), np.array([2, 3]))
    box = over_sam.predict(box=np.array([18, 8, 52, 33]))
    for array, alone in zip(corners, box, strict=True):
        assert np.array_equal(array, alone)


def test_several_objects_have_a_mask_each(over_sam):
    boxes = np.array([[18, 8, 52, 33], [0, 0, 9, 9], [3, 20, 40, 39]])
    points, labels = np.array([[[30, 20]], [[4, 4]], [[9, 30]]]), np.ones((3, 1), int)
    for given in ({"box": boxes}, {"box": boxes, "point_coords": points, "point_labels": labels}):
        together = over_sam.predict(**given)
        assert together[0].shape == (3, 3, 40, 60)
        for k in range(3):
            alone = over_sam.predict(**{name: array[k] for name, array in given.items()})
            for array, one in zip(together, alone, strict=True):
                assert np.array_equal(array[k], one)
    one = over_sam.predict(box=boxes[:1])
    assert one[0].shape == (3, 40, 60), "one row is one object"
    assert np.array_equal(one[0], over_sam.predict(box=boxes[0])[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"box": np.zeros((2, 5))}, "a box of shape"),
        ({"box": np.ones((2, 4)), "point_coords": POINT, "point_labels": LABEL}, "as many boxes"),
        ({"box": np.ones((0, 4))}, "as many boxes"),
        ({"point_coords": POINT, "point_labels": np.array([2])}, "the label 2 alone"),
        ({"point_coords": POINT, "point_labels": np.array([4])}, "the label 4"),
        ({"point_coords": POINT, "point_labels": np.array([np.nan])}, "the label nan"),
        ({"point_coords": POINT, "point_labels": np.array([2]), "box": np.array([1, 1, 9, 9])}, "the label 2"),
    ],
)
def test_what_sam_would_not_take_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        over_colours().predict(**given)
