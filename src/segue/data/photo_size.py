"""The size that an annotation file states, and the size that the photo has: compared once, for every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from segue.core.errors import DataError
from segue.data.io.image import read_image
from segue.data.rle import Rle

_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[Any], Any]] = {  # what EXIF orientations that swap the sides do to stored pixels
    5: lambda a: a.T,
    6: lambda a: a.T[:, ::-1],
    7: lambda a: a.T[::-1, ::-1],
    8: lambda a: a.T[::-1],
}


def photo_size(path: Path) -> tuple[int, int]:
    """Upright (H, W) of an image file, from its header. Raises ``ImageError`` as ``read_image``."""
    return _geometry(path)[0]


def stated_size(height: object, width: object, path: Path | None, name: str) -> tuple[int, int]:
    """The size (H, W) to read annotations in: as stated, or the photo's where nothing sensible is stated.

    Raises ``DataError`` without either.

    >>> stated_size("80", 100.0, None, "a.jpg")
    (80, 100)
    >>> stated_size(-1, None, None, "a.jpg")
    Traceback (most recent call last):
    segue.core.errors.DataError: got the image a.jpg without width and height; expected both, as the file itself is not there
    """  # noqa: E501
    sides = [_side(value) for value in (height, width)]
    if all(sides):
        return sides[0], sides[1]
    if path is None:
        raise DataError(f"the image {name} without width and height", "both, as the file itself is not there")
    return photo_size(path)


def as_photo(path: Path, name: str, size: tuple[int, int]) -> tuple[Callable[[Rle], Rle] | None, str]:
    """How to turn masks of the stated ``size`` (H, W) into the upright frame of the photo, and what to say of it.

    (None, "") where the sizes agree. Where the photo's EXIF orientation swaps its sides and ``size`` is that of the
    stored pixels, masks are turned like them. Raises ``DataError`` for any other size.
    """
    upright, orientation = _geometry(path)
    if size == upright:
        return None, ""
    if size == upright[::-1] and orientation in _UPRIGHT:
        turn = _UPRIGHT[orientation]

        def turned(rle: Rle) -> Rle:
            return Rle.from_mask(np.ascontiguousarray(turn(rle.mask())))

        return turned, f"annotated on the unturned photo: turned by its EXIF orientation {orientation}"
    raise DataError(
        f"masks of {size[1]} x {size[0]} pixels for the image '{name}'",
        f"the size of {path.name}, {upright[1]} x {upright[0]}",
        "use the photo that was annotated, or correct the size",
    )


def _side(value: object) -> int:
    """A whole number above 0, else 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0
    return int(number) if number > 0 and number.is_integer() else 0


def _geometry(path: Path) -> tuple[tuple[int, int], int]:
    """Upright (H, W), and the EXIF orientation."""
    try:
        with PIL.Image.open(path) as image:
            orientation = int(image.getexif().get(_ORIENTATION, 1))
            size = image.height, image.width
            return (size[::-1] if orientation in _UPRIGHT else size), orientation
    except (OSError, SyntaxError, ValueError, TypeError):
        shape = read_image(path).shape  # its own error says best what is wrong
        return (shape[0], shape[1]), 1
