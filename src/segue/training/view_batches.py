"""Batches of augmented views and the targets in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from segue.training.augment import CutOuts, copy_paste, jitter_colours
from segue.training.config import DataConfig
from segue.training.packing import Pack
from segue.training.view_sampler import ViewSampler, pick_objects

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
