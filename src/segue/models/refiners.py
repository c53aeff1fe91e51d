"""Refiners: what sharpens a probability map with the image alone, after the model (ClickAdapter's table II).

Each is a function of an image (H, W, 3) uint8 and a probability (H, W) that returns a probability of that size;
``Refined`` is any model with one behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import logit
from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.geometry import gaussian_blur, mask_box
from segue.core.registry import Registry, RegistryEntry
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.wrappers import Wrapper

DISTANCES = (1, 2, 4, 8, 12, 24)  # of the neighbours that pamr averages over


def pamr(image: Image, probability: Probability, iterations: int = 10) -> Probability:
    """Pixel-adaptive mask refinement: every pixel becomes the mean of its neighbours, weighted by likeness.

    Neighbours lie at distances 1, 2, 4, 8, 12 and 24 in eight directions; likeness is exp(-|dI| / (0.1 sigma)), sigma
    the colours' local deviation. Source: Araslanov and Roth 2020, section 4.2 and equation 4.

    >>> image = np.zeros((30, 40, 3), np.uint8)
    >>> image[:, 20:] = 255
    >>> rough = np.zeros((30, 40), np.float32)
    >>> rough[:, 19:] = 1
    >>> bool(pamr(image, rough)[15, 19] < 0.5)
    True
    """
    pixels = np.moveaxis(image, -1, 0).astype(np.float32) / 255
    near = np.concatenate([_neighbours(pixels, d) for d in DISTANCES], 1)
    deviation = near.std(1, keepdims=True, ddof=1) + 1e-8
    affinity = np.exp((-np.abs(near - pixels[:, None]) / (0.1 * deviation)).mean(0))
    affinity /= affinity.sum(0)
    mask = np.ascontiguousarray(probability, np.float32)
    for _ in range(iterations):
        around = np.concatenate([_neighbours(mask[None], d) for d in DISTANCES], 1)[0]
        mask = (around * affinity).sum(0)
    return mask


def _neighbours(planes: NDArray[Any], distance: int) -> NDArray[Any]:
    """(c, h, w) -> (c, 8, h, w): the eight pixels at ``distance``, the border repeated."""
    h, w = planes.shape[-2:]
    padded = np.pad(planes, ((0, 0), (distance, distance), (distance, distance)), mode="edge")
    steps = [(dy * distance, dx * distance) for dy in (0, 1, 2) for dx in (0, 1, 2) if (dy, dx) != (1, 1)]
    return np.stack([padded[:, dy : dy + h, dx : dx + w] for dy, dx in steps], 1)


def dense_crf(
    image: Image, probability: Probability, iterations: int = 5, spread: float = 60.0, colour: float = 12.0
) -> Probability:
    """Mean-field inference of a conditional random field whose pixels agree when they lie and look alike.

    The appearance kernel is approximated by the mean over cells of ``spread`` pixels and twice ``colour`` levels
    (no interpolation between cells), the smoothness kernel by a Gaussian of 3 pixels; weights 10 and 3, as published.
    Source: Krähenbühl and Koltun 2011, equations 2 to 4; Zheng et al. 2015 unroll the same iterations.

    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> image[10:30, 10:30] = 255
    >>> rough = np.full((40, 40), 0.2, np.float32)
    >>> rough[12:32, 12:32] = 0.8
    >>> bool(dense_crf(image, rough)[11, 11] > 0.5)
    True
    """
    clipped = np.clip(probability.astype(np.float64), 1e-4, 1 - 1e-4)
    unary = np.log(clipped) - np.log1p(-clipped)
    grid = _BilateralGrid(image, spread, colour)
    belief = clipped
    for _ in range(iterations):
        alike = 10 * (2 * grid.filter(belief) - 1)
        smooth = 3 * (2 * gaussian_blur(belief, 3.0) - 1)
        belief = 1 / (1 + np.exp(-(unary + alike + smooth)))
    refined: Probability = belief.astype(np.float32)
    return refined


class _BilateralGrid:
    """Bilateral filtering in cells of place and colour (after Chen, Paris and Durand 2007)."""

    def __init__(self, image: Image, spread: float, colour: float) -> None:
        h, w = image.shape[:2]
        y, x = np.mgrid[:h, :w]
        colours = (image.astype(np.float64) / (2 * colour)).round().astype(int)
        cells = [(y / spread).round().astype(int), (x / spread).round().astype(int), *np.moveaxis(colours, -1, 0)]
        self.index, self.size = _numbered(cells)
        self.counts = np.maximum(np.bincount(self.index, minlength=self.size), 1)
        self.shape = (h, w)

    def filter(self, belief: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean belief of each pixel's cell."""
        sums = np.bincount(self.index, belief.ravel(), self.size)
        mean: NDArray[np.float64] = (sums / self.counts)[self.index].reshape(self.shape)
        return mean


