"""Following an object through a video: labels flow from earlier frames, the model draws the outline.

Source: label propagation by dense feature similarity in a window (Jabri et al., 2020; Caron et al., 2021, DINO),
with PerSAM's reference for finding the object again; the refinement by a click model is ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from segue.core.arrays import Array, resize
from segue.core.geometry import depth_map, highest_point, mask_box
from segue.core.types import Box, Click, Features, Mask, Probability, Prompt, Reference, on_host
from segue.oneshot.finder import PATCHES, Finder, place
from segue.oneshot.matching import cover, unit

REACH = 7  # cells that an object may move between two frames
KEPT = 2  # frames before this one that labels flow from, besides the reference
SHARP = 0.05  # temperature of the vote of earlier cells
AGREE = 0.6  # IoU with the flowed labels that the drawn outline needs
GONE = 4.0  # cells: with less of the object left, it is looked for again


@dataclass(frozen=True, eq=False)
class PastFrame:
    """An earlier frame: unit ``patches`` (c, h, w), how much of each is the object, ``labels`` (h, w) in 0..1, and
    how far labels may ``reach`` from it."""

    patches: Array
    labels: Array
    reach: int


@dataclass(frozen=True, eq=False)
class Tracked:
    """The answer for one frame: ``probability`` (H, W), a ``score`` in [0, 1], and whether the object had to be
    found ``again``."""

    probability: Probability
    score: float
    again: bool


class Tracker:
    """The state of one object in one video.

    ``finder`` is over the model that draws; ``reference`` the first frame and its mask. Call ``step`` with the
    features of each following frame in order. Without ``refine`` the flowed labels are the answer.

    >>> import numpy as np
    >>> from segue.models.nano.model import Nano
    >>> finder = Finder(Nano(longest=64, zoom=0)).eval()
    >>> image = np.zeros((64, 96, 3), np.uint8); image[20:40, 30:60] = 255
    >>> tracker = Tracker(finder, Reference(image, image[..., 0] > 0))
    >>> tracker.step(finder.encode([image])).probability.shape
    (64, 96)
    """

    def __init__(self, finder: Finder, reference: Reference, *, refine: bool = True) -> None:
        self.finder, self.reference, self.refine = finder, reference, refine
        features = finder.encode([reference.image])
        patches = fine_patches(features)
        labels = shrunk(features, reference.mask.astype(np.float32), patches)
        self.first = PastFrame(patches, labels, 3 * REACH)
        self.last: deque[PastFrame] = deque([PastFrame(patches, labels, REACH)], maxlen=KEPT)

    def step(self, features: Features) -> Tracked:
        """The object in the next frame."""
        patches = fine_patches(features)
        flowed = flow(patches, [self.first, *self.last])
        whole = np.clip(features.frame.to_image_size(flowed), 0, 1)
        again = float(flowed[flowed > 0.5].sum()) < GONE
        if again:
            found = self.finder.find(features, self.reference)[0]
            score, probability = found.score, found.prediction.probability()
            if score < self.finder.threshold:
                probability = np.zeros_like(whole)
        elif self.refine:
            probability, score = self._draw(features, flowed, whole)
        else:
            probability, score = whole, float(flowed.max())
        if not again or score >= self.finder.threshold:  # what is not there must not teach what it looks like
            self.last.append(PastFrame(patches, shrunk(features, probability, patches), REACH))
        return Tracked(probability, score, again)

    def _draw(self, features: Features, flowed: Array, whole: Probability) -> tuple[Probability, float]:
        """The model's outline where it agrees with the flowed labels, else those labels."""
        model = self.finder.inner
        prompts = prompts_for(flowed, features, Box in model.accepts)
        said = model.decode(features, prompts, model.memory_from_mask(features, whole))
        drawn = said.probability()
        agreement = iou_of(drawn > 0.5, whole > 0.5)
        return (drawn, agreement) if agreement >= AGREE else (whole, agreement)


def fine_patches(features: Features) -> Array:
    """(c, h, w) unit vectors on the finest grid of features that are meant for comparing."""
    patches: Array = features.maps[PATCHES][0]
    near = features.maps.get("embedding")
    if near is None or near.shape[-2:] == patches.shape[-2:]:
        return patches
    fine = on_host(near)[0]
    enlarged = resize(patches, (fine.shape[1], fine.shape[2]))
    return unit(np.concatenate((unit(fine), unit(enlarged))))


def shrunk(features: Features, probability: Probability, patches: Array) -> Array:
    """(H, W) probability -> (h, w) on the grid of ``patches``."""
    return cover(features.frame.view(probability), (patches.shape[1], patches.shape[2]))


def flow(patches: Array, earlier: Sequence[PastFrame]) -> Array:
    """(c, h, w) -> (h, w) in 0..1: every patch takes the labels of earlier patches near it that look like it.

    >>> patches = unit(np.random.default_rng(0).random((8, 4, 6)))
    >>> labels = np.float32(np.arange(24).reshape(4, 6) % 5 == 0)
    >>> bool(((flow(patches, [PastFrame(patches, labels, 9)]) > 0.5) == (labels > 0.5)).mean() > 0.8)
    True
    """
    height, width = patches.shape[1:]
    flat = patches.reshape(len(patches), -1)
    votes, weight = np.zeros(flat.shape[1], np.float32), np.zeros(flat.shape[1], np.float32)
    for past in earlier:
        vote = flat.T @ past.patches.reshape(len(flat), -1)
        np.exp((vote - 1) / SHARP, out=vote)
        vote *= near(height, width, past.reach)
        votes += vote @ past.labels.ravel()
        weight += vote.sum(1)
    return (votes / (weight + np.float32(1e-9))).reshape(height, width)


@lru_cache(maxsize=8)
def near(height: int, width: int, reach: int) -> Array:
    """(n, n) 1 where two of the n = height * width cells are at most ``reach`` rows and columns apart, else 0."""
    down, across = (np.abs(np.arange(n)[:, None] - np.arange(n)) <= reach for n in (height, width))
    return np.kron(down, across).astype(np.float32)


def prompts_for(flowed: Array, features: Features, boxes: bool) -> list[Prompt]:
    """Clicks (and a box) that say what the flowed labels (h, w) say: the middle of every sizeable part, and what is
    not the object right beside it."""
    certain = (flowed > 0.5).astype(np.uint8)
    frame, grid = features.frame, flowed.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(certain)
    prompts: list[Prompt] = []
    largest = stats[1:, cv2.CC_STAT_AREA].max()
    for part in sorted(range(1, count), key=lambda k: -stats[k, cv2.CC_STAT_AREA])[:3]:
        if stats[part, cv2.CC_STAT_AREA] < 0.2 * largest:
            continue
        x, y = highest_point(depth_map(labels == part, accuracy=3) * flowed)
        prompts.append(Click(*place(frame, grid, float(x) + 0.5, float(y) + 0.5)))
    if boxes:
        left, top, right, bottom = mask_box(certain) or (0, 0, 0, 0)
        x0, y0 = place(frame, grid, left - 0.5, top - 0.5)
        x1, y1 = place(frame, grid, right + 0.5, bottom + 0.5)
        prompts.insert(0, Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
    return prompts


def iou_of(a: Mask, b: Mask) -> float:
    """IoU of two boolean maps; 0 where both are empty."""
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))
