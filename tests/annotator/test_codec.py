"""The stored form of masks: lossless, small, and safe to read from outside."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.annotator.codec import Packed, pack, unpack
from segue.core.errors import InputError

masks = st.tuples(st.integers(1, 20), st.integers(1, 40)).flatmap(lambda size: arrays(np.bool_, size))


@given(masks)
def test_any_mask_comes_back(mask: np.ndarray) -> None:
    packed = pack(mask)
    assert (unpack(packed, mask.shape) == mask).all()
    assert packed.area == mask.sum()


def test_long_runs_come_back() -> None:
    mask = np.zeros((3000, 2000), bool)
    mask[10:2990, 3:1999] = True
    mask[1500, 1000] = False
    assert (unpack(pack(mask), mask.shape) == mask).all()


def test_a_large_smooth_mask_is_a_few_kilobytes() -> None:
    y, x = np.mgrid[:1080, :1920]
    assert len(pack((x - 900) ** 2 + (y - 500) ** 2 < 400**2).data) < 4000


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (Packed((0, 0, 9, 2), 0, zlib.compress(b"\x12")), "box inside the image"),
        (Packed((-1, 0, 2, 2), 0, zlib.compress(b"\x06")), "box inside the image"),
        (Packed((0, 0, 4, 4), 0, zlib.compress(b"\x05")), "16 pixels"),
        (Packed((0, 0, 4, 4), 0, zlib.compress(b"\x90")), "ends inside a number"),
        (Packed((0, 0, 4, 4), 0, zlib.compress(b"\x80\x80\x80\x80\x80\x80\x01")), "five bytes"),
        (Packed((0, 0, 4, 4), 0, b"not zlib"), "does not inflate"),
        (Packed((0, 0, 4, 4), 0, zlib.compress(b"\x08\x08")[:-3]), "cut off"),
        (Packed((0, 0, 2, 2), 0, zlib.compress(bytes(10_000_000))), "longer than its box"),
    ],
)
def test_bytes_from_outside_are_checked(packed: Packed, words: str) -> None:
    with pytest.raises(InputError, match=words):
        unpack(packed, (4, 4))
