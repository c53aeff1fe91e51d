"""Random views of packed photos and augmented batches of them: crop, scale, rotation and mirror are one
``grid_sample`` on whatever device trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from segue.core.errors import DataError
from segue.training.augment import CutOuts, copy_paste, jitter_colours
from segue.training.config import DataConfig
from segue.training.packing import IGNORE, Pack, PackedPhoto


@dataclass(frozen=True)
class Views:
    """b random square views: pixels (b, 3, S, S) float in [0, 1], labels (b, S, S) int32 (0 background or
    unknown, ``IGNORE`` left out), inside (b, 1, S, S) 1 where the photo is."""

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
        places = [self.place(self.pack.photos[index], whole) for index in indices]
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            views = list(threads.map(self._seen, indices, places, repeat(size)))
        pixels, labels, inside = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*views, strict=True))
        seen = inside[:, None].float()
        colours = pixels.permute(0, 3, 1, 2).float().div_(255)
        return Views(colours * seen + 0.5 * (1 - seen), labels, seen)

    def _seen(self, index: int, place: NDArray[np.float64], size: int) -> tuple[NDArray[np.generic], ...]:
        """Pixels (S, S, 3), labels (S, S) and where the photo is (S, S) of the view that ``place`` maps to a photo."""
        (h, w), half = self.pack.photos[index].size, size / 2
        corners = place @ np.array([[-1, 1, -1, 1], [-1, -1, 1, 1], [1, 1, 1, 1]])
        x0, y0 = np.clip(np.floor(corners.min(1)).astype(int) - 2, 0, (w - 1, h - 1))
        x1, y1 = np.clip(np.ceil(corners.max(1)).astype(int) + 2, 1, (w, h))
        image, labels = self.pack.image(index)[y0:y1, x0:x1], self.pack.label_map(index)[y0:y1, x0:x1]
        # from a pixel of the view to one of the cut: centres at whole numbers, as OpenCV counts them
        to_cut = np.column_stack([place[:, :2] / half, place @ (0.5 / half - 1, 0.5 / half - 1, 1) - (x0, y0) - 0.5])
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
        mapped = cv2.warpAffine(np.ascontiguousarray(labels), to_cut, (size, size), flags=flags)
        inside = cv2.warpAffine(np.ones(labels.shape, np.uint8), to_cut, (size, size), flags=flags)
        pixels = cv2.warpAffine(
            *_reduced(np.ascontiguousarray(image), to_cut),
            (size, size),
            flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return pixels, mapped.astype(np.int32), inside

    def place(self, photo: PackedPhoto, whole: bool = False) -> NDArray[np.float64]:
        """The (2, 3) affine map from one random view of `photo`, in [-1, 1], to its pixels; with `whole` at least 0.6
        of it."""
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
        cos, sin = math.cos(turn) * side / 2, math.sin(turn) * side / 2
        return np.array(
            [
                [mirror * cos * stretch, -sin / stretch, cx],
                [mirror * sin * stretch, cos / stretch, cy],
            ]
        )


def _reduced(image: NDArray[np.uint8], to_image: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """An image shrunk by area to about the scale at which it is shown, and the affine map to its pixels."""
    scale = math.sqrt(abs(np.linalg.det(to_image[:, :2])))
    if scale <= 1.25:
        return image, to_image
    h, w = (max(1, round(side / scale)) for side in image.shape[:2])
    ratio = np.array([w / image.shape[1], h / image.shape[0]])
    moved = to_image * ratio[:, None]
    moved[:, 2] += 0.5 * ratio - 0.5
    return cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), moved


def pick_objects(labels: Tensor, count: int, merge: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Choose `count` objects in each of b label maps (b, S, S), by the square root of visible area.

    With probability `merge` an object is joined with another of the same view, as one target.

    Returns
    -------
    rows (n,) view of each target, targets (n, 1, S, S) bool, void (n, 1, S, S) bool; views without a visible
    object give none.
    """
    rows, targets = [], []
    smallest = labels.shape[-1] ** 2 // 400
    for row, view in enumerate(labels):
        found, counts = (t.cpu() for t in view.unique(return_counts=True))
        known = (found > 0) & (found < IGNORE) & (counts >= smallest)
        values, odds = found[known].tolist(), counts[known].float().sqrt()
        present = len(values)
        if present == 0:
            continue
        picks = torch.multinomial(odds, min(count, present), generator=generator).tolist()
        for pick in picks:
            target = view == values[pick]
            if present > 1 and float(torch.rand((), generator=generator)) < merge:
                other = odds.clone()
                other[pick] = 0
                target = target | (view == values[int(torch.multinomial(other, 1, generator=generator))])
            rows.append(row)
            targets.append(target)
    if not rows:
        empty = torch.zeros(0, 1, *labels.shape[1:], dtype=torch.bool, device=labels.device)
        return torch.zeros(0, dtype=torch.long, device=labels.device), empty, empty
    index = torch.tensor(rows, device=labels.device)
    return index, torch.stack(targets)[:, None], (labels == IGNORE)[index][:, None]


