"""Where a correction is looked at closely: around the click and what it changed."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.training.click_dialogue import Prompts
from segue.training.crop_views import STRIDE, CropViews

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
