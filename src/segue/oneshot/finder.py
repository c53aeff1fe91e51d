"""One example, then the same object elsewhere, over any model that understands clicks.

PerSAM's plan without SAM: similarity to the reference gives a map of where the object may be; the map gives
clicks and boxes; the model's masks for them are compared with the reference again, the best is refined by
clicks where mask and map disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import cv2
import numpy as np

from segue.core.arrays import Array
from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.geometry import deepest_point, mask_box
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Features, Image, Mask, Memory, Prediction, Probability, Prompt, Reference
from segue.models.wrappers import Wrapper
from segue.oneshot.appearance import Appearance, appearance, close_crop, compare
from segue.oneshot.calibration import Calibration
from segue.oneshot.examples import closeness, examples_of, negatives_of
from segue.oneshot.matching import Bank, calibrated, cover, mutual, probability, similarity, unit
from segue.oneshot.patch_features import FeatureNormalizer

PATCHES, PHOTO = "patches", "finder.photo"
REMEMBERED = 16
Choose: TypeAlias = Literal["evidence", "iou"]
# How candidates in one image are ranked: a logistic regression on 410 candidates in 66 training photos, with nano's
# evidence. Whether the best of them is the object is the calibration's to say.
WEIGHTS: Mapping[str, float] = {
    "overlap": 1.93,
    "inside": 2.97,
    "recall": -0.61,
    "likeness": 3.58,
    "forward_match": 1.31,
    "backward_match": 1.84,
    "model": 1.33,
    "bias": -9.73,
}


@dataclass(frozen=True, eq=False)
class Match:
    """One object found: the ``prediction``, the ``prompts`` that led to it, the ``evidence`` by name and the ``score``
    in [0, 1]: with a calibration the probability that it is what the reference shows, without one what candidates
    were ranked by; ``denied`` where it is more like one of the reference's negatives."""

    prediction: Prediction
    prompts: tuple[Prompt, ...]
    evidence: Mapping[str, float]
    score: float
    denied: bool = False


@dataclass(frozen=True, eq=False)
class Evidence:
    """What candidates in one image are judged by: the image's ``features`` and ``patches`` (c, h, w), the map
    ``prior`` (h, w) of where the object may be, the ``bank`` of the ``reference``."""

    features: Features
    reference: Reference
    patches: Array
    prior: Array
    bank: Bank
    taken: Mask | None = None  # (H, W) bool, pixels of instances found before
    several: bool = False  # whether what else is likely may be another instance, not a part of this one


