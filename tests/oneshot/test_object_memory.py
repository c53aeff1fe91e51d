"""What a tracker remembers: patches vote where they look alike, key frames are never forgotten."""

import numpy as np
import pytest

from segue.core.frame import Frame
from segue.core.types import Features
from segue.oneshot.finder import PATCHES
from segue.oneshot.matching import unit
from segue.oneshot.object_memory import DISTINCT, ObjectMemory, Place, remembered

SIZE = (64, 96)
VIEW = Frame.resize(SIZE, SIZE)


def seen(seed, mask):
    """Features on a grid of 4 x 6 cells, every cell of its own look, and the mask's memory."""
    patches = unit(np.random.default_rng(seed).standard_normal((1, 32, 4, 6)))
    features, probability = Features({PATCHES: patches}, (VIEW,)), mask.astype(np.float32)
    return features, remembered(features, probability, Place.of(probability, VIEW))


@pytest.fixture
def mask():
    mask = np.zeros(SIZE, bool)
    mask[16:48, 32:64] = True
    return mask


def test_place_is_the_centre_and_the_longer_side(mask):
    place = Place.of(mask.astype(np.float32), VIEW)
    assert place.centre == (48, 32)
    assert place.length == 32


def test_the_same_frame_votes_for_its_own_mask(mask):
    features, key = seen(0, mask)
    memory = ObjectMemory()
    memory.add_key(key)
    vote = memory.vote(features, Place.of(mask.astype(np.float32), VIEW))
    expected = mask.reshape(4, 16, 6, 16).mean((1, 3)) > 0.5
    assert np.array_equal(vote.near > 0.5, expected)
    assert np.array_equal(vote.anywhere > 0.5, expected)


def test_what_looks_different_is_kept_and_key_frames_stay(mask):
    memory = ObjectMemory()
    memory.add_key(seen(0, mask)[1])
    memory.add(seen(0, mask)[1], sure=True)
    assert memory.distinct == []
    for seed in range(1, 5):
        memory.add(seen(seed, mask)[1], sure=True)
    memory.add(seen(9, mask)[1], sure=False)
    assert len(memory.distinct) == DISTINCT
    assert len(memory.keys) == 1