SHAPES = 700  # synthetic ones that are drawn, if any


@dataclass(frozen=True)
class ViewBatch:
    """``pixels`` (b, 3, S, S) in [0, 1]; ``rows`` (n,) the view of each target; ``targets`` and ``ignore_mask``
    (n, 1, s, s) bool; ``inside`` (b, 1, S, S) 1 where the photo is."""

    pixels: Tensor
    rows: Tensor
    targets: Tensor
    ignore_mask: Tensor
    inside: Tensor


class ViewBatches:
    """Views of ``pack``'s photos ``indices``, augmented as ``data`` says, with up to ``objects`` targets each."""

    def __init__(
        self,
        pack: Pack,
        indices: Sequence[int],
        weights: Mapping[str, float],
        data: DataConfig,
        batch: int,
        objects: int,
        device: torch.device,
        generator: torch.Generator,
        seed: int = 0,
    ) -> None:
        self.sampler = ViewSampler(pack, indices, weights, generator)
        folders = [data.root / name for name in data.cutouts]
        self.cutouts = CutOuts.from_folders(folders, cache=data.cache) if folders else CutOuts.drawn(0)
        self.shapes = CutOuts.drawn(SHAPES if data.shapes else 0, seed)
        self.data, self.batch, self.objects, self.device, self.generator = data, batch, objects, device, generator

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which each photo is seen once on average."""
        return max(1, -(-len(self.sampler.indices) // self.batch))

    def draw(self, stride: int) -> ViewBatch:
        """Views of one of the sizes, fewer the larger they are, with targets at ``1 / stride``."""
        sizes = self.data.sizes
        size = sizes[int(torch.randint(len(sizes), (), generator=self.generator))]
        views = self._drawn(max(1, round(self.batch * (sizes[0] / size) ** 2)), size)
        if self.data.turns:
            turns = int(torch.randint(4, (), generator=self.generator))
            pixels, targets, ignore_mask, inside = (
                maps.rot90(turns, (-2, -1)).contiguous()
                for maps in (views.pixels, views.targets, views.ignore_mask, views.inside)
            )
            views = ViewBatch(pixels, views.rows, targets, ignore_mask, inside)
        targets, ignore_mask = (reduced_mask(masks, stride) for masks in (views.targets, views.ignore_mask))
        return replace(views, targets=targets, ignore_mask=ignore_mask)

    def draw_photos(self, size: int) -> ViewBatch:
        """Half a batch of whole photos, or most of each, of ``size`` pixels; targets of the same size."""
        return self._drawn(max(1, self.batch // 2), size, whole=True)

    def draw_close(self, size: int) -> ViewBatch:
        """Half a batch of views of ``size`` pixels; targets of the same size."""
        return self._drawn(max(1, self.batch // 2), size)

    def _drawn(self, count: int, size: int, whole: bool = False) -> ViewBatch:
        views = self.sampler.draw(count, size, self.device, whole)
        pixels, labels = self._augmented(views.pixels, views.labels)
        rows, targets, ignore_mask = pick_objects(labels, self.objects, self.data.merge, self.generator)
        return ViewBatch(pixels, rows, targets, ignore_mask, views.inside)

    def _augmented(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The views with things pasted on some of them and other colours."""
        data = self.data
        pixels, labels = self._copy_pasted(pixels, labels)
        pixels, labels = self.cutouts.paste(pixels, labels, data.paste, data.most_pasted, self.generator)
        pixels, labels = self.shapes.paste(pixels, labels, data.shapes, 1, self.generator)
        return jitter_colours(pixels, self.generator, data.colour), labels

    def _copy_pasted(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The views, some of them with an object of another photo."""
        if not self.data.copy_paste:
            return pixels, labels
        rows = torch.nonzero(torch.rand(len(pixels), generator=self.generator) < self.data.copy_paste)[:, 0]
        if not len(rows):
            return pixels, labels
        others = self.sampler.draw(len(rows), pixels.shape[-1], self.device)
        donors, targets, _ = pick_objects(others.labels, 1, 0.0, self.generator)
        return copy_paste(pixels, labels, rows.to(self.device)[donors], others.pixels[donors], targets)


def reduced_mask(masks: Tensor, stride: int) -> Tensor:
    """(n, 1, S, S) bool -> (n, 1, S / stride, S / stride) bool: cells at least two fifths covered.

    >>> reduced_mask(torch.tensor([[[[True, True], [False, False]]]]), 2).tolist()
    [[[[True]]]]
    """
    return avg_pool2d(masks.float(), stride) > 0.4
