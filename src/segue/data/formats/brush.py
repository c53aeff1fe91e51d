"""Label Studio's brush run lengths: a bit stream over the mask repeated in four channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.rle import runs_of

SIZES = (3, 4, 8, 16)  # bits of a run's length, chosen by two bits before it
_WORD = 8
_HEAD = 32 + 5 + 4 * 4  # count of values, word size, the four sizes


def encode_brush(mask: Mask) -> list[int]:
    """``mask`` (H, W) bool -> bytes (0 ... 255) for ``value.rle``: 255 and 0, each pixel four times.

    Source: the conventions of Label Studio (rle-pack of thi.ng).

    >>> decode_brush(encode_brush(np.eye(2, dtype=bool)), (2, 2)).astype(int)
    array([[1, 0],
           [0, 1]])
    """
    runs = 4 * runs_of(np.ascontiguousarray(mask).reshape(-1))
    values = np.where(np.arange(runs.size) % 2 == 1, 255, 0)
    values, runs = values[runs > 0], runs[runs > 0]
    longest = 1 << SIZES[-1]
    pieces = -(-runs // longest)
    values = np.repeat(values, pieces)
    lengths = np.full(int(pieces.sum()), longest)
    lengths[np.cumsum(pieces) - 1] = runs - (pieces - 1) * longest
    size = np.searchsorted([1 << s for s in SIZES], lengths)
    bits_of_length = np.array(SIZES)[size]
    total = 3 + bits_of_length + _WORD
    codes = (((4 + size) << bits_of_length | (lengths - 1)) << _WORD) | values  # 1, size, length - 1, value
    place = total[:, None] - 1 - np.arange(3 + SIZES[-1] + _WORD)[None]
    stream = ((codes[:, None] >> np.maximum(place, 0)) & 1).astype(np.uint8)[place >= 0]
    head = _bits(4 * mask.size, 32) + _bits(_WORD - 1, 5) + [b for s in SIZES for b in _bits(s - 1, 4)]
    packed: list[int] = np.packbits(np.r_[np.array(head, np.uint8), stream]).tolist()
    return packed


def decode_brush(rle: Sequence[int], size: tuple[int, int]) -> Mask:
    """The mask of ``size`` (H, W): pixels whose fourth channel is not 0.

    Raises ``DataError`` for bytes that end early or belong to another size.

    >>> decode_brush([0, 0], (1, 1))
    Traceback (most recent call last):
    segue.core.errors.DataError: got a brush of 2 bytes; expected Label Studio's run lengths of a 1 x 1 mask
    """
    expected = f"Label Studio's run lengths of a {size[1]} x {size[0]} mask"
    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise DataError(f"a brush that holds no bytes ({error})", expected) from error
    if 8 * len(data) < _HEAD:
        raise DataError(f"a brush of {len(data)} bytes", expected)
    count = int.from_bytes(data[:4], "big")
    if count != 4 * size[0] * size[1]:
        raise DataError(f"a brush of {count} values", expected)
    values = _values(data, count, expected)
    alpha: Mask = values.reshape(-1, 4)[:, 3].reshape(size) > 0
    return alpha


def _values(data: bytes, count: int, expected: str) -> NDArray[np.uint8]:
    """All ``count`` values: runs are filled, literal stretches unpacked at once."""
    every = np.unpackbits(np.frombuffer(data, np.uint8))
    head = int.from_bytes(data[4:8], "big")  # five and four times four bits, in the 21 after the count
    word = (head >> 27) + 1
    sizes = [((head >> shift) & 15) + 1 for shift in (23, 19, 15, 11)]
    if word != _WORD:
        raise DataError(f"a brush with words of {word} bits", f"words of {_WORD} bits", "export it anew")
    out = np.zeros(count, np.uint8)
    at, done, end = _HEAD, 0, every.size
    padded = data + b"\0\0\0\0\0"
    while done < count:
        if at + 3 > end:
            raise DataError("a brush that ends early", expected)
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + 5], "big") << (at & 7)
        repeat, bits = (window >> 39) & 1, sizes[(window >> 37) & 3]
        length = ((window >> (37 - bits)) & ((1 << bits) - 1)) + 1
        at += 3 + bits
        stop = at + (_WORD if repeat else _WORD * length)
        if stop > end or done + length > count:
            raise DataError("a brush that ends early, or late", expected)
        if repeat:
            value = (int.from_bytes(padded[at >> 3 : (at >> 3) + 2], "big") >> (8 - (at & 7))) & 255
            if value:
                out[done : done + length] = value
        else:
            out[done : done + length] = np.packbits(every[at:stop])
        at, done = stop, done + length
    return out


def _bits(value: int, count: int) -> list[int]:
    return [(value >> k) & 1 for k in reversed(range(count))]
