"""Random views of packed photos as tensors: crop, scale, rotation and mirror are one ``grid_sample`` on whatever device
trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segue.core.errors import DataError
from segue.training.packing import IGNORE, Pack, PackedPhoto


@dataclass(frozen=True)
class Views:
    """b random square views: pixels (b, 3, S, S) float in [0, 1], labels (b, S, S) uint8 (0 background or
    unknown, 255 void), inside (b, 1, S, S) 1 where the photo is."""

    pixels: Tensor
    labels: Tensor
    inside: Tensor


class ViewSampler:
    """Random views around random objects: from the tight crop that zoom-in shows to the whole photo.

    The side of the view is log-uniform between 1.15 times the object's and the photo's, so that every zoom is
    seen equally often. Photos are drawn by group weight, objects by the square root of their area, which keeps
    crowded photos from dominating.
    """

    def __init__(self, pack: Pack, indices: Sequence[int], weights: Mapping[str, float], generator: torch.Generator):
        self.pack, self.generator = pack, generator
        usable = [i for i in indices if pack.photos[i].objects and weights.get(pack.photos[i].group, 1.0) > 0]
        if not usable:
            raise DataError("no photo with objects", "at least one labelled photo with a positive weight")
        counts: dict[str, int] = {}
        for i in usable:
            counts[pack.photos[i].group] = counts.get(pack.photos[i].group, 0) + 1
        self.indices = usable
        self.odds = torch.tensor(
            [weights.get(pack.photos[i].group, 1.0) / math.sqrt(counts[pack.photos[i].group]) for i in usable]
        )

    def uniform(self, low: float, high: float) -> float:
        """One uniform draw from the sampler's own generator."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def draw(self, batch: int, size: int, device: torch.device, whole: bool = False) -> Views:
        """`batch` views of `size` x `size` pixels on `device`; the `whole` photo or most of it, if asked."""
        picks = torch.multinomial(self.odds, batch, replacement=True, generator=self.generator).tolist()
        indices = [self.indices[p] for p in picks]
        thetas = torch.stack([self.place(self.pack.photos[i], whole) for i in indices]).to(device)
        images = torch.from_numpy(self.pack.images[indices]).to(device).permute(0, 3, 1, 2).float().div_(255)
        labels = torch.from_numpy(self.pack.labels[indices]).to(device)[:, None].float()
        inside = torch.zeros_like(labels)
        for row, i in enumerate(indices):
            h, w = self.pack.photos[i].size
            inside[row, :, :h, :w] = 1
        shape = [batch, 1, size, size]
        grid = F.affine_grid(thetas, shape, align_corners=False)
        seen = F.grid_sample(inside, grid, mode="nearest", align_corners=False)
        pixels = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
        mapped = F.grid_sample(labels, grid, mode="nearest", align_corners=False)
        grey = 0.5 * (1 - seen)
        return Views(pixels * seen + grey, mapped[:, 0].to(torch.uint8), seen)

    def place(self, photo: PackedPhoto, whole: bool = False) -> Tensor:
        """The (2, 3) affine map from view to canvas, both in [-1, 1], of one random view of `photo`; with `whole` at
        least 0.6 of it."""
        labels = list(photo.objects)
        areas = torch.tensor([photo.objects[k][0] for k in labels], dtype=torch.float)
        label = labels[int(torch.multinomial(areas.sqrt(), 1, generator=self.generator))]
        _, x0, y0, x1, y1 = photo.objects[label]
        longest = max(photo.size)
        tight = min(max(1.15 * max(x1 - x0, y1 - y0), 48.0), 1.05 * longest)
        if whole:
            tight = max(tight, 0.63 * longest)
        side = math.exp(self.uniform(math.log(tight), math.log(1.05 * longest)))
        slack_x, slack_y = (side - (x1 - x0)) / 2, (side - (y1 - y0)) / 2
        cx = (x0 + x1) / 2 + slack_x * self.uniform(-0.9, 0.9)
        cy = (y0 + y1) / 2 + slack_y * self.uniform(-0.9, 0.9)
        half_x, half_y = (min(side, extent) / 2 for extent in (photo.size[1], photo.size[0]))
        cx = min(max(cx, half_x), photo.size[1] - half_x)  # prefer the photo to the grey around it
        cy = min(max(cy, half_y), photo.size[0] - half_y)
        turn = self.uniform(-0.25, 0.25) if self.uniform(0, 1) < 0.3 else 0.0
        stretch = math.exp(self.uniform(-0.15, 0.15))
        mirror = -1.0 if self.uniform(0, 1) < 0.5 else 1.0
        canvas = float(self.pack.labels.shape[1])
        half = side / canvas
        cos, sin = math.cos(turn) * half, math.sin(turn) * half
        return torch.tensor(
            [
                [mirror * cos * stretch, -sin / stretch, 2 * cx / canvas - 1],
                [mirror * sin * stretch, cos / stretch, 2 * cy / canvas - 1],
            ]
        )


def pick_objects(labels: Tensor, count: int, merge: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Choose `count` objects in each of b label maps (b, S, S) uint8, by the square root of visible area.

    With probability `merge` an object is joined with another of the same view, as one target.

    Returns
    -------
    rows (n,) view of each target, targets (n, 1, S, S) bool, void (n, 1, S, S) bool; views without a visible
    object give none.
    """
    rows, targets = [], []
    smallest = labels.shape[-1] ** 2 // 400
    for row, view in enumerate(labels):
        areas = torch.bincount(view.flatten().long(), minlength=256).float().cpu()
        areas[0] = areas[IGNORE] = 0
        odds = torch.where(areas >= smallest, areas.sqrt(), 0.0)
        present = int((odds > 0).sum())
        if present == 0:
            continue
        picks = torch.multinomial(odds, min(count, present), generator=generator).tolist()
        for pick in picks:
            target = view == pick
            if present > 1 and float(torch.rand((), generator=generator)) < merge:
                other = odds.clone()
                other[pick] = 0
                target = target | (view == int(torch.multinomial(other, 1, generator=generator)))
            rows.append(row)
            targets.append(target)
    if not rows:
        empty = torch.zeros(0, 1, *labels.shape[1:], dtype=torch.bool, device=labels.device)
        return torch.zeros(0, dtype=torch.long, device=labels.device), empty, empty
    index = torch.tensor(rows, device=labels.device)
    return index, torch.stack(targets)[:, None], (labels == IGNORE)[index][:, None]
