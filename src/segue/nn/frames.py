"""The views of ``segue.core.frame`` for tensors: on any device, and with gradients."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from segue.core.frame import Frame, Size


def resample(frame: Frame, pixels: Tensor) -> Tensor:
    """(b, c, H, W) image -> (b, c, h, w): cropped, resized, mirrored, not yet padded; uint8 stays uint8,
    unless corners are aligned: then it turns float32."""
    frame.check(tuple(pixels.shape))
    x0, y0, x1, y1 = frame.crop
    view = _resize(frame, pixels[..., y0:y1, x0:x1], frame.resized)
    return view.flip(-1) if frame.flip else view


def pad(frame: Frame, view: Tensor, value: float = 0.0) -> Tensor:
    """(b, c, h, w) -> (b, c, h', w'): ``value`` to the right and below."""
    bottom, right = frame.padding
    return F.pad(view, (0, right, 0, bottom), value=value) if bottom or right else view


def view(frame: Frame, pixels: Tensor, value: float = 0.0) -> Tensor:
    """(b, c, H, W) image -> (b, c, h', w') on the grid: ``resample`` then ``pad``.

    >>> import torch
    >>> view(Frame.longest((30, 40), 20, multiple=16), torch.zeros(1, 3, 30, 40)).shape
    torch.Size([1, 3, 16, 32])
    """
    return pad(frame, resample(frame, pixels), value)


def to_image_size(frame: Frame, maps: Tensor, outside: float = 0.0) -> Tensor:
    """(b, k, h', w') on the grid, or on the grid shrunk uniformly, -> (b, k, H, W) on the image; see
    ``Frame.to_image_size``."""
    (rows, columns), uneven = frame.visible((maps.shape[-2], maps.shape[-1]))
    if uneven:
        maps = _resize(frame, maps, frame.grid)
    maps = maps[..., :rows, :columns]
    if frame.flip:
        maps = maps.flip(-1)
    x0, y0, x1, y1 = frame.crop
    part = _resize(frame, maps, (y1 - y0, x1 - x0), shrink=False)
    if frame.is_whole_image:
        return part
    whole = part.new_full((*part.shape[:-2], *frame.size), outside)
    whole[..., y0:y1, x0:x1] = part
    return whole


def _resize(frame: Frame, maps: Tensor, size: Size, shrink: bool = True) -> Tensor:
    if frame.align_corners and not maps.is_floating_point():
        maps = maps.float()
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if frame.align_corners:
        return F.interpolate(maps, size, mode="bilinear", align_corners=True)
    if not maps.is_floating_point() and maps.device.type != "cpu":  # PyTorch resamples bytes on CPUs alone
        return _resize(frame, maps.float(), size, shrink).round().to(maps.dtype)
    smaller = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    antialias = shrink and smaller and frame.antialias
    if antialias and size[1] == 1 and size[0] != maps.shape[-2]:  # PyTorch mixes up the rows of a single column
        column = _resize(frame, maps, (maps.shape[-2], 1), shrink).repeat(1, 1, 1, 2)
        return F.interpolate(column, (size[0], 2), mode="bilinear", antialias=True)[..., :1]
    return F.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=antialias)
