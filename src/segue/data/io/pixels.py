"""Numbers of any kind -> (H, W, 3) uint8 as people see them: stretched, over white, upright."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError
from segue.core.types import Image, describe

Window: TypeAlias = tuple[int, int, int, int]  # x0, y0, x1, y1, right and bottom exclusive
Bounds: TypeAlias = tuple[float, float]  # the numbers that become black and white

MAX_PIXELS = 150_000_000
STRETCH = (0.5, 99.5)  # percentiles that become black and white when an image has more than 8 bits

_PERCENTILE_PIXELS = 1 << 22
# Orientation: rows and columns swapped, then upside down, then mirrored.
_UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def as_image(array: NDArray[Any], bounds: Bounds | None = None) -> Image:
    """Any image-like array -> (H, W, 3) uint8 RGB.

    Takes (H, W), (H, W, 1), (H, W, 3) and (H, W, 4) of uint8, bool, or any wider number type; those are stretched
    from ``bounds``, by default their 0.5th and 99.5th percentile. Alpha is laid over white.
    Raises ``ImageError`` for other shapes, for no pixels, and for NaN or infinite values.
    Source: the percentile stretch usual for display of deep images.

    >>> as_image(np.array([[0, 4000]], np.uint16))[..., 0]
    array([[  0, 255]], dtype=uint8)
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise ImageError(describe(array), "an array (H, W), (H, W, 3) or (H, W, 4) with at least one pixel")
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    colours = array[..., :3] if array.ndim == 3 else array
    shades = colours if array.dtype == np.uint8 else stretched(colours, bounds)
    if array.ndim == 2:
        return np.repeat(shades[..., None], 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:] / (np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1.0)
        shades = np.rint(shades * alpha + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(shades)


def stretch_bounds(array: NDArray[Any]) -> Bounds:
    """The 0.5th and 99.5th percentile of numbers of any shape, as ``stretched`` takes them.

    Raises ``ImageError`` for NaN or infinite values and for numbers that are not real.

    >>> stretch_bounds(np.full((2, 2), 7))
    (7.0, 8.0)
    """
    values = _finite(array)
    every = -(-values.size // _PERCENTILE_PIXELS)  # sorting all of a large photograph would cost more memory
    low, high = np.percentile(values.reshape(-1)[::every], STRETCH).tolist()
    return (low, high) if high > low else (float(values.min()), max(float(values.max()), float(values.min()) + 1))


def stretched(array: NDArray[Any], bounds: Bounds | None = None) -> NDArray[np.uint8]:
    """Numbers of any shape -> uint8: ``bounds`` (by default those of ``stretch_bounds``) become 0 and 255.

    Raises ``ImageError`` for NaN or infinite values. Source: the percentile stretch usual for deep images.

    >>> stretched(np.array([[100.0, 150.0, 300.0]]), bounds=(100, 200))
    array([[  0, 128, 255]], dtype=uint8)
    """
    low, high = bounds or stretch_bounds(array)
    values = _finite(array)
    values -= low
    values *= 255 / (high - low)
    return np.rint(np.clip(values, 0, 255, out=values), out=values).astype(np.uint8)


def _finite(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "biuf":
        raise ImageError(describe(array), "real numbers")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise ImageError("pixels that are NaN or infinite", "finite numbers", "fill them before")
    return values


def sideways(orientation: int) -> bool:
    """Whether an orientation swaps height and width.

    >>> sideways(6), sideways(3)
    (True, False)
    """
    return _UPRIGHT.get(orientation, (False,))[0]


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array (H, W, ...) as stored -> a view of it upright, by its EXIF or TIFF orientation 1 to 8.

    Source: EXIF 2.32, tag 0x0112.

    >>> turned(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    swapped, upside_down, mirrored = _UPRIGHT.get(orientation, (False, False, False))
    array = np.swapaxes(array, 0, 1) if swapped else array
    return array[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def stored_window(window: Window, size: tuple[int, int], orientation: int) -> Window:
    """A window of the upright image of ``size`` (H, W) -> the same pixels where they are stored.

    >>> stored_window((0, 0, 1, 2), (4, 3), 6)
    (0, 2, 2, 3)
    """
    swapped, upside_down, mirrored = _UPRIGHT.get(orientation, (False, False, False))
    (x0, y0, x1, y1), (height, width) = window, size
    if upside_down:
        y0, y1 = height - y1, height - y0
    if mirrored:
        x0, x1 = width - x1, width - x0
    return (y0, x0, y1, x1) if swapped else (x0, y0, x1, y1)
