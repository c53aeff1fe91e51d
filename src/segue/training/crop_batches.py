"""Random crops at full resolution of photos that are read when they are drawn, augmented as published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.core.errors import DataError
from segue.core.types import Image, Mask
from segue.data.record import AnnotatedImage, Sample
from segue.training.click_simulation import Clicks, Scene
from segue.training.recipe_config import CropsConfig

N = TypeVar("N", bound=np.generic)
TRIES = 50  # crops of one photo before another is drawn
CROP_TRIES = 10  # mmsegmentation's
FLIPS = {"horizontal": (1,), "any": (-1, 0, 1)}  # OpenCV's codes
TILT, SHIFT = 3.0, 0.03  # degrees; share of the sides
PADDING = -1.0  # label of no click


@dataclass(frozen=True)
class CropBatch:
    """``pixels`` (b, 3, S, S) in [0, 1]; one target each: ``targets`` and ``ignore_mask`` (b, 1, S, S) bool; ``clicks``
    (b, k, 3) x, y, label, -1 where there is none."""

    pixels: Tensor
    targets: Tensor
    ignore_mask: Tensor
    clicks: Tensor


@dataclass(frozen=True)
class Crop:
    """One view: ``image`` (S, S, 3) RGB uint8, what its user wants, and what never counts (S, S)."""

    image: Image
    scene: Scene
    ignore_mask: Mask


class CropBatches:
    """Crops of the samples of several data sets, drawn in proportion to their ``weights``.

    ``open_with`` makes the clicks that a view begins with. Every view draws from a seed of the run's ``generator``, so
    that threads change nothing.
    """

    def __init__(
        self,
        sets: Sequence[Sequence[Sample]],
        config: CropsConfig,
        batch: int,
        device: torch.device,
        generator: torch.Generator,
        open_with: Callable[[Scene, np.random.Generator], Clicks] | None = None,
    ) -> None:
        self.sets, self.config, self.batch, self.device, self.generator = sets, config, batch, device, generator
        self.open_with = open_with
        shares = [s.weight or float(len(own)) for s, own in zip(config.sources, sets, strict=True)]
        self.odds = np.array(shares) / sum(shares)

    @property
    def views_per_epoch(self) -> int:
        """Views in which an epoch goes by."""
        return self.config.epoch or sum(len(own) for own in self.sets)

    def draw(self) -> CropBatch:
        """The next batch."""
        seeds = torch.randint(2**62, (self.batch,), generator=self.generator).tolist()
        with ThreadPoolExecutor(self.config.workers) as pool:
            views = list(pool.map(self.view, seeds))
        crops, clicks = [crop for crop, _ in views], [clicks for _, clicks in views]
        longest = max(1, *(len(own) for own in clicks))
        table = np.full((len(clicks), longest, 3), PADDING, np.float32)
        for row, own in zip(table, clicks, strict=True):
            row[: len(own)] = own
        pixels, targets, ignore_mask = (
            torch.from_numpy(np.stack(part)).to(self.device)
            for part in zip(*((c.image, c.scene.target, c.ignore_mask) for c in crops), strict=True)
        )
        colours = pixels.permute(0, 3, 1, 2).float().div_(255)
        return CropBatch(colours, targets[:, None], ignore_mask[:, None], torch.from_numpy(table).to(self.device))

    def view(self, seed: int) -> tuple[Crop, Clicks]:
        """One view and the clicks that it begins with. Raises ``DataError`` where no photo shows an object."""
        rng = np.random.default_rng(seed)
        for _ in range(TRIES):
            which = int(rng.choice(len(self.sets), p=self.odds))
            sample = self.sets[which][int(rng.integers(len(self.sets[which])))]
            image, annotated = sample.read()
            stuff = rng.random() < self.config.sources[which].stuff
            crop = crop_of(image, annotated, self.config, rng, stuff)
            if crop is not None:
                empty = np.zeros((0, 3), np.float32)
                return crop, self.open_with(crop.scene, rng) if self.open_with else empty
        raise DataError(f"{TRIES} photos in a row without an object in view", "objects", "check sources:")


def crop_of(
    image: Image, annotated: AnnotatedImage, config: CropsConfig, rng: np.random.Generator, stuff: bool = True
) -> Crop | None:
    """A random crop of a photo and one of its objects, or two joined; None where no crop showed one.

    Objects smaller than ``least_area`` in the crop are passed over (they still count as occupied); where none is left
    the view is one of background.
    """
    chosen = [a for a in annotated.annotations if stuff or not is_stuff(a.extra)]
    masks = [a.mask.view(np.uint8) for a in chosen]
    ignored = annotated.ignore_mask
    ignored_plane = np.zeros(image.shape[:2], np.uint8) if ignored is None else ignored.view(np.uint8)
    for _ in range(TRIES):
        geometry = Geometry.drawn(image.shape[:2], config, rng)
        planes = [geometry.before_crop(mask) for mask in masks]
        place = crop_place(planes, config, rng, geometry.padded)
        seen = [cut(plane, place, config.size) > 0 for plane in planes]
        present = [mask for mask in seen if mask.any()]
        if present or rng.random() < config.background:
            break
    else:
        return None
    objects = [mask for mask in present if mask.sum() >= config.least_area]
    occupied = np.logical_or.reduce(present) if present else np.zeros((config.size, config.size), bool)
    count = min(len(objects), 2 if len(objects) > 1 and rng.random() < config.merge else 1)
    parts = tuple(objects[int(i)] for i in rng.choice(len(objects), count, replace=False)) if objects else ()
    pixels = cut(geometry.before_crop(image, cv2.INTER_LINEAR), place, config.size)
    ignore_mask = cut(geometry.before_crop(ignored_plane), place, config.size) > 0
    return Crop(recoloured(pixels, config.colour, rng), Scene(parts, occupied, len(objects)), ignore_mask)


def is_stuff(extra: object) -> bool:
    """Whether an annotation's ``extra`` says that it is no thing, as COCO panoptic does.

    >>> is_stuff({"coco": {"isthing": 0}}), is_stuff({})
    (True, False)
    """
    rows = extra.values() if isinstance(extra, dict) else ()
    return any(isinstance(row, dict) and row.get("isthing") == 0 for row in rows)


@dataclass(frozen=True)
class Geometry:
    """How a photo lies before it is cropped: scaled to ``scaled`` (h, w), mirrored, turned, tilted, padded."""

    scaled: tuple[int, int]
    flip: int | None
    turns: int
    tilt: NDArray[np.float64] | None
    pad: tuple[int, int, int, int]  # top, bottom, left, right

    @classmethod
    def drawn(cls, size: Sequence[int], config: CropsConfig, rng: np.random.Generator) -> Geometry:
        """At random, for a photo of ``size`` (h, w)."""
        scale = rng.uniform(*config.scale)
        height, width = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        flips = FLIPS.get(config.flip)
        flip = int(rng.choice(flips)) if flips and rng.random() < 0.5 else None
        turns = int(rng.integers(4)) if rng.random() < config.turns else 0
        h, w = (width, height) if turns % 2 else (height, width)
        tilt = None
        if rng.random() < config.tilt:
            angle, dx, dy = rng.uniform(-TILT, TILT), rng.uniform(-SHIFT, SHIFT), rng.uniform(-SHIFT, SHIFT)
            tilt = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
            tilt[:, 2] += dx * w, dy * h
        short = max(0, config.size - h), max(0, config.size - w)
        before = (short[0] // 2, short[1] // 2) if config.padding == "around" else (0, 0)
        pad = before[0], short[0] - before[0], before[1], short[1] - before[1]
        return cls((height, width), flip, turns, tilt, pad)

    @property
    def padded(self) -> tuple[int, int]:
        """(h, w) of what is cropped."""
        h, w = self.scaled[::-1] if self.turns % 2 else self.scaled
        return h + self.pad[0] + self.pad[1], w + self.pad[2] + self.pad[3]

    def before_crop(self, plane: NDArray[np.uint8], interpolation: int = cv2.INTER_NEAREST) -> NDArray[np.uint8]:
        """A photo (h, w, 3) or mask (h, w), laid out; what is added is 0."""
        out = cv2.resize(plane, self.scaled[::-1], interpolation=interpolation)
        if self.flip is not None:
            out = cv2.flip(out, self.flip)
        out = np.rot90(out, self.turns)
        if self.tilt is not None:
            out = cv2.warpAffine(np.ascontiguousarray(out), self.tilt, out.shape[1::-1], flags=interpolation)
        if any(self.pad):
            out = cv2.copyMakeBorder(np.ascontiguousarray(out), *self.pad, cv2.BORDER_CONSTANT, value=0)
        return np.asarray(out, np.uint8)


def crop_place(
    planes: Sequence[NDArray[np.uint8]], config: CropsConfig, rng: np.random.Generator, padded: tuple[int, int]
) -> tuple[int, int]:
    """The crop's upper left corner (y, x), uniform; with ``most_of_one`` the first of ten in which no segment, the
    background included, takes more than that share (mmsegmentation's ``cat_max_ratio``)."""
    labels = np.zeros(padded, np.int32)
    for label, plane in enumerate(planes if config.most_of_one else (), start=1):
        labels[plane > 0] = label
    place = (0, 0)
    for _ in range(CROP_TRIES if config.most_of_one else 1):
        place = int(rng.integers(padded[0] - config.size + 1)), int(rng.integers(padded[1] - config.size + 1))
        if config.most_of_one is None:
            break
        _, counts = np.unique(cut(labels, place, config.size), return_counts=True)
        if len(counts) > 1 and counts.max() / counts.sum() < config.most_of_one:
            break
    return place


def cut(plane: NDArray[N], place: tuple[int, int], size: int) -> NDArray[N]:
    """The crop of ``size`` pixels at ``place`` (y, x).

    >>> cut(np.arange(9).reshape(3, 3), (1, 0), 2).tolist()
    [[3, 4], [6, 7]]
    """
    return plane[place[0] : place[0] + size, place[1] : place[1] + size]


def recoloured(image: Image, kind: str, rng: np.random.Generator) -> Image:
    """(h, w, 3) uint8 -> the same in other colours, as the papers' pipelines draw them.

    >>> recoloured(np.full((1, 1, 3), 7, np.uint8), "none", np.random.default_rng(0)).tolist()
    [[[7, 7, 7]]]
    """
    pixels = np.ascontiguousarray(image, np.uint8)
    if kind == "ritm":
        if rng.random() < 0.75:
            pixels = _clipped(pixels * (1 + rng.uniform(-0.15, 0.4)) + 255 * rng.uniform(-0.25, 0.25))
        return _clipped(pixels + rng.uniform(-10, 10, 3)) if rng.random() < 0.75 else pixels
    return _photometric(pixels, rng) if kind == "photometric" else pixels


def _photometric(pixels: Image, rng: np.random.Generator) -> Image:
    """mmsegmentation's ``PhotoMetricDistortion``: brightness, contrast first or last, saturation, hue, each by half."""

    def contrasted(now: Image) -> Image:
        return _clipped(now * rng.uniform(0.5, 1.5)) if rng.random() < 0.5 else now

    if rng.random() < 0.5:
        pixels = _clipped(pixels + rng.uniform(-32, 32))
    first = rng.random() < 0.5
    pixels = contrasted(pixels) if first else pixels
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = _clipped(hsv[..., 1] * rng.uniform(0.5, 1.5))
        pixels = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(-18, 18))) % 180
        pixels = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    return pixels if first else contrasted(pixels)


def _clipped(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(values, 0, 255), np.uint8)