class Finder(Wrapper):
    """``model`` with eyes for references.

    ``kind`` chooses the similarity ("mean" as PerSAM, or "contrast"); ``peaks`` is how many places are tried;
    ``rounds`` bounds the clicks that refine the best. Candidates are chosen by the ``evidence`` or, as PerSAM does, by
    their predicted ``iou``. Without a ``calibration``, the model's own if it comes with one, nothing is absent.

    >>> from segue.models.nano.model import Nano
    >>> finder = Finder(Nano(longest=64, zoom=0)).eval()
    >>> image = np.zeros((60, 80, 3), np.uint8); image[20:40, 30:60] = 255
    >>> mask = image[..., 0] > 0
    >>> finder.decode(finder.encode([image]), [Reference(image, mask)]).probability().shape
    (60, 80)
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Reference, Click, Box})
    choose: Choose = "evidence"

    def __init__(
        self,
        model: Segmenter,
        *,
        kind: str = "mean",
        peaks: int = 3,
        rounds: int = 3,
        normalize: FeatureNormalizer | None = None,
        choose: Choose | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__(model)
        if Click not in model.accepts:
            raise InputError(f"{type(model).__name__}", "a model that understands clicks", "choose nano or a SAM")
        self.kind, self.peaks, self.rounds = kind, peaks, rounds
        self.normalize = normalize or FeatureNormalizer.from_model(model)
        self.choose = choose or self.choose
        shipped = model.match_calibration()
        self.calibration = calibration or (None if shipped is None else Calibration.from_json(shipped))
        self._banks: dict[str, Bank] = {}
        self._examples: dict[str, Appearance] = {}

    @property
    def threshold(self) -> float:
        """The least score of a match: the calibration's, 0 without one."""
        return 0.0 if self.calibration is None else self.calibration.threshold

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """The model's own features, the patches that are compared and, of a single image, its pixels."""
        features = self.inner.encode(images, frames)
        maps = {**features.maps, PATCHES: self.normalize(self.inner.patch_features(images, features))}
        if len(images) == 1:
            maps[PHOTO] = images[0][None]
        return Features(maps, features.frames)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """The model's own."""
        return self.inner.memory_from_mask(features, probability)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """A reference -> the object most like it; clicks and boxes beside it correct that answer."""
        references = [p for p in prompts if isinstance(p, Reference)]
        corrections = [p for p in prompts if not isinstance(p, Reference)]
        if not references or (corrections and memory):
            return self.inner.decode(features, corrections, memory)
        best = self.find(features, references[-1]).prediction
        return self.inner.decode(features, corrections, best.memory) if corrections else best

    def find(
        self,
        features: Features,
        reference: Reference,
        prior: Array | None = None,
        taken: Mask | None = None,
        several: bool = False,
    ) -> Match:
        """The likeliest object; it is always there, however unlikely: compare its score with ``threshold``.

        ``prior`` (h, w) replaces the own map of where it may be, ``taken`` (H, W) bool are pixels of other instances,
        ``several`` says that what else is likely may be another one. All of an image's: ``oneshot.instances``.
        """
        prior = self.prior(features, reference) if prior is None else prior
        seen = Evidence(features, reference, features.maps[PATCHES][0], prior, self.bank(reference), taken, several)
        return self.calibrated(self._best(seen), features, reference)

    def explain(self, features: Features, reference: Reference) -> tuple[Probability, tuple[Prompt, ...]]:
        """Why: (H, W) map of where the object may be, and the prompts that the likeliest object was segmented with."""
        prior = self.prior(features, reference)
        return features.frame.to_image_size(prior), self.find(features, reference, prior).prompts

    def look_closer(self, features: Features, reference: Reference, mask: Mask) -> dict[str, float]:
        """What a look from near at ``mask`` (H, W) bool in the image says, by name: see ``appearance.compare``."""
        return self._looks(features, [reference], mask)[0]

    def _looks(self, features: Features, references: Sequence[Reference], mask: Mask) -> list[dict[str, float]]:
        """``look_closer`` for each reference: what was found is encoded once for all of them."""
        found = appearance(features.maps[PHOTO][0], mask, [self._near(mask)], self._patches)
        layers = self.normalize.layers or [found.patches.shape[1]]
        return [compare(self._example(reference), found, layers) for reference in references]

    def _example(self, reference: Reference) -> Appearance:
        if reference.digest not in self._examples:
            while len(self._examples) >= REMEMBERED:
                self._examples.pop(next(iter(self._examples)))
            frame = self._near(reference.mask)
            views = [frame, frame.flipped()]
            self._examples[reference.digest] = appearance(reference.image, reference.mask, views, self._patches)
        return self._examples[reference.digest]

    def _near(self, mask: Mask) -> Frame:
        return self.inner.near_frame((mask.shape[0], mask.shape[1]), close_crop(mask))

    def _patches(self, image: Image, frame: Frame) -> Array:
        patches: Array = self.normalize(self.inner.patch_features([image], self.inner.encode([image], [frame])))[0]
        return patches

    def calibrated(self, match: Match, features: Features, reference: Reference) -> Match:
        """The match with the calibration's probability as its score, no probability without a mask; denied where a
        negative is more like it than every example is."""
        mask, evidence, negatives = match.prediction.mask(), dict(match.evidence), negatives_of(reference)
        if not mask.any():
            return match if self.calibration is None else replace(match, score=0.0)
        denied = False
        if negatives or (self.calibration is not None and not self.calibration.weights.keys() <= evidence.keys()):
            examples = examples_of(reference)
            looks = self._looks(features, [*examples, *negatives], mask)
            closest = max(looks[: len(examples)], key=closeness)
            evidence |= closest
            denied = any(closeness(look) > closeness(closest) for look in looks[len(examples) :])
        score = match.score if self.calibration is None else self.calibration.probability(evidence)
        return replace(match, evidence=evidence, score=score, denied=denied)

    def prior(self, features: Features, reference: Reference) -> Array:
        """(h, w) probability of the object on the grid of patches."""
        patches = features.maps[PATCHES][0]
        bank = self.bank(reference)
        return probability(similarity(patches, bank, self.kind), bank) * inside_image(features.frame, patches.shape[1:])

    def bank(self, reference: Reference) -> Bank:
        """The patches of all examples in several views, and what their own background says of the threshold."""
        if reference.digest not in self._banks:
            views = []
            for one in examples_of(reference):
                for frame in self.inner.reference_frames(one):
                    patches = self.encode([one.image], [frame]).maps[PATCHES][0]
                    mask = frame.view(one.mask.astype(np.float32))
                    grid = (patches.shape[1], patches.shape[2])
                    views.append((patches, cover(mask, grid), inside_image(frame, grid) > 0))
            made = calibrated(views)
            while len(self._banks) >= REMEMBERED:
                self._banks.pop(next(iter(self._banks)))
            self._banks[reference.digest] = made
        return self._banks[reference.digest]

    def fingerprint(self) -> str:
        """The model's and the normalizer's, because both are in the features."""
        return f"{self.inner.fingerprint()}-{self.normalize.digest}"

    def _best(self, seen: Evidence) -> Match:
        tried = [
            self.weigh(seen, prompts, self.inner.decode(seen.features, prompts, memory))
            for prompts, memory in self._proposals(seen)
        ]
        best = max(tried, key=lambda f: f.score)
        for _ in range(self.rounds):
            prior, frame = seen.prior, seen.features.frame
            near = around(cover_of(best.prediction, frame, prior) > 0.5) if seen.several else 1.0
            click = disagreement(best.prediction, prior * near, frame)
            if click is None:
                break
            prompts = (*best.prompts, click)
            prediction = self.inner.decode(seen.features, prompts, best.prediction.memory)
            better = self.weigh(seen, prompts, prediction)
            if better.score <= best.score:
                break
            best = better
        return best

    def weigh(self, seen: Evidence, prompts: Sequence[Prompt], prediction: Prediction) -> Match:
        """The likeliest of a prediction's candidates."""
        options = []
        for k in range(prediction.scores.shape[1]):
            one = replace(prediction, logits=prediction.logits[:, k : k + 1], scores=prediction.scores[:, k : k + 1])
            evidence = judge(one, seen)
            rank = evidence["model"] if self.choose == "iou" else score_from_evidence(evidence)
            options.append(Match(one, tuple(prompts), evidence, rank))
        return max(options, key=lambda f: f.score)

    def _proposals(self, seen: Evidence) -> list[tuple[list[Prompt], Memory | None]]:
        """For every peak: a click; a click in the box of its region; for the first the map itself as a previous mask,
        if there may be several instances only where it hangs together."""
        features, prior, frame = seen.features, seen.prior, seen.features.frame
        made: list[tuple[list[Prompt], Memory | None]] = []
        smooth = neighbourhood_mean(prior) + 1e-3 * prior
        for index, (x, y) in enumerate(peaks(smooth, self.peaks)):
            click = Click(*place(frame, prior.shape, x + 0.5, y + 0.5))
            made.append(([click], None))
            box = region_box(prior, x, y, frame) if Box in self.inner.accepts else None
            if box is not None:
                made.append(([box, click], None))
            if index == 0:
                shown = prior * around(region(prior, x, y)) if seen.several else prior
                whole = np.clip(frame.to_image_size(shown), 0, 1)
                made.append(([click], self.inner.memory_from_mask(features, whole)))
        return made


