"""Prompts refuse nonsense, and say what they wanted."""

import numpy as np
import pytest

from segue.core.errors import ImageError, InputError, SegueError
from segue.core.types import Box, Click, Reference, Text, check_image, check_mask, check_prompts, digest

NAN = float("nan")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Click(NAN, 1),
        lambda: Click(1, float("inf")),
        lambda: Box(0, 0, NAN, 5),
        lambda: Box(5, 0, 5, 5),
        lambda: Box(0, 9, 5, 5),
        lambda: Text("   "),
        lambda: Reference(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)),
        lambda: Reference(np.zeros((4, 4, 3), np.uint8), np.ones((4, 5), bool)),
    ],
)
def test_a_prompt_that_makes_no_sense_is_refused_as_a_value_error(make: object) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        make()  # type: ignore[operator]
    assert isinstance(caught.value, SegueError)


@pytest.mark.parametrize("prompt", [Click(-1, 0), Click(8, 0), Click(0, 4), Box(8, 0, 9, 1), Box(-5, -5, 0, 0)])
def test_a_prompt_outside_the_image_is_refused(prompt: Click | Box) -> None:
    with pytest.raises(InputError, match="image"):
        check_prompts([prompt], (4, 8), frozenset({Click, Box}))


def test_the_last_pixel_is_inside() -> None:
    check_prompts([Click(7.99, 3.99), Box(-2, -2, 1, 1)], (4, 8), frozenset({Click, Box}))


def test_a_prompt_that_the_model_does_not_take_names_those_it_takes() -> None:
    with pytest.raises(InputError, match="a Text prompt; expected one of: Box, Click"):
        check_prompts([Text("cat")], (4, 8), frozenset({Click, Box}))


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_rgb_image_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        check_image(array)


def test_a_mask_must_be_boolean_and_of_the_images_size() -> None:
    with pytest.raises(InputError, match="uint8"):
        check_mask(np.zeros((4, 4), np.uint8), (4, 4))


def test_references_are_equal_when_their_contents_are() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    mask = np.eye(4, dtype=bool)
    assert Reference(image, mask) == Reference(image.copy(), mask.copy())
    assert len({Reference(image, mask), Reference(image.copy(), mask), Reference(image, ~mask)}) == 2


def test_the_digest_tells_non_contiguous_views_apart_only_by_content() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert digest(image[:, ::2]) == digest(image[:, ::2].copy()) != digest(image[:, 1::2])
