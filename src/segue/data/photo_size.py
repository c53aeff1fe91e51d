"""The size that an annotation file states, and the size that the photo has: compared once, for every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from segue.core.errors import DataError
from segue.data.io.image import open_image
from segue.data.io.pixels import sideways, turned
from segue.data.rle import Rle

MOST_PIXELS = 1 << 32  # of an image that is not there to say its size


def photo_size(path: Path) -> tuple[int, int]:
    """Upright (H, W) of an image file, from its header. Raises as ``open_image``."""
    with open_image(path) as file:
        return file.size()


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
    if all(sides) and (path is not None or sides[0] * sides[1] <= MOST_PIXELS):
        return sides[0], sides[1]
    if all(sides):
        raise DataError(
            f"the image {name} of {sides[1]} x {sides[0]} pixels", f"at most {MOST_PIXELS:,} without its file"
        )
    if path is None:
        raise DataError(f"the image {name} without width and height", "both, as the file itself is not there")
    return photo_size(path)


def as_photo(path: Path, name: str, size: tuple[int, int]) -> tuple[Callable[[Rle], Rle] | None, str]:
    """How to turn masks of the stated ``size`` (H, W) into the upright frame of the photo, and what to say of it.

    (None, "") where the sizes agree. Where the photo's EXIF orientation swaps its sides and ``size`` is that of the
    stored pixels, masks are turned like them. Raises ``DataError`` for any other size.
    """
    with open_image(path) as file:
        upright, orientation = file.size(), file.orientation
    if size == upright:
        return None, ""
    if size == upright[::-1] and sideways(orientation):

        def upright_mask(rle: Rle) -> Rle:
            return Rle.from_mask(np.ascontiguousarray(turned(rle.mask(), orientation)))

        return upright_mask, f"annotated on the unturned photo: turned by its EXIF orientation {orientation}"
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