def _numbered(cells: list[NDArray[np.int_]]) -> tuple[NDArray[np.int_], int]:
    table = np.stack([c.ravel() for c in cells], 1)
    _, index = np.unique(table, axis=0, return_inverse=True)
    flat = index.ravel()
    return flat, int(flat.max()) + 1


def local(image: Image, probability: Probability, margin: float = 0.4) -> Probability:
    """Decide only the uncertain band anew: a graph cut in the box around the mask, its sure pixels held.

    FocalClick refines a crop with a network; this keeps the crop and replaces the network by colours.
    Source: Chen et al. 2022, section 3.2 (focus crop), without learned weights.

    >>> image = np.zeros((60, 60, 3), np.uint8)
    >>> image[20:40, 20:40] = 220
    >>> rough = np.zeros((60, 60), np.float32)
    >>> rough[22:38, 22:38], rough[18:22, 18:42] = 0.95, 0.5
    >>> bool(local(image, rough)[20, 30] > 0.5), bool(local(image, rough)[18, 30] > 0.5)
    (True, False)
    """
    mask = probability > 0.5
    box = mask_box(mask)
    if box is None:
        return probability
    x0, y0, x1, y1 = box
    extra_y, extra_x = (int(margin * side) + 5 for side in (y1 - y0, x1 - x0))
    y0, y1, x0, x1 = max(0, y0 - extra_y), y1 + extra_y, max(0, x0 - extra_x), x1 + extra_x
    crop, inside = np.ascontiguousarray(image[y0:y1, x0:x1]), probability[y0:y1, x0:x1]
    labels = np.where(inside > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inside > 0.9], labels[inside < 0.1] = cv2.GC_FGD, cv2.GC_BGD
    if not (labels == cv2.GC_BGD).any() or not np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        return probability
    cv2.grabCut(crop, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    refined = probability.copy()
    cut = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    refined[y0:y1, x0:x1] = np.where(cut, np.maximum(inside, 0.51), np.minimum(inside, 0.49))
    return refined


PHOTO = "refined_photo"
Refiner = Callable[[Image, Probability], Probability]


REFINERS: Registry[RegistryEntry] = Registry(
    "refiner",
    {
        "crf": RegistryEntry("segue.models.refiners:dense_crf", "mean field of a CRF over colours and places"),
        "pamr": RegistryEntry("segue.models.refiners:pamr", "averages over pixels of like colour"),
        "local": RegistryEntry("segue.models.refiners:local", "graph cut of the uncertain band alone"),
    },
)


def with_refiner(model: Segmenter, name: str | None) -> Segmenter:
    """``model`` with refiner ``name`` behind it; None leaves it as it is. Raises ``UnknownName``.

    >>> from segue.models.nano.model import Nano
    >>> with_refiner(Nano(longest=64, zoom=0), "crf").refiner_name
    'crf'
    """
    return model if name is None else Refined(model, name).eval()


class Refined(Wrapper):
    """Sharpens every answer of ``inner`` with refiner ``name``, at the image's size.

    The memory is the inner model's, from before refinement. One image at a time; frames are the model's own.

    >>> from segue.core.types import Click
    >>> from segue.models.nano.model import Nano
    >>> model = Refined(Nano(longest=64, zoom=0).eval(), "pamr")
    >>> image = np.full((60, 80, 3), 200, np.uint8)
    >>> model.decode(model.encode([image]), [Click(40, 30)]).probability().shape
    (60, 80)
    """

    def __init__(self, inner: Segmenter, name: str) -> None:
        super().__init__(inner)
        self.refiner_name = name
        self.refine: Refiner = REFINERS.load(name)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        if len({image.shape for image in images}) != 1:
            raise InputError("images of several sizes", "one size a batch", "encode them one by one")
        features = self.inner.encode(images, frames)
        return Features({**features.maps, PHOTO: np.stack(images)}, features.frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        prediction = self.inner.decode(self._inner(features), prompts, memory)
        image = features.maps[PHOTO][0]
        refined = [self.refine(image, prediction.probability(k)) for k in range(prediction.logits.shape[1])]
        logits = logit(np.stack(refined)[None])
        return Prediction(logits, prediction.scores, prediction.memory, Frame.resize(image.shape[:2], image.shape[:2]))

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        return self.inner.memory_from_mask(self._inner(features), probability)

    def fingerprint(self) -> str:
        return f"refined({self.refiner_name}, {self.inner.fingerprint()})"

    def _inner(self, features: Features) -> Features:
        return Features({k: v for k, v in features.maps.items() if k != PHOTO}, features.frames)
