"""Where nano looks: prompts on a grid, regions worth a closer look, masks carried from one view to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array, resize
from segue.core.frame import Crop, Frame, Size
from segue.core.geometry import mask_box
from segue.core.types import Box, Click, Image, Mask, Prompt
from segue.models.nano.settings import ZoomPolicy

MULTIPLE = 64  # of the sides of every grid
STORED = 2048  # the longest side of the photo that is kept for zooming in
REFERENCE_SIZES = (96, 192, 384)  # pixels on the grid of the object's longer side, in the views of a reference
Point: TypeAlias = NDArray[np.float64]  # (2,) x, y


def as_planes(image: Image) -> NDArray[np.uint8]:
    """(H, W, 3) -> (3, H, W), which resampling is several times as fast on."""
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return planes


def stored_photo(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3, H, W), shrunk so that the longer side is at most ``STORED``."""
    scale = STORED / max(planes.shape[-2:])
    if scale >= 1:
        return planes
    return resize(planes, (round(planes.shape[-2] * scale), round(planes.shape[-1] * scale)), antialias=True)


def view_pixels(planes: NDArray[np.uint8], view: Frame) -> Array:
    """(3, H, W) of a photo -> (3, h, w) of its ``view`` in -1..1, the range the backbone was trained in; the padding
    is grey."""
    return view.pad(as_pixels(view.resample(planes)))


def region_pixels(photo: NDArray[np.uint8], region: Frame) -> Array:
    """``view_pixels`` of a region in a stored photo (3, H', W')."""
    sx, sy = photo.shape[-1] / region.size[1], photo.shape[-2] / region.size[0]
    x0, y0, x1, y1 = region.crop
    left, top = int(x0 * sx), int(y0 * sy)
    right, bottom = max(left + 1, round(x1 * sx)), max(top + 1, round(y1 * sy))
    part = photo[:, top:bottom, left:right]
    return region.pad(as_pixels(resize(part, region.resized, antialias=True)))


def as_pixels(levels: NDArray[np.uint8]) -> Array:
    """0..255 -> -1..1."""
    return np.asarray(levels / np.float32(127.5) - 1, np.float32)


def prompt_arrays(prompts: Sequence[Prompt], frame: Frame) -> tuple[Array, Array]:
    """Prompts -> clicks (1, n, 3) and box (1, 4) in grid pixels, pixel centres at +0.5; the last box counts."""
    clicks = [p for p in prompts if isinstance(p, Click)]
    boxes = [p for p in prompts if isinstance(p, Box)]
    mirrored = np.array([float(frame.flip), 0.0], np.float32)
    table = np.full((1, max(1, len(clicks)), 3), -1.0, np.float32)
    if clicks:
        centres = np.floor([[p.x, p.y] for p in clicks]) + 0.5
        table[0, :, :2] = frame.to_grid(centres.astype(np.float32)) + mirrored
        table[0, :, 2] = [float(p.positive) for p in clicks]
    box = np.zeros((1, 4), np.float32)
    if boxes:
        last = boxes[-1]
        corners = frame.to_grid(np.array([[last.x0, last.y0], [last.x1, last.y1]], np.float32)) + mirrored
        box[0] = np.concatenate([corners.min(0), corners.max(0)])
    return table, box


def enforce_clicks(logits: Array, clicks: Array, radius: float = 3.0, strength: float = 2.0) -> Array:
    """(h, w) logits at half the grid with every click's label under it; clicks are (1, n, 3) in grid pixels.

    Where the network contradicts a click, a disk of ``radius`` cells takes its label, so that the next click need not
    repeat it; the cells around each click have the last word, of two clicks on one spot the later.
    """
    h, w = logits.shape
    logits = logits.copy()
    rows, columns = np.ogrid[:h, :w]
    spots = [(x / 2 - 0.5, y / 2 - 0.5, label > 0) for x, y, label in clicks[0].tolist() if label >= 0]
    spots = [(x, y, positive) for x, y, positive in spots if -1 < x < w and -1 < y < h]
    for x, y, positive in spots:
        nearest = logits[min(h - 1, max(0, round(y))), min(w - 1, max(0, round(x)))]
        if (nearest > 0) != positive:
            _force(logits, np.square(rows - y) + np.square(columns - x) <= radius * radius, positive, strength)
    for x, y, positive in spots:
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        cells = (slice(top, math.floor(y) + 2), slice(left, math.floor(x) + 2))
        _force(logits, cells, positive, strength)
    return logits


