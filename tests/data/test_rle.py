import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as oracle

from segue.core.errors import DataError
from segue.data.rle import Rle, flat_of, overlap, runs_of, union

from .masks import masks


@settings(max_examples=150)
@given(masks())
def test_run_lengths_are_those_of_pycocotools_and_give_the_mask_back(mask):
    rle, theirs = Rle.from_mask(mask), oracle.encode(np.asfortranarray(mask, np.uint8))
    assert rle.text == theirs["counts"].decode()
    assert (rle.mask() == mask).all()
    assert rle.area == oracle.area(theirs)
    x0, y0, x1, y1 = rle.box
    assert [x0, y0, x1 - x0, y1 - y0] == oracle.toBbox(theirs).tolist()
    for counts in (rle.text, rle.text.encode(), rle.runs.tolist()):
        assert Rle.from_coco({"size": list(mask.shape), "counts": counts}) == rle


@given(masks(), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_a_crop_knows_its_place(mask, left, top, right, bottom):
    whole = np.pad(mask, ((top, bottom), (left, right)))
    rle = Rle.from_crop(mask, left, top, whole.shape)
    assert (rle.mask() == whole).all()
    crop, x, y = rle.crop()
    assert Rle.from_crop(crop, x, y, whole.shape) == rle


@given(st.data(), st.integers(1, 9), st.integers(1, 9))
def test_union_and_overlap_are_those_of_the_pixels(data, height, width):
    a, b = (data.draw(masks(size=(height, width))) for _ in range(2))
    assert (union([Rle.from_mask(a), Rle.from_mask(b)]).mask() == (a | b)).all()
    either = int((a | b).sum())
    assert overlap(Rle.from_mask(a), Rle.from_mask(b)) == pytest.approx(int((a & b).sum()) / either if either else 1)


def test_masks_of_gigapixel_images_stay_small():
    side = 200_000
    rle = Rle.from_crop(np.ones((3, 3), bool), side - 3, side - 3, (side, side))
    assert Rle.from_coco({"size": [side, side], "counts": rle.text}) == rle
    assert rle.box == (side - 3, side - 3, side, side)
    assert rle.crop()[0].shape == (3, 3)


def test_equality_and_hash_are_of_the_mask_not_of_the_spelling():
    a, b = Rle((1, 4), np.array([0, 2, 2])), Rle((1, 4), np.array([0, 1, 0, 1, 2, 0]))
    assert a == b
    assert hash(a) == hash(b)
    assert a != Rle((4, 1), np.array([0, 2, 2]))


@pytest.mark.parametrize(
    "damaged",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [6, -2]},
        {"size": [2, 2], "counts": "1P"},
        {"size": [2, 2], "counts": "ü"},
        {"size": [2], "counts": "13"},
        {"counts": "13"},
        [[0, 0, 1, 1]],
        {"size": [2, 2], "counts": "o" * 40},
        {"size": [2, 2], "counts": ""},
    ],
)
def test_damaged_counts_are_refused_in_one_line(damaged):
    with pytest.raises(DataError) as caught:
        Rle.from_coco(damaged)
    assert "\n" not in str(caught.value)


def test_a_crop_outside_the_image_is_refused():
    with pytest.raises(DataError, match="inside the image"):
        Rle.from_crop(np.ones((2, 2), bool), 3, 0, (4, 4))


@given(masks())
def test_flat_runs_give_the_sequence_back(mask):
    flat = mask.reshape(-1)
    assert (flat_of(runs_of(flat), flat.size) == flat).all()
    with pytest.raises(DataError):
        flat_of(runs_of(flat), flat.size + 1)
