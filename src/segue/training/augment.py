"""Augmentation of whole batches as tensors: colour, cut-outs and drawn shapes pasted, objects of other photos."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segue.core.errors import DataError
from segue.training.shapes import drawn_shapes

FIRST_PASTED = 65000  # labels of pasted cut-outs; none of a label map's own is as high
FIRST_DRAWN = 65100  # those of pasted thin shapes
COPIED = 65200  # the label of an object from another photo


def jitter_colours(pixels: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """(b, 3, H, W) in [0, 1] -> the same, with brightness, contrast, saturation, colour cast, noise at random.

    >>> g = torch.Generator().manual_seed(0)
    >>> out = jitter_colours(torch.rand(2, 3, 8, 8), g)
    >>> bool((out >= 0).all() and (out <= 1).all())
    True
    """
    b = len(pixels)

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        unit = torch.rand(b, channels, 1, 1, generator=generator).to(pixels.device)
        return low + (high - low) * unit

    s = strength
    grey = pixels.mean(1, keepdim=True)
    drained = draw(0, 1) < 0.04 * s
    pixels = grey + (pixels - grey) * torch.where(drained, 0.0, draw(1 - 0.4 * s, 1 + 0.4 * s))
    mean = pixels.mean((1, 2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * draw(1 - 0.35 * s, 1 + 0.3 * s)
    pixels = pixels * draw(1 - 0.3 * s, 1 + 0.3 * s) * draw(1 - 0.06 * s, 1 + 0.06 * s, 3)
    noisy = (draw(0, 1) < 0.3 * s) * draw(0, 0.04)
    noise = torch.randn(pixels.shape, generator=generator).to(pixels.device)
    return (pixels + noise * noisy).clamp_(0, 1)


def copy_paste(pixels: Tensor, labels: Tensor, rows: Tensor, donors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Paste objects of other photos, edges feathered by a pixel, over views: pixels (b, 3, S, S), labels (b, S, S).

    ``rows`` (n,) are the views that get one of the objects, which are ``targets`` (n, 1, S, S) bool in the pixels
    ``donors`` (n, 3, S, S). Source: Simple Copy-Paste (Ghiasi et al., 2021), section 3.

    >>> spot, photo = torch.zeros(1, 1, 9, 9, dtype=torch.bool), torch.zeros(1, 3, 9, 9)
    >>> spot[..., 2:7, 2:7] = True
    >>> row, labels = torch.tensor([0]), torch.zeros(1, 9, 9, dtype=torch.int32)
    >>> seen, labels = copy_paste(photo, labels, row, torch.ones(1, 3, 9, 9), spot)
    >>> float(seen[0, 0, 4, 4]), int((labels == COPIED).sum())
    (1.0, 25)
    """
    alpha = F.avg_pool2d(targets.float(), 3, 1, 1)
    pixels = pixels.index_copy(0, rows, pixels[rows] * (1 - alpha) + donors * alpha)
    pasted = torch.where(targets[:, 0], COPIED, labels[rows].int()).to(labels.dtype)
    return pixels, labels.index_copy(0, rows, pasted)


class CutOuts:
    """RGBA cut-outs on square canvases, (n, 4, C, C) uint8 in memory; colours are premultiplied by alpha, so that
    no edge darkens when they are resampled."""

    def __init__(self, stack: Tensor, first: int = FIRST_PASTED):
        self.stack, self.first = stack, first

    @classmethod
    def drawn(cls, count: int, seed: int = 0) -> CutOuts:
        """``count`` synthetic thin shapes (``data.shapes``)."""
        return cls(drawn_shapes(count, seed=seed), FIRST_DRAWN) if count else cls(torch.zeros(0, 4, 1, 1))

    @classmethod
    def from_folders(cls, folders: Sequence[Path], canvas: int = 160, cache: Path | None = None) -> CutOuts:
        """Every WebP picture under the folders; raises ``DataError`` for one without alpha."""
        paths = [p for folder in folders for p in sorted(folder.rglob("*.webp"))]
        key = hashlib.sha256("\n".join(map(str, [*paths, canvas, "premultiplied"])).encode()).hexdigest()[:16]
        stored = cache / f"cutouts-{key}.npy" if cache else None
        if stored is not None and stored.exists():
            return cls(torch.from_numpy(np.load(stored)))
        stack = torch.zeros(len(paths), 4, canvas, canvas, dtype=torch.uint8)
        for row, path in enumerate(paths):
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
                raise DataError(f"{path}, which has no alpha channel", "RGBA cut-outs")
            scale = canvas / max(picture.shape[:2])
            w, h = (max(1, round(s * scale)) for s in picture.shape[1::-1])
            picture = picture[:, :, [2, 1, 0, 3]].astype(np.float32)
            picture[:, :, :3] *= picture[:, :, 3:] / 255
            picture = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA).round().astype(np.uint8)
            top, left = (canvas - h) // 2, (canvas - w) // 2
            stack[row, :, top : top + h, left : left + w] = torch.from_numpy(picture.transpose(2, 0, 1).copy())
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            np.save(stored, stack.numpy())
        return cls(stack)

    def paste(
        self, pixels: Tensor, labels: Tensor, chance: float, most: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Paste up to `most` cut-outs on a share `chance` of the views: pixels (b, 3, S, S), labels (b, S, S).

        A cut-out's label is where its alpha is above one half; photo objects underneath lose those pixels.
        """
        if chance <= 0 or not len(self.stack):
            return pixels, labels
        rows = torch.nonzero(torch.rand(len(pixels), generator=generator) < chance)[:, 0]
        for turn in range(most):
            if turn:
                rows = rows[torch.rand(len(rows), generator=generator) < 0.4]
            if not len(rows):
                break
            picks = torch.randint(len(self.stack), (len(rows),), generator=generator)
            cut = self.stack[picks].to(pixels.device).float().div_(255)
            theta = self.placements(len(rows), generator).to(pixels.device)
            where = rows.to(pixels.device)
            grid = F.affine_grid(theta, [len(rows), 4, *pixels.shape[2:]], align_corners=False)
            cut = F.grid_sample(cut, grid, align_corners=False)
            alpha = cut[:, 3:]
            pixels = pixels.index_copy(0, where, pixels[where] * (1 - alpha) + cut[:, :3])
            pasted = torch.where(alpha[:, 0] > 0.5, self.first + turn, labels[where].int()).to(labels.dtype)
            labels = labels.index_copy(0, where, pasted)
        return pixels, labels

    @staticmethod
    def placements(count: int, generator: torch.Generator) -> Tensor:
        """(count, 2, 3) affine maps from view to cut-out: a sixth to nine tenths of the view, turned, mirrored."""
        unit = torch.rand(count, 6, generator=generator)
        size = torch.exp(math.log(0.18) + unit[:, 0] * (math.log(0.9) - math.log(0.18)))
        angle = (unit[:, 1] - 0.5) * 1.2
        mirror = torch.where(unit[:, 2] < 0.5, -1.0, 1.0)
        stretch = torch.exp((unit[:, 5] - 0.5) * 0.5)
        cx, cy = ((unit[:, k] * 2 - 1) * (1.05 - 0.6 * size) for k in (3, 4))
        a, c = torch.cos(angle) / size, torch.sin(angle) / size
        rows = [mirror * a * stretch, -mirror * c * stretch, c / stretch, a / stretch]
        m = torch.stack(rows, dim=1).reshape(count, 2, 2)
        shift = -torch.bmm(m, torch.stack([cx, cy], dim=1)[:, :, None])
        return torch.cat([m, shift], dim=2)
