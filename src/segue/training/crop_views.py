"""Views for training nano as it is used: a coarse pass over the whole photo, then the dialogue in the view it chose.

Photos are square batches (n, c, P, P), grey around what is not square; crops and prompts are in their pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segue.nn.training_core import CoarsePass
from segue.training.click_dialogue import Prompts

STRIDE = 2  # of masks and logits
COVERED = 0.4  # of a cell that makes it the object's


@dataclass(frozen=True)
class CropViews:
    """``crops`` (n, 4) x0 y0 x1 y1 of n photos of ``side`` pixels, each in the upper left corner of a grey square.

    The longer side of a crop is shown at ``size`` pixels.

    >>> views = CropViews(torch.tensor([[16.0, 0.0, 48.0, 16.0]]), 64, 64)
    >>> views.clicks(torch.tensor([[[20.0, 4.0, 1.0]]])).tolist()
    [[[8.0, 8.0, 1.0]]]
    >>> views.masks(torch.ones(1, 1, 64, 64))[0, 0].sum(0)[:3].tolist()
    [16.0, 16.0, 16.0]
    """

    crops: Tensor
    side: int
    size: int

    def pixels(self, photos: Tensor) -> Tensor:
        """(n, 3, h, w) photos at any scale -> (n, 3, size, size)."""
        return self._sampled(photos, self.size, 0.5)

    def masks(self, masks: Tensor) -> Tensor:
        """(n, 1, h, w) float maps at any scale -> (n, 1, size / 2, size / 2), 0 outside the crops."""
        return self._sampled(masks, self.size // STRIDE, 0.0)

    def to_photos(self, masks: Tensor) -> Tensor:
        """(n, 1, size / 2, size / 2) -> (n, 1, side / 2, side / 2): back to the photos, 0 outside the crops."""
        corners, scale = self.crops[:, :2], self.scale
        half = self.side * scale / self.size
        centre = ((self.side / 2 - corners) * scale[:, None]) * 2 / self.size - 1
        return F.grid_sample(masks, _grid(half, centre, self.side // STRIDE), align_corners=False)

    def clicks(self, clicks: Tensor) -> Tensor:
        """(n, k, 3) x, y, label in pixels of the photos -> the same in the views'."""
        moved = (clicks[..., :2] - self.crops[:, None, :2]) * self.scale[:, None, None]
        return torch.cat([moved, clicks[..., 2:]], -1)

    def boxes(self, boxes: Tensor) -> Tensor:
        """(n, 4) x0 y0 x1 y1 in pixels of the photos -> the same in the views'; all zero where there is none."""
        moved = (boxes - self.crops[:, :2].repeat(1, 2)) * self.scale[:, None]
        return torch.where((boxes[:, 2] > boxes[:, 0])[:, None], moved, 0.0)

    def initial_prompts(
        self, shrink: int, objects: Tensor, ignore_mask: Tensor, clicks: Tensor, box: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Targets and void (n, 1, size / 2, size / 2) bool, clicks, boxes and an empty mask: how a dialogue begins.

        ``objects`` and ``ignore_mask`` (n, 1, side, side) float are averaged over ``shrink`` pixels, then sampled.
        """
        wanted, left_out = (self.masks(F.avg_pool2d(m, shrink)) > COVERED for m in (objects, ignore_mask))
        return wanted, left_out, self.clicks(clicks), self.boxes(box), torch.zeros_like(wanted, dtype=torch.float32)

    @property
    def scale(self) -> Tensor:
        """(n,) pixels of the view per pixel of the photo."""
        return self.size / (self.crops[:, 2:] - self.crops[:, :2]).amax(1)

    def _sampled(self, maps: Tensor, size: int, outside: float) -> Tensor:
        spans = self.crops[:, 2:] - self.crops[:, :2]
        longest = spans.amax(1)
        centre = 2 * self.crops[:, :2] / self.side - 1 + longest[:, None] / self.side
        views = F.grid_sample(maps, _grid(longest / self.side, centre, size), align_corners=False)
        cells = torch.arange(size, device=maps.device) + 0.5
        ends = spans / longest[:, None] * size
        across, down = (cells < ends[:, k, None] for k in (0, 1))
        return torch.where((down[:, :, None] & across[:, None, :])[:, None], views, outside)


def extents(inside: Tensor) -> Tensor:
    """(n, 1, P, P) 1 where the photo is -> (n, 4) its bounding boxes.

    >>> extents(torch.ones(1, 1, 4, 8)).tolist()
    [[0.0, 0.0, 8.0, 4.0]]
    """
    ends = []
    for seen in (inside[:, 0].amax(1), inside[:, 0].amax(2)):
        places = torch.arange(seen.shape[1], device=seen.device, dtype=torch.float32)
        ends.append((torch.where(seen > 0, places, 1e6).amin(1), torch.where(seen > 0, places, -1.0).amax(1) + 1))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], 1)


def choose_crop_views(
    model: CoarsePass, coarse: Tensor, photos: Tensor, clicks: Tensor, box: Tensor, side: int
) -> Iterator[tuple[Tensor, CropViews]]:
    """(rows, views) of the targets that ``model`` would answer in a region, and of those in the whole view.

    ``coarse`` (n, 1, side / 2, side / 2) bool is what the coarse pass took for the target, ``photos`` (n, 4) where the
    photo lies in its square, ``clicks`` (n, k, 3) and ``box`` (n, 4) the prompts.
    """
    crops, whole = photos.clone(), torch.ones(len(photos), dtype=torch.bool)
    for row, (x0, y0, x1, y1) in enumerate(photos.tolist()):
        boxes = [[x, y, x + 1, y + 1] for x, y, label in clicks[row].tolist() if label > 0]
        boxes += [box[row].tolist()] if bool(box[row, 2] > box[row, 0]) else []
        left, top, right, bottom = (math.ceil(v / STRIDE) for v in (x0, y0, x1, y1))
        on_photo = torch.zeros_like(coarse[row, None])
        on_photo[..., top:bottom, left:right] = coarse[row, None, :, top:bottom, left:right]
        if bool(on_photo.any()):
            boxes += (extents(on_photo.float()) * STRIDE).tolist()
        width, height = int(x1 - x0), int(y1 - y0)
        moved = np.subtract(boxes, [x0, y0, x0, y0]).reshape(-1, 4)  # a thing may be pasted beyond the photo
        moved = np.clip(moved, [0, 0, 1, 1], [width - 1, height - 1, width, height])
        region = model.region(model.frame((height, width)), moved.tolist())
        whole[row] = region.is_whole_image
        if not region.is_whole_image:
            crops[row] = torch.tensor(region.crop, device=photos.device) + photos[row, :2].repeat(2)
    for rows, length in ((~whole, model.zoom.longest), (whole, model.longest)):
        index = torch.nonzero(rows)[:, 0].to(photos.device)
        if len(index):
            yield index, CropViews(crops[index], side, length)


def _grid(half: Tensor, centre: Tensor, size: int) -> Tensor:
    """(n, size, size, 2) for ``grid_sample``: squares around ``centre`` (n, 2), ``half`` (n,) of their sides long, on
    maps from -1 to 1."""
    zero = torch.zeros_like(half)
    rows = [torch.stack([half, zero, centre[:, 0]], 1), torch.stack([zero, half, centre[:, 1]], 1)]
    return F.affine_grid(torch.stack(rows, 1), [len(half), 1, size, size], align_corners=False)


MARGIN = (1.2, 1.8)  # times the changed box
SMALLEST = (0.12, 0.5)  # of the view's side


def close_views(logits: Tensor, prompts: Prompts, side: int, size: int, generator: torch.Generator) -> CropViews:
    """Views of ``size`` pixels in photos of ``side`` pixels, one for each of the n answers ``logits`` (n, 1, s, s).

    Each shows what the newest click changed (``prompts.previous`` is the mask before it), as far as it is connected to
    the click, with some margin; at least a part of the photo that is drawn anew for each.
    """
    n, cells = len(logits), logits.shape[-1]
    unit = torch.rand(n, 2, generator=generator).tolist()
    after, before = (m[:, 0].cpu().numpy() > t for m, t in ((logits, 0), (prompts.previous, 0.5)))
    crops = []
    for row, clicks in enumerate(prompts.clicks.cpu()):
        made = clicks[clicks[:, 2] >= 0]
        x, y = ((made[-1, :2] / STRIDE).clamp(0, cells - 1).int().tolist()) if len(made) else (cells // 2, cells // 2)
        x0, y0, x1, y1 = _changed_box(before[row] != after[row], x, y)
        margin = MARGIN[0] + (MARGIN[1] - MARGIN[0]) * unit[row][0]
        smallest = SMALLEST[0] * (SMALLEST[1] / SMALLEST[0]) ** unit[row][1] * cells
        half = max(max(x1 - x0, y1 - y0) * margin, smallest) / 2
        half = min(half, cells / 2)
        cx, cy = (min(max(c, half), cells - half) for c in ((x0 + x1) / 2, (y0 + y1) / 2))
        crops.append([math.floor(cx - half), math.floor(cy - half), math.ceil(cx + half), math.ceil(cy + half)])
    boxes = torch.tensor(crops, dtype=torch.float32, device=logits.device).clamp(0, cells)
    return CropViews(boxes * (side / cells), side, size)


def _changed_box(changed: NDArray[np.bool_], x: int, y: int) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of the connected change that holds the cell, and of the cell."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8), connectivity=8)
    if not parts[y, x]:
        return x, y, x + 1, y + 1
    left, top, width, height = stats[parts[y, x], :4].tolist()
    return left, top, left + width, top + height
