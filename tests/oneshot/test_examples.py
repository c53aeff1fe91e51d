"""Several examples of one object, and what is not it."""

import numpy as np
import pytest

from segue.core.types import Reference
from segue.models.nano.model import Nano
from segue.oneshot.examples import Examples, examples_of
from segue.oneshot.finder import Finder
from segue.session.load import load


def square(at, color):
    image = np.full((60, 80, 3), 90, np.uint8)
    image[at : at + 20, at : at + 20] = color
    return Reference(image, (image != 90).any(-1))


@pytest.fixture(scope="module")
def three():
    return [square(at, color) for at, color in ((10, (250, 0, 0)), (20, (0, 250, 0)), (30, (0, 0, 250)))]


def test_every_example_is_in_the_bank(three):
    one, other, _ = three
    finder = Finder(Nano(longest=64, zoom=0)).eval()
    both = finder.bank(Examples(one.image, one.mask, (other,)))
    assert len(both.object) > len(finder.bank(one).object)
    for single in (one, other):  # a bank keeps a sample of its patches
        kept = {row.tobytes() for row in finder.bank(single).object}
        assert sum(row.tobytes() in kept for row in both.object) > len(both.object) / 4


def test_contents_tell_examples_from_negatives(three):
    one, other, third = three
    kinds = [Examples(one.image, one.mask, more, no) for more, no in (((other,), ()), ((), (other,)), ((third,), ()))]
    assert len({kind.digest for kind in kinds} | {one.digest}) == 4
    assert examples_of(kinds[0]) == (one, other)
    assert examples_of(kinds[1]) == (one,)


def test_the_example_most_alike_judges_and_a_negative_denies(three):
    one, other, _ = three
    finder = Finder(load("nano")).eval()
    features = finder.encode([other.image])
    match = finder.find(features, other)
    assert (match.prediction.mask() & other.mask).sum() > 0.9 * (match.prediction.mask() | other.mask).sum()
    assert not finder.calibrated(match, features, Examples(one.image, one.mask, (other,), (one,))).denied
    assert finder.calibrated(match, features, Examples(one.image, one.mask, (), (other,))).denied
