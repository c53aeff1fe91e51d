"""How a model sees an image: which part, at which size, padded, mirrored. Only this module converts coordinates.

Points keep the convention that every click-segmentation code uses: no half-pixel shift,
x' = (x - crop.x0) * resized.w / crop.w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

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
    >>> frame.to_image(frame.to_grid(torch.tensor([[17.0, 40.0]])))
    tensor([[17., 40.]])
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

    def to_grid(self, points: Tensor) -> Tensor:
        """(..., 2) image points (x, y) -> grid points; points outside the crop land outside the view.

        Whole-number points are answered in float32: scales are seldom whole.
        """
        points = _floating(points)
        moved = (points - points.new_tensor(self.crop[:2])) * points.new_tensor(self.scale)
        return self._mirror(moved)

    def to_image(self, points: Tensor) -> Tensor:
        """(..., 2) grid points (x, y) -> image points; the inverse of ``to_grid``."""
        points = _floating(points)
        return self._mirror(points) / points.new_tensor(self.scale) + points.new_tensor(self.crop[:2])

    def resample(self, pixels: Tensor) -> Tensor:
        """(b, c, H, W) image -> (b, c, h, w): cropped, resized, mirrored, not yet padded; uint8 stays uint8."""
        if tuple(pixels.shape[-2:]) != self.size:
            raise InputError(f"a tensor of {tuple(pixels.shape[-2:])}", f"the frame's image size {self.size}")
        x0, y0, x1, y1 = self.crop
        view = self._resize(pixels[..., y0:y1, x0:x1], self.resized)
        return view.flip(-1) if self.flip else view

    def pad(self, view: Tensor, value: float = 0.0) -> Tensor:
        """(b, c, h, w) -> (b, c, h', w'): ``value`` to the right and below."""
        bottom, right = self.grid[0] - view.shape[-2], self.grid[1] - view.shape[-1]
        return F.pad(view, (0, right, 0, bottom), value=value) if bottom or right else view

    def view(self, pixels: Tensor, value: float = 0.0) -> Tensor:
        """(b, c, H, W) image -> (b, c, h', w') on the grid: ``resample`` then ``pad``."""
        return self.pad(self.resample(pixels), value)

    def to_image_size(self, maps: Tensor, outside: float = 0.0) -> Tensor:
        """(b, k, h', w') on the grid, or on the grid shrunk uniformly, -> (b, k, H, W) on the image.

        Pixels that the view did not cover get ``outside``. One interpolation where the padding ends on a
        cell of the small grid, else one to the grid first.
        """
        return self._paste(self._enlarge(maps), outside)

    def to_image_probability(self, logits: Tensor) -> Tensor:
        """(b, k, h, w) logits -> (b, k, H, W) probabilities, 0 outside the view.

        RITM's convention (``align_corners``) squashes before it resizes, SAM's resizes before it squashes.
        """
        if self.align_corners:
            return self.to_image_size(self._resize(logits, self.grid).sigmoid())
        lifted = self.to_image_size(logits, outside=-torch.inf)
        shared = lifted.untyped_storage().data_ptr() == logits.untyped_storage().data_ptr()
        return lifted.sigmoid() if shared else lifted.sigmoid_()  # the caller's logits are never overwritten

    def to_image_mask(self, logits: Tensor, threshold: float = 0.5) -> Tensor:
        """(b, k, h, w) logits -> (b, k, H, W) bool: ``to_image_probability`` above ``threshold``, without the map.

        >>> Frame((4, 6), (2, 0, 6, 4), (2, 2), (2, 2)).to_image_mask(torch.ones(1, 1, 2, 2)).sum()
        tensor(16)
        """
        if self.align_corners:
            return self.to_image_size(self._resize(logits, self.grid).sigmoid()) > threshold
        return self._paste(self._enlarge(logits) > math.log(threshold / (1 - threshold)), False)

    def to_tensor(self) -> Tensor:
        """(13,) int64: the frame as a tensor, so that it can live in a model's memory."""
        flags = (int(self.flip), int(self.align_corners), int(self.antialias))
        return torch.tensor((*self.size, *self.crop, *self.resized, *self.grid, *flags), dtype=torch.int64)

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> Frame:
        """The inverse of ``to_tensor``.

        >>> frame = Frame.longest((30, 40), 20).flipped()
        >>> Frame.from_tensor(frame.to_tensor()) == frame
        True
        """
        n: list[int] = [int(v) for v in tensor.tolist()]
        return cls(
            (n[0], n[1]), (n[2], n[3], n[4], n[5]), (n[6], n[7]), (n[8], n[9]), bool(n[10]), bool(n[11]), bool(n[12])
        )

    def _mirror(self, points: Tensor) -> Tensor:
        if not self.flip:
            return points
        return torch.stack((self.resized[1] - 1 - points[..., 0], points[..., 1]), -1)

    def _enlarge(self, maps: Tensor) -> Tensor:
        """(b, k, h', w') as ``to_image_size`` has it -> (b, k, y1 - y0, x1 - x0): the crop at the image's own size."""
        rows, columns = maps.shape[-2] * self.resized[0], maps.shape[-1] * self.resized[1]
        if rows % self.grid[0] or columns % self.grid[1]:
            maps = self._resize(maps, self.grid)
            rows, columns = self.resized[0] * self.grid[0], self.resized[1] * self.grid[1]
        maps = maps[..., : rows // self.grid[0], : columns // self.grid[1]]
        if self.flip:
            maps = maps.flip(-1)
        x0, y0, x1, y1 = self.crop
        return self._resize(maps, (y1 - y0, x1 - x0), shrink=False)

    def _paste(self, part: Tensor, outside: float) -> Tensor:
        """(b, k, y1 - y0, x1 - x0) of the crop -> (b, k, H, W), ``outside`` beyond it."""
        if self.is_whole_image:
            return part
        x0, y0, x1, y1 = self.crop
        whole = part.new_full((*part.shape[:-2], *self.size), outside)
        whole[..., y0:y1, x0:x1] = part
        return whole

    def _resize(self, maps: Tensor, size: Sequence[int], shrink: bool = True) -> Tensor:
        if tuple(maps.shape[-2:]) == tuple(size):
            return maps
        if self.align_corners:
            return F.interpolate(_floating(maps), tuple(size), mode="bilinear", align_corners=True)
        if not maps.is_floating_point() and maps.device.type != "cpu":  # PyTorch resamples bytes on CPUs alone
            return self._resize(maps.float(), size, shrink).round().to(maps.dtype)
        smaller = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
        if not smaller and _is_plain(maps):  # the same numbers to within rounding, several times as fast
            import cv2  # here, so that importing segue stays light

            large = cv2.resize(maps[0, 0].numpy(), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
            return torch.from_numpy(large)[None, None]
        antialias = shrink and smaller and self.antialias
        return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False, antialias=antialias)


def _is_plain(maps: Tensor) -> bool:
    """Whether OpenCV can take it: one map of float32 on the CPU that no gradient flows through."""
    one = maps.ndim == 4 and maps.shape[:2] == (1, 1) and maps.dtype == torch.float32
    return one and maps.device.type == "cpu" and not maps.requires_grad


def _floating(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_floating_point() else tensor.float()


def _round_up(size: Size, multiple: int) -> Size:
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple
