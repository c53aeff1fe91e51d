"""Where nano looks: prompts on a grid, regions worth a closer look, masks carried from one view to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segue.core.frame import Crop, Frame, Size
from segue.core.geometry import mask_box
from segue.core.types import Box, Click, Maps, Mask, Prompt
from segue.models.nano.canvas import Logits, in_view
from segue.nn import frames as tensor_frames
from segue.nn.module import as_array

MULTIPLE = 64  # of the sides of every grid
STORED = 2048  # the longest side of the photo that is kept for zooming in
REFERENCE_SIZES = (96, 192, 384)  # pixels on the grid of the object's longer side, in the views of a reference
Point: TypeAlias = NDArray[np.float64]  # (2,) x, y


class Answer(NamedTuple):
    """What the views of one dialogue turn gave, the finest last: logits and frame of each, the estimated IoU and the
    maps of the last."""

    layers: Sequence[tuple[Tensor, Frame]]
    score: Tensor
    maps: Mapping[str, Tensor]


def stored_photo(pixels: Tensor) -> Tensor:
    """(1, 3, H, W) uint8, shrunk so that the longer side is at most ``STORED``."""
    scale = STORED / max(pixels.shape[-2:])
    if scale >= 1:
        return pixels
    size = (round(pixels.shape[-2] * scale), round(pixels.shape[-1] * scale))
    return F.interpolate(pixels, size, mode="bilinear", antialias=True)


def as_tensors(prompts: Sequence[Prompt], frame: Frame, device: torch.device) -> tuple[Tensor, Tensor]:
    """Prompts -> clicks (1, n, 3) and box (1, 4) in grid pixels, pixel centres at +0.5; the last box counts."""
    clicks = [p for p in prompts if isinstance(p, Click)]
    boxes = [p for p in prompts if isinstance(p, Box)]
    mirrored = float(frame.flip)
    table = torch.full((1, max(1, len(clicks)), 3), -1.0)
    if clicks:
        centres = np.array([[np.floor(p.x) + 0.5, np.floor(p.y) + 0.5] for p in clicks], np.float32)
        table[0, :, :2] = torch.from_numpy(frame.to_grid(centres)) + torch.tensor([mirrored, 0.0])
        table[0, :, 2] = torch.tensor([float(p.positive) for p in clicks])
    box = torch.zeros(1, 4)
    if boxes:
        last = boxes[-1]
        corners = torch.from_numpy(frame.to_grid(np.array([[last.x0, last.y0], [last.x1, last.y1]], np.float32)))
        corners[:, 0] += mirrored
        box[0] = torch.cat([corners.amin(0), corners.amax(0)])
    return table.to(device), box.to(device)


def obey(logits: Tensor, clicks: Tensor, radius: float = 3.0, strength: float = 2.0) -> Tensor:
    """(1, 1, h, w) logits at half the grid with every click's label under it; clicks are (1, n, 3) in grid pixels.

    Where the network contradicts a click, a disk of ``radius`` cells takes its label, so that the next click need not
    repeat it; the cells around each click have the last word, of two clicks on one spot the later.
    """
    h, w = logits.shape[-2:]
    rows = torch.arange(h, device=logits.device, dtype=torch.float32)[:, None]
    columns = torch.arange(w, device=logits.device, dtype=torch.float32)
    spots = [(x / 2 - 0.5, y / 2 - 0.5, label) for x, y, label in clicks[0].tolist() if label >= 0]
    spots = [(x, y, label) for x, y, label in spots if -1 < x < w and -1 < y < h]
    for x, y, label in spots:
        nearest = logits[0, 0, min(h - 1, max(0, round(y))), min(w - 1, max(0, round(x)))]
        if bool((nearest > 0) != (label > 0)):
            disk = (rows - y).square() + (columns - x).square() <= radius * radius
            forced = logits.clamp(min=strength) if label > 0 else logits.clamp(max=-strength)
            logits = torch.where(disk, forced, logits)
    for x, y, label in spots:
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        cells = logits[..., top : math.floor(y) + 2, left : math.floor(x) + 2]
        if label > 0:
            cells.clamp_(min=strength)
        else:
            cells.clamp_(max=-strength)
    return logits


def inside(prompt: Prompt, frame: Frame) -> bool:
    """Whether the newest prompt can be answered in this view."""
    x0, y0, x1, y1 = frame.crop
    if isinstance(prompt, Click):
        return x0 <= prompt.x < x1 and y0 <= prompt.y < y1
    return isinstance(prompt, Box) and x0 <= prompt.x0 and prompt.x1 <= x1 and y0 <= prompt.y0 and prompt.y1 <= y1


def resample(probability: Tensor, frame: Frame, other: Frame) -> Tensor:
    """(1, 1, h, w) at half the grid of `frame` -> the same map at half the grid of `other`, 0 outside."""
    rows, columns = other.grid[0] // 2, other.grid[1] // 2
    cells = (np.arange(max(rows, columns), dtype=np.float32) + np.float32(0.5)) * 2
    x, y = torch.from_numpy(frame.to_grid(other.to_image(np.stack([cells, cells], 1)))).to(probability).unbind(1)
    height, width = frame.grid
    gx, gy = x[:columns] / width * 2 - 1, y[:rows] / height * 2 - 1
    grid = torch.stack([gx[None, :].expand(rows, -1), gy[:, None].expand(-1, columns)], dim=-1)
    return F.grid_sample(probability, grid[None], align_corners=False)


def bounding_box(mask: Tensor, frame: Frame) -> tuple[float, float, float, float] | None:
    """x0 y0 x1 y1 in image pixels of a mask (h, w) bool at half the grid; None if it is empty."""
    box = mask_box(mask.cpu().numpy())
    if box is None:
        return None
    (x0, y0), (x1, y1) = frame.to_image(np.array(box, np.float32).reshape(2, 2) * 2).tolist()
    return min(x0, x1), y0, max(x0, x1), y1


def box_on_canvas(mask: NDArray[np.bool_], size: Size) -> tuple[float, float, float, float] | None:
    """x0 y0 x1 y1 in pixels of a photo of ``size`` (H, W) of a mask (h, w) over the whole of it; None if it is empty.

    >>> box_on_canvas(np.ones((2, 4), bool), (20, 40))
    (0.0, 0.0, 40.0, 20.0)
    """
    box = mask_box(mask)
    if box is None:
        return None
    (h, w), (height, width) = mask.shape, size
    return box[0] * width / w, box[1] * height / h, box[2] * width / w, box[3] * height / h


def is_positive(prompt: Prompt) -> TypeGuard[Click]:
    """Whether it is a positive click."""
    return isinstance(prompt, Click) and prompt.positive


def expanded(low: Point, high: Point, margin: float, smallest: float, size: Size) -> Crop:
    """The box from `low` to `high` (x, y) made `margin` times larger, each side at least `smallest` pixels and a
    third of the other, inside the image."""
    centre, span = (low + high) / 2, np.maximum((high - low) * margin, smallest)
    span = np.maximum(span, span.max() / 3)
    x0, y0 = np.floor(centre - span / 2)
    x1, y1 = np.ceil(centre + span / 2)
    return int(max(0, x0)), int(max(0, y0)), int(min(size[1], x1)), int(min(size[0], y1))


def zoomed(whole: Frame, crop: Crop, longest: int, gain: float) -> Frame:
    """`crop` with its longer side at `longest` pixels if that enlarges by `gain`, else the whole view."""
    x0, y0, x1, y1 = crop
    scale = longest / max(x1 - x0, y1 - y0)
    if scale < gain * max(whole.scale):
        return whole
    resized = (max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale)))
    return whole.zoomed(crop, resized, multiple=MULTIPLE)


def changed(region: Frame, frame: Frame, least: float = 0.5) -> bool:
    """Whether the wanted region differs enough from the one in view: the IoU of their crops is below `least`."""
    a, b = region.crop, frame.crop
    across = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across
    return across / either < least


def reference_views(whole: Frame, mask: Mask, longest: int) -> list[Frame]:
    """``whole``, its mirror image, and views of the object (H, W) bool from nearer and from farther, each showing at
    most ``longest`` pixels of the grid."""
    height, width = mask.shape
    frames = [whole, whole.flipped()]
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, width, height)
    now = max(x1 - x0, y1 - y0) * whole.scale[0]
    for wanted in REFERENCE_SIZES:
        if 0.75 < wanted / now < 1.33:
            continue
        scale = whole.scale[0] * wanted / now
        left, right = _around(x0, x1, longest / scale, width)
        top, bottom = _around(y0, y1, longest / scale, height)
        resized = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
        frames.append(whole.zoomed((left, top, right, bottom), resized, multiple=MULTIPLE))
    return frames


def _around(low: int, high: int, length: float, end: int) -> tuple[int, int]:
    """A stretch of ``length`` (or all there is of 0..``end``) with low..high in its middle as far as may be."""
    length = min(float(end), max(length, float(high - low)))
    start = min(max(0.0, (low + high - length) / 2), end - length)
    return int(start), min(end, int(start) + max(1, round(length)))


def so_far(memory: Maps | None, frame: Frame) -> Tensor | None:
    """The last answer (1, 1, h, w) at half the grid of ``frame``; None before the first."""
    if not memory:
        return None
    if "canvas" in memory:
        return torch.from_numpy(in_view(as_canvas(memory), frame))[None, None].to(memory["canvas"].device)
    before = Frame.from_array(memory["frame"])
    return memory["probability"] if before == frame else resample(memory["probability"], before, frame)


def seen(photos: Sequence[Tensor], views: Sequence[Frame]) -> Tensor:
    """(1, 3, H, W) photos through frames of one grid -> (b, 3, h, w) in the backbone's range."""
    return torch.cat(
        [tensor_frames.pad(f, as_pixels(tensor_frames.resample(f, p))) for f, p in zip(views, photos, strict=True)]
    )


def as_pixels(view: Tensor) -> Tensor:
    """0..255 -> -1..1, the range the backbone was trained in; 0, the padding, is grey."""
    return view.float() / 127.5 - 1


def as_canvas(memory: Maps) -> Logits:
    """The canvas (h, w) in a memory."""
    canvas = memory["canvas"][0, 0]
    array: Logits = as_array(canvas) if isinstance(canvas, Tensor) else canvas
    return array


def given(memory: Maps | None) -> dict[str, Any]:
    """What says that the mask in a memory was brought from elsewhere, where it was."""
    return {k: v for k, v in (memory or {}).items() if k == "given"}
