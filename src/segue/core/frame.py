"""How a model sees an image: which part, at which size, padded, mirrored. Only this module converts coordinates.

Everything here is arrays; ``segue.nn.frames`` has the same views of tensors. Points keep the convention that every
click-segmentation code uses: no half-pixel shift, x' = (x - crop.x0) * resized.w / crop.w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Planes, resize, sigmoid
from segue.core.errors import InputError

Size: TypeAlias = tuple[int, int]  # (height, width)
Crop: TypeAlias = tuple[int, int, int, int]  # (x0, y0, x1, y1), right and bottom exclusive


@dataclass(frozen=True, slots=True)
class Frame:
    """A view of an image of ``size`` (H, W): its ``crop`` resized to ``resized`` (h, w), mirrored if ``flip``,
    then zero-padded right and below to ``grid`` (h', w').

    ``align_corners`` chooses the resampling of RITM and SimpleClick (corner pixels keep their places);
    otherwise pixel areas are kept, with ``antialias`` when shrinking, as SAM and transformers do.

    >>> frame = Frame.longest((600, 800), 400, multiple=32)
    >>> frame.resized, frame.grid
    ((300, 400), (320, 416))
    >>> frame.to_image(frame.to_grid(np.array([[17.0, 40.0]])))
    array([[17., 40.]])
    """

    size: Size
    crop: Crop
    resized: Size
    grid: Size
    flip: bool = False
    align_corners: bool = False
    antialias: bool = True

    def __post_init__(self) -> None:
        (height, width), (x0, y0, x1, y1) = self.size, self.crop
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(f"the crop {self.crop}", f"a region inside the image of {width} x {height} pixels")
        if min(self.resized) < 1 or self.grid[0] < self.resized[0] or self.grid[1] < self.resized[1]:
            raise InputError(f"the grid {self.grid} for a view of {self.resized}", "a grid at least as large")

    @classmethod
    def resize(cls, size: Size, resized: Size, *, align_corners: bool = False, antialias: bool = True) -> Frame:
        """The whole image of ``size`` (H, W) at exactly ``resized`` (h, w), aspect ratio given up, no padding."""
        height, width = size
        return cls(size, (0, 0, width, height), resized, resized, False, align_corners, antialias)

    @classmethod
    def longest(
        cls,
        size: Size,
        longest: int,
        *,
        multiple: int = 1,
        square: bool = False,
        enlarge: bool = True,
        align_corners: bool = False,
        antialias: bool = True,
    ) -> Frame:
        """The whole image with its longer side at ``longest`` pixels, padded to a multiple of ``multiple``
        (or to a square of ``longest``); images already smaller are kept when ``enlarge`` is false.
        """
        scale = longest / max(size)
        if not enlarge:
            scale = min(scale, 1.0)
        resized = (max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5)))
        grid = (longest, longest) if square else _round_up(resized, multiple)
        return cls(size, (0, 0, size[1], size[0]), resized, grid, False, align_corners, antialias)

    def zoomed(self, crop: Crop, resized: Size, *, multiple: int = 1) -> Frame:
        """The same image and conventions, seen through ``crop`` at ``resized`` (h, w)."""
        return replace(self, crop=crop, resized=resized, grid=_round_up(resized, multiple))

    def flipped(self) -> Frame:
        """The mirror image of this view."""
        return replace(self, flip=not self.flip)

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y) grid pixels per image pixel."""
        x0, y0, x1, y1 = self.crop
        return self.resized[1] / (x1 - x0), self.resized[0] / (y1 - y0)

    @property
    def is_whole_image(self) -> bool:
        """Whether the whole image is in view."""
        return self.crop == (0, 0, self.size[1], self.size[0])

    def to_grid(self, points: NDArray[Any]) -> NDArray[Any]:
        """(..., 2) image points (x, y) -> grid points; points outside the crop land outside the view.

        Whole-number points are answered in float32: scales are seldom whole.
        """
        points = _floating(points)
        moved = (points - np.asarray(self.crop[:2], points.dtype)) * np.asarray(self.scale, points.dtype)
        return self._mirror(moved)

    def to_image(self, points: NDArray[Any]) -> NDArray[Any]:
        """(..., 2) grid points (x, y) -> image points; the inverse of ``to_grid``."""
        points = self._mirror(_floating(points))
        moved: NDArray[Any] = points / np.asarray(self.scale, points.dtype) + np.asarray(self.crop[:2], points.dtype)
        return moved

    def resample(self, pixels: Planes) -> Planes:
        """(..., H, W) image -> (..., h, w): cropped, resized, mirrored, not yet padded; uint8 stays uint8,
        unless corners are aligned: then it turns float32."""
        self.check(pixels.shape)
        x0, y0, x1, y1 = self.crop
        part = pixels[..., y0:y1, x0:x1]
        if self.align_corners:
            part = _floating(part)
        view = resize(part, self.resized, align_corners=self.align_corners, antialias=self.antialias)
        return np.ascontiguousarray(view[..., ::-1]) if self.flip else view

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ``InputError`` unless the last two of ``shape`` are the image's size."""
        if tuple(shape[-2:]) != self.size:
            raise InputError(f"pixels of {tuple(shape[-2:])}", f"the frame's image size {self.size}")

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels (below, to the right) between the view and the grid."""
        return self.grid[0] - self.resized[0], self.grid[1] - self.resized[1]

    def pad(self, view: Planes, value: float = 0.0) -> Planes:
        """(..., h, w) -> (..., h', w'): ``value`` to the right and below."""
        bottom, right = self.padding
        if not (bottom or right):
            return view
        return np.pad(view, [(0, 0)] * (view.ndim - 2) + [(0, bottom), (0, right)], constant_values=value)

    def view(self, pixels: Planes, value: float = 0.0) -> Planes:
        """(..., H, W) image -> (..., h', w') on the grid: ``resample`` then ``pad``."""
        return self.pad(self.resample(pixels), value)

    def to_image_size(self, maps: Planes, outside: float = 0.0) -> Planes:
        """(..., h', w') on the grid, or on the grid shrunk uniformly, -> (..., H, W) on the image.

        Pixels that the view did not cover get ``outside``. One interpolation where the padding ends on a
        cell of the small grid, else one to the grid first.
        """
        return self._paste(self._enlarge(maps), outside)

    def to_image_probability(self, logits: Planes) -> NDArray[np.float32]:
        """(..., h, w) logits -> (..., H, W) probabilities, 0 outside the view.

        RITM's convention (``align_corners``) squashes before it resizes, SAM's resizes before it squashes.
        """
        if self.align_corners:
            return self.to_image_size(sigmoid(resize(logits, self.grid, align_corners=True)))
        return sigmoid(self.to_image_size(logits, outside=-np.inf))

    def to_image_mask(self, logits: Planes, threshold: float = 0.5) -> NDArray[np.bool_]:
        """(..., h, w) logits -> (..., H, W) bool: ``to_image_probability`` above ``threshold``, without the map.

        >>> int(Frame((4, 6), (2, 0, 6, 4), (2, 2), (2, 2)).to_image_mask(np.ones((2, 2), np.float32)).sum())
        16
        """
        if self.align_corners:
            return self.to_image_probability(logits) > threshold
        return self._paste(self._enlarge(logits) > math.log(threshold / (1 - threshold)), False)

    def to_array(self) -> NDArray[np.int64]:
        """(13,) int64: the frame as an array, so that it can live in a model's memory."""
        flags = (int(self.flip), int(self.align_corners), int(self.antialias))
        return np.array((*self.size, *self.crop, *self.resized, *self.grid, *flags), np.int64)

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Frame:
        """The inverse of ``to_array``.

        >>> frame = Frame.longest((30, 40), 20).flipped()
        >>> Frame.from_array(frame.to_array()) == frame
        True
        """
        n: list[int] = [int(v) for v in array]
        return cls(
            (n[0], n[1]), (n[2], n[3], n[4], n[5]), (n[6], n[7]), (n[8], n[9]), bool(n[10]), bool(n[11]), bool(n[12])
        )

    def visible(self, maps_size: Size) -> tuple[Size, bool]:
        """How much of a map of ``maps_size`` (h, w) shows the image, and whether the map must be brought to the
        grid first because the padding doesn't end on one of its cells."""
        rows, columns = maps_size[0] * self.resized[0], maps_size[1] * self.resized[1]
        if rows % self.grid[0] or columns % self.grid[1]:
            return self.resized, True
        return (rows // self.grid[0], columns // self.grid[1]), False

    def _mirror(self, points: NDArray[Any]) -> NDArray[Any]:
        if not self.flip:
            return points
        return np.stack((self.resized[1] - 1 - points[..., 0], points[..., 1]), -1)

    def _enlarge(self, maps: Planes) -> Planes:
        """(..., h', w') as ``to_image_size`` has it -> (..., y1 - y0, x1 - x0): the crop at the image's own size."""
        (rows, columns), uneven = self.visible((maps.shape[-2], maps.shape[-1]))
        if uneven:
            maps = resize(maps, self.grid, align_corners=self.align_corners, antialias=self.antialias)
        maps = maps[..., :rows, :columns]
        if self.flip:
            maps = maps[..., ::-1]
        x0, y0, x1, y1 = self.crop
        return resize(maps, (y1 - y0, x1 - x0), align_corners=self.align_corners)

    def _paste(self, part: Planes, outside: float) -> Planes:
        """(..., y1 - y0, x1 - x0) of the crop -> (..., H, W), ``outside`` beyond it."""
        if self.is_whole_image:
            return part
        x0, y0, x1, y1 = self.crop
        whole = np.full((*part.shape[:-2], *self.size), outside, part.dtype)
        whole[..., y0:y1, x0:x1] = part
        return whole


def _floating(array: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(array)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)


def _round_up(size: Size, multiple: int) -> Size:
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple
