import numpy as np
import pytest

from segue.core.errors import ImageError, InputError
from segue.core.types import NO_MEMORY, Click, Prediction, Reference
from segue.integrations.napari.stack import Stack, deepest, painted

from ...fakes import ColourModel


def cells(depth=5):
    """A 16-bit stack with a bright square that wanders to the right, and another object below."""
    data = np.full((depth, 32, 48), 400, np.uint16)
    for z in range(depth):
        data[z, 6:16, 8 + z : 20 + z] = 3000
        data[z, 24:28, 4:10] = 1500
    return data


def test_clicks_on_a_slice_give_its_mask_and_undo_is_exact():
    stack = Stack(ColourModel(), cells())
    one = stack.prompt((2,), [Click(15, 10)])
    assert one[6:16, 10:22].mean() > 0.9
    assert one.mean() < 0.2
    two = stack.prompt((2,), [Click(15, 10), Click(6, 26)])
    assert two.sum() > one.sum()
    assert stack.undo() == 1
    assert (stack.prompt((2,), [Click(15, 10)]) == one).all()


def test_a_list_that_is_no_continuation_starts_again():
    stack = Stack(ColourModel(), cells())
    stack.prompt((0,), [Click(12, 10), Click(6, 26)])
    assert (stack.prompt((0,), [Click(6, 26)]) == Stack(ColourModel(), cells()).prompt((0,), [Click(6, 26)])).all()
    assert not stack.prompt((0,), []).any()


def test_each_slice_is_encoded_once():
    calls = []

    class Counting(ColourModel):
        def encode(self, images, frames=None):
            calls.append(1)
            return super().encode(images, frames)

    stack = Stack(Counting(), cells())
    for z in (0, 1, 0, 1):
        stack.prompt((z,), [Click(12, 10)])
        stack.finish()
    assert len(calls) == 2
    assert stack.has((1,))
    assert not stack.has((2,))


def test_the_object_is_carried_through_the_stack():
    data = cells()
    stack = Stack(ColourModel(), data)
    found = dict(stack.others((2,), stack.prompt((2,), [Click(15, 10)])))
    assert sorted(found) == [(0,), (1,), (3,), (4,)]
    for (z,), mask in found.items():
        target = data[z] == 3000
        assert (mask & target).sum() / (mask | target).sum() > 0.8


def test_a_model_that_takes_examples_gets_one():
    seen = []

    class OneShot(ColourModel):
        accepts = frozenset({Click, Reference})

        def decode(self, features, prompts, memory=None):
            if isinstance(prompts[0], Reference):
                seen.append(prompts[0])
                logits = np.ones_like(features.maps["pixels"][:, :1])
                return Prediction(logits, np.ones((1, 1), np.float32), NO_MEMORY, features.frame)
            return super().decode(features, prompts, memory)

    stack = Stack(OneShot(), cells(3))
    mask = stack.prompt((1,), [Click(15, 10)])
    found = dict(stack.others((1,), mask))
    assert sorted(found) == [(0,), (2,)]
    assert len({reference.digest for reference in seen}) == 1
    assert (seen[0].mask == mask).all()


def test_films_of_stacks_and_colour_images_have_their_slices():
    film = Stack(ColourModel(), np.zeros((2, 3, 8, 9), np.uint8))
    assert (film.leading, film.size) == ((2, 3), (8, 9))
    photo = Stack(ColourModel(), np.zeros((8, 9, 4), np.uint8), rgb=True)
    assert (photo.leading, photo.size, photo.image(()).shape) == ((), (8, 9), (8, 9, 3))
    with pytest.raises(ImageError):
        Stack(ColourModel(), np.zeros(4, np.uint8))
    with pytest.raises(InputError, match="single image"):
        list(photo.others((), np.ones((8, 9), bool)))
    with pytest.raises(InputError, match="no object"):
        list(film.others((0, 0), np.zeros((8, 9), bool)))


def test_labels_of_others_are_preserved_only_when_asked():
    base, mask = np.array([[1, 2, 0]]), np.array([[False, True, True]])
    assert painted(base, mask, 1, preserve=True).tolist() == [[0, 2, 1]]
    assert painted(base, mask, 1, preserve=False).tolist() == [[0, 1, 1]]


def test_the_deepest_click_lies_inside_even_at_the_border():
    mask = np.zeros((9, 9), bool)
    mask[0:5, 0:9] = True
    click = deepest(mask)
    assert mask[int(click.y), int(click.x)]
    assert click.y == 2