def _force(logits: Array, cells: Any, positive: bool, strength: float) -> None:
    logits[cells] = np.maximum(logits[cells], strength) if positive else np.minimum(logits[cells], -strength)


def inside(prompt: Prompt, frame: Frame) -> bool:
    """Whether the newest prompt can be answered in this view."""
    x0, y0, x1, y1 = frame.crop
    if isinstance(prompt, Click):
        return x0 <= prompt.x < x1 and y0 <= prompt.y < y1
    return isinstance(prompt, Box) and x0 <= prompt.x0 and prompt.x1 <= x1 and y0 <= prompt.y0 and prompt.y1 <= y1


def resample(probability: Array, frame: Frame, other: Frame) -> Array:
    """(h, w) at half the grid of ``frame`` -> the same map at half the grid of ``other``, bilinear, 0 outside."""
    rows, columns = other.grid[0] // 2, other.grid[1] // 2
    cells = (np.arange(max(rows, columns), dtype=np.float32) + np.float32(0.5)) * 2
    places = np.asarray(frame.to_grid(other.to_image(np.stack([cells, cells], 1))) / 2 - 0.5, np.float32)
    down, across = _mixing(places[:rows, 1], probability.shape[0]), _mixing(places[:columns, 0], probability.shape[1])
    return np.asarray(down @ probability @ across.T, np.float32)


def _mixing(places: Array, length: int) -> Array:
    """(n, length) weights that interpolate at ``places`` (n,) between cells; nothing lies beyond the first and last."""
    weights: Array = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(length, dtype=np.float32)))
    return weights


def bounding_box(mask: Mask, frame: Frame) -> tuple[float, float, float, float] | None:
    """x0 y0 x1 y1 in image pixels of a mask (h, w) at half the grid; None if it is empty."""
    box = mask_box(mask)
    if box is None:
        return None
    (x0, y0), (x1, y1) = frame.to_image(np.array(box, np.float32).reshape(2, 2) * 2).tolist()
    return min(x0, x1), y0, max(x0, x1), y1


def box_on_canvas(mask: Mask, size: Size) -> tuple[float, float, float, float] | None:
    """x0 y0 x1 y1 in pixels of a photo of ``size`` (H, W) of a mask (h, w) over the whole of it; None if it is empty.

    >>> box_on_canvas(np.ones((2, 4), bool), (20, 40))
    (0.0, 0.0, 40.0, 20.0)
    """
    box = mask_box(mask)
    if box is None:
        return None
    (h, w), (height, width) = mask.shape, size
    return box[0] * width / w, box[1] * height / h, box[2] * width / w, box[3] * height / h


def expanded(low: Point, high: Point, expansion: float, least: float, size: Size) -> Crop:
    """The box from `low` to `high` (x, y) made `expansion` times larger, each side at least `least` pixels and a
    third of the other, inside the image."""
    centre, span = (low + high) / 2, np.maximum((high - low) * expansion, least)
    span = np.maximum(span, span.max() / 3)
    x0, y0 = np.floor(centre - span / 2)
    x1, y1 = np.ceil(centre + span / 2)
    return int(max(0, x0)), int(max(0, y0)), int(min(size[1], x1)), int(min(size[0], y1))


def coarse_view(size: Size, zoom: ZoomPolicy) -> Frame:
    """The whole photo of ``size`` (H, W) as the coarse pass sees it."""
    return Frame.longest(size, zoom.coarse_pass, multiple=MULTIPLE)


def region_view(whole: Frame, boxes: Sequence[Sequence[float]], zoom: ZoomPolicy) -> Frame:
    """The view around all ``boxes`` (x0, y0, x1, y1), in image pixels; the whole image where there are none or zooming
    in would show nothing more."""
    if not boxes:
        return whole
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    crop = expanded(low, high, zoom.expansion, zoom.min_crop * max(whole.size), whole.size)
    return zoomed(whole, crop, zoom.longest, zoom.gain)


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