def judge(prediction: Prediction, seen: Evidence) -> dict[str, float]:
    """The evidence, by name, that a mask is what the reference shows; each about in [0, 1]."""
    prior, patches, bank = seen.prior, seen.patches, seen.bank
    covered = cover_of(prediction, seen.features.frame, prior)
    inside = covered > 0.5 if (covered > 0.5).any() else covered == covered.max()
    pooled = unit((patches * covered).sum((1, 2)), 0)
    taken = None
    if seen.taken is not None:
        grid = (prior.shape[0], prior.shape[1])
        taken = cover(seen.features.frame.view(seen.taken.astype(np.float32)), grid) > 0.25
    forward, backward = mutual(patches, inside, bank, taken)
    prior = prior * around(inside)  # what lies elsewhere may be another instance
    shared = float((prior * covered).sum())
    return {
        "overlap": float(np.minimum(prior, covered).sum() / (np.maximum(prior, covered).sum() + 1e-6)),
        "inside": shared / (float(covered.sum()) + 1e-6),
        "recall": shared / (float(prior.sum()) + 1e-6),
        "likeness": float(pooled @ bank.prototype) / max(bank.self_similarity, 0.1),
        "forward_match": forward,
        "backward_match": backward,
        "model": float(prediction.scores[0, prediction.best]),
    }


def neighbourhood_mean(prior: Array) -> Array:
    """(h, w) -> the mean of every 3 x 3 neighbourhood, of what is there of it."""
    count = cv2.boxFilter(np.ones_like(prior), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    total = cv2.boxFilter(prior, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total / count)


def around(inside: Mask) -> Array:
    """(h, w) bool -> 1 in its bounding box widened by half its size on every side, else 0."""
    corners, box = mask_box(inside), np.zeros(inside.shape, np.float32)
    if corners is not None:
        left, top, right, bottom = corners
        down, across = (bottom - top + 1) // 2, (right - left + 1) // 2
        box[max(0, top - down) : bottom + down, max(0, left - across) : right + across] = 1
    return box


def score_from_evidence(evidence: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS) -> float:
    """Evidence -> score in [0, 1]: a logistic of its weighted sum."""
    total = weights["bias"] + sum(weights[k] * v for k, v in evidence.items())
    return float(1 / (1 + np.exp(-total)))


def cover_of(prediction: Prediction, frame: Frame, prior: Array) -> Array:
    """(h, w) share of every patch of ``prior``'s grid that the predicted mask covers."""
    return cover(frame.view(prediction.mask().astype(np.float32)), (prior.shape[0], prior.shape[1]))


def place(frame: Frame, grid: Sequence[int], x: float, y: float) -> tuple[float, float]:
    """Cell coordinates -> image pixels, kept inside the image."""
    point = np.array([x * frame.grid[1] / grid[1], y * frame.grid[0] / grid[0]], np.float32)
    moved = frame.to_image(point).tolist()
    return min(max(moved[0], 0.0), frame.size[1] - 1.0), min(max(moved[1], 0.0), frame.size[0] - 1.0)


def peaks(prior: Array, most: int, apart: int = 2) -> list[tuple[int, int]]:
    """(x, y) of the ``most`` highest cells that are no two within ``apart`` cells; at least one."""
    left = prior.copy()
    found: list[tuple[int, int]] = []
    for _ in range(most):
        index = int(left.argmax())
        y, x = divmod(index, prior.shape[1])
        if found and float(left[y, x]) < 0.5 * float(prior.max()):
            break
        found.append((x, y))
        left[max(0, y - apart) : y + apart + 1, max(0, x - apart) : x + apart + 1] = -1
    return found


def region(prior: Array, x: int, y: int, least: float = 0.5) -> Mask:
    """(h, w) bool: the connected cells above ``least`` around cell (x, y); none if it is not above."""
    _, labels = cv2.connectedComponents((prior > least).astype(np.uint8))
    return np.asarray((labels == labels[y, x]) & (labels > 0))


def region_box(prior: Array, x: int, y: int, frame: Frame) -> Box | None:
    """The box, in image pixels, of the region around cell (x, y); None for one cell."""
    patches = region(prior, x, y)
    corners = mask_box(patches)
    if corners is None or patches.sum() < 2:
        return None
    x0, y0 = place(frame, prior.shape, corners[0], corners[1])
    x1, y1 = place(frame, prior.shape, corners[2], corners[3])
    return Box(x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


def disagreement(prediction: Prediction, prior: Array, frame: Frame, least: float = 0.75) -> Click | None:
    """A click in the middle of the largest region where mask and map contradict each other clearly, or None."""
    covered = cover_of(prediction, frame, prior)
    missed = (prior > least) & (covered < 0.2)
    wrong = (prior < 1 - least) & (covered > 0.8)
    middles = [(*deepest_point(region, accuracy=3), positive) for region, positive in ((missed, True), (wrong, False))]
    x, y, depth, positive = max(middles, key=lambda middle: middle[2])
    if depth < 1:
        return None
    return Click(*place(frame, prior.shape, x + 0.5, y + 0.5), positive=positive)


def inside_image(frame: Frame, grid: Sequence[int]) -> Array:
    """(h, w) 1 for cells whose middle is inside the image, 0 in the padding."""
    rows = np.arange(grid[0]) + 0.5 < frame.resized[0] * grid[0] / frame.grid[0]
    columns = np.arange(grid[1]) + 0.5 < frame.resized[1] * grid[1] / frame.grid[1]
    return (rows[:, None] & columns[None]).astype(np.float32)
