"""Objects followed through a video: motion and remembered looks say where each is now, the model draws it there.

Every frame is encoded once for all objects that fill it; a smaller object is looked at in a crop around it, at its own
resolution. What is lost is looked for in the whole frame until it looks like its key frames again.

Source: mask propagation by motion with a refining network (Perazzi et al., 2017, MaskTrack), label propagation by
features (Caron et al., 2021, DINO); putting them together without training is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array, logit, resize, sigmoid
from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.geometry import depth_map, highest_point, mask_box
from segue.core.types import Click, Features, Image, Mask, Probability, Prompt, check_image, check_mask
from segue.models.nano.views import MULTIPLE, expanded
from segue.oneshot.finder import Finder, place
from segue.oneshot.motion import Motion, grey
from segue.oneshot.object_memory import ObjectMemory, Place, Vote, remembered

CROP = 320  # pixels of the longer side of a crop around an object
EXPANSION, LEAST_CROP = 1.6, 0.15  # a crop's size in boxes of the object, and its least in longer sides of the frame
CLOSER = 1.25  # how much larger than in the whole frame a crop has to show an object
MOTION_WEIGHT, LOOKS_WEIGHT = 1.0, 1.0  # of the two in the log-odds of a pixel
SURE = 0.98  # the most that either says
SAME = 0.5  # share of an object's cells that look like it, with less of which it is looked for elsewhere
DOUBTFUL = 0.3  # the share with less of which it is not taken for the object even where nothing else is found
KEPT_SCORE = 0.6  # the score from which a frame is remembered
FEW = 12  # pixels with fewer of which nothing is left of an object


@dataclass(frozen=True, eq=False)
class Tracked:
    """The answer for one object in one frame: ``probability`` (H, W), 0 everywhere where the object is not in sight;
    a ``score`` in [0, 1], the expected IoU; whether it was lost before and found ``again``."""

    probability: Probability
    score: float
    again: bool = False


@dataclass(eq=False)
class _Object:
    """What is known of one object: its memory, where it was last seen, and whether it is in sight."""

    memory: ObjectMemory
    probability: Probability
    box: tuple[float, float, float, float]
    lost: bool = False


@dataclass(frozen=True, eq=False)
class _Answer:
    """What one view says: the ``probability`` (H, W), its ``score``, the share of its patches that look the ``same``
    as the object, and the view's ``features``."""

    probability: Probability
    score: float
    same: float
    features: Features


@dataclass(eq=False)
class _Views:
    """One frame and the views of it that were encoded."""

    finder: Finder
    image: Image
    seen: dict[Frame, Features] = field(default_factory=dict)

    @property
    def whole(self) -> Frame:
        return self.finder.inner.frame((self.image.shape[0], self.image.shape[1]))

    def __call__(self, view: Frame) -> Features:
        if view not in self.seen:
            self.seen[view] = self.finder.encode([self.image], [view])
        return self.seen[view]

    def around(self, box: Sequence[float], expansion: float = EXPANSION) -> Frame:
        """The view of ``box`` (x0, y0, x1, y1) and its surroundings; the whole frame for models that take no crops,
        and where a crop would show no more."""
        whole = self.whole
        if not self.finder.inner.takes_crops:
            return whole
        low, high = np.array(box[:2], np.float64), np.array(box[2:], np.float64)
        crop = expanded(low, high, expansion, LEAST_CROP * max(whole.size), whole.size)
        scale = CROP / max(crop[2] - crop[0], crop[3] - crop[1])
        if scale < CLOSER * max(whole.scale):
            return whole
        resized = (max(1, round((crop[3] - crop[1]) * scale)), max(1, round((crop[2] - crop[0]) * scale)))
        return whole.zoomed(crop, resized, multiple=MULTIPLE)


class Tracker:
    """Objects in one video, from their masks in its first frame.

    ``finder`` is over the model that draws; ``image`` the first frame and ``masks`` its objects by label. Call ``step``
    with each following frame in order; ``correct`` makes the last frame given a key frame of an object. Without
    ``refine`` motion and looks alone are the answer.

    >>> import numpy as np
    >>> from segue.models.nano.model import Nano
    >>> finder = Finder(Nano(longest=64, zoom=0)).eval()
    >>> image = np.zeros((64, 96, 3), np.uint8); image[20:40, 30:60] = 255
    >>> tracker = Tracker(finder, image, {1: image[..., 0] > 0})
    >>> tracker.step(image)[1].probability.shape
    (64, 96)
    """

    def __init__(self, finder: Finder, image: Image, masks: Mapping[int, Mask], *, refine: bool = True) -> None:
        check_image(image)
        self.finder, self.refine = finder, refine
        self._objects: dict[int, _Object] = {}
        self._views, self._grey = _Views(finder, image), grey(image)
        for label, mask in masks.items():
            self.correct(label, mask)

    def correct(self, label: int, mask: Mask) -> None:
        """Take ``mask`` (H, W) bool as what the object ``label`` is in the last frame; an empty one says that it is
        out of sight. A label that is not known yet begins there."""
        check_mask(mask, self._views.image.shape[:2])
        probability, box = mask.astype(np.float32), mask_box(mask)
        known = self._objects.get(label)
        if box is None:
            if known is None:
                raise InputError(f"an empty mask for object {label}", "at least one pixel where it is first seen")
            known.probability, known.lost = probability, True
            return
        memory = known.memory if known else ObjectMemory()
        features = self._views(self._views.around(box))
        memory.add_key(remembered(features, probability, Place.of(features.frame.view(probability), features.frame)))
        self._objects[label] = _Object(memory, probability, box)

    def add_reference(self, image: Image, masks: Mapping[int, Mask]) -> None:
        """Another frame, of any time, whose masks (H, W) bool are known: what the objects look like there helps to
        recognise them."""
        views = _Views(self.finder, image)
        for label, mask in masks.items():
            box = mask_box(mask)
            if box is None or label not in self._objects:
                continue
            check_mask(mask, image.shape[:2])
            features, probability = views(views.around(box)), mask.astype(np.float32)
            spot = Place.of(features.frame.view(probability), features.frame)
            self._objects[label].memory.keys.insert(0, remembered(features, probability, spot))

    def step(self, image: Image, labels: Collection[int] | None = None) -> dict[int, Tracked]:
        """The objects in the next frame (H, W, 3), of the same size, by label; with ``labels`` only those are followed,
        and the others wait for their next key frame."""
        if image.shape != self._views.image.shape:
            raise InputError(f"a frame of {image.shape}", f"{self._views.image.shape} as the first")
        now = grey(image)
        motion, self._grey = Motion(now, self._grey), now
        self._views = _Views(self.finder, image)
        followed = self._objects if labels is None else {k: v for k, v in self._objects.items() if k in labels}
        return {label: self._follow(known, motion) for label, known in followed.items()}

    def _follow(self, known: _Object, motion: Motion) -> Tracked:
        box = None if known.lost else motion.box(known.probability)
        doubtful = None
        if box is not None:
            view = self._views.around(box)
            moved, trust = motion.warp(known.probability, view, half(view))
            answer = self._answer(known, view, moved, trust)
            if answer is not None and answer.same >= SAME:
                return self._take(known, answer)
            doubtful = answer if answer is not None and answer.same >= DOUBTFUL else None
        found = self._search(known)
        if found is not None:
            return self._take(known, found, again=True)
        if doubtful is not None:
            return self._take(known, doubtful)
        known.lost, known.probability = True, np.zeros_like(known.probability)
        return Tracked(known.probability, 0.0)

    def _take(self, known: _Object, answer: _Answer, *, again: bool = False) -> Tracked:
        """The answer as the object's state."""
        known.probability, known.lost = answer.probability, False
        known.box = mask_box(answer.probability > 0.5) or known.box
        if answer.score >= KEPT_SCORE and answer.same >= SAME:
            view = answer.features.frame
            spot = Place.of(view.view(answer.probability), view)
            sure = answer.score >= (1 + KEPT_SCORE) / 2
            known.memory.add(remembered(answer.features, answer.probability, spot), sure=sure)
        return Tracked(answer.probability, answer.score, again)

    def _answer(self, known: _Object, view: Frame, moved: Array, trust: Array) -> _Answer | None:
        """The object in ``view``, expected where ``moved`` (h, w) says as far as ``trust`` goes; None where nothing is
        left of it."""
        features = self._views(view)
        vote = known.memory.vote(features, Place.of(moved, view))
        prior = mixed(moved, trust, resize(vote.near, moved.shape))
        if not (prior > 0.5).any():
            return None
        whole = np.clip(view.to_image_size(prior), 0, 1)
        probability, estimate = self._draw(features, prior, whole) if self.refine else (whole, 1.0)
        inside = probability > 0.5
        if int(inside.sum()) < FEW:
            return None
        same = looks_same(vote, features, probability)
        score = float(np.cbrt(iou_of(inside, whole > 0.5) * estimate * same))
        return _Answer(probability, score, same, features)

    def _draw(self, features: Features, prior: Array, whole: Probability) -> tuple[Probability, float]:
        """The model's outline of what the ``prior`` (h, w) over its view shows, and its estimated IoU."""
        model = self.finder.inner
        drawn = model.decode(features, clicks_for(prior, features), model.memory_from_mask(features, whole))
        return drawn.probability(), float(drawn.scores.max())

    def _search(self, known: _Object) -> _Answer | None:
        """A lost object: around where it was last seen, then in the whole frame."""
        whole = self._views.whole
        for view in dict.fromkeys((self._views.around(known.box, 3 * EXPANSION), whole)):
            features = self._views(view)
            vote = known.memory.vote(features, Place.of(np.zeros((1, 1), np.float32), view)).anywhere
            spot = peak(vote, features)
            if spot is None:
                continue
            closer = self._views.around(spot)
            shown = resize(vote, half(view))
            probable = np.clip(view.to_image_size(shown), 0, 1) if closer != view else None
            moved = resize(vote, half(closer)) if probable is None else resize(closer.view(probable), half(closer))
            answer = self._answer(known, closer, moved, np.ones_like(moved))
            if answer is not None and answer.same >= SAME and answer.score >= KEPT_SCORE:
                return answer
        return None


def half(view: Frame) -> tuple[int, int]:
    """The grid of ``view`` at half its size: that of nano's answers."""
    return max(1, view.grid[0] // 2), max(1, view.grid[1] // 2)


def mixed(moved: Array, trust: Array, vote: Array) -> Array:
    """(h, w) each: where the object was carried by motion, how far that can be trusted, and where it looks like it ->
    the probability that both leave."""
    motion, look = (logit(np.clip(m, 1 - SURE, SURE)) for m in (moved, vote))
    prior = sigmoid(MOTION_WEIGHT * trust * motion + LOOKS_WEIGHT * look)
    return np.asarray(np.where(vote + moved > 0, prior, 0), np.float32)


def looks_same(vote: Vote, features: Features, probability: Probability) -> float:
    """The share of an object's patches that look like it wherever they are: its mean vote inside the mask."""
    small = cv2.resize(
        features.frame.view(probability), (vote.near.shape[1], vote.near.shape[0]), interpolation=cv2.INTER_AREA
    )
    weight = float(small.sum())
    return float((vote.anywhere * small).sum()) / weight if weight else 0.0


def peak(vote: Array, features: Features, least: float = 0.5) -> tuple[float, float, float, float] | None:
    """x0 y0 x1 y1, in image pixels, of the strongest connected part of (h, w) above ``least``."""
    count, labels = cv2.connectedComponents((vote > least).astype(np.uint8))
    if count < 2:
        return None
    best = max(range(1, count), key=lambda part: float(vote[labels == part].sum()))
    x0, y0, x1, y1 = mask_box(labels == best) or (0, 0, 1, 1)
    left, top = place(features.frame, vote.shape, x0, y0)
    right, bottom = place(features.frame, vote.shape, x1, y1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def clicks_for(prior: Array, features: Features, most: int = 3) -> list[Prompt]:
    """A click into the middle of every sizeable part of what (h, w) shows."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((prior > 0.5).astype(np.uint8))
    parts = sorted(range(1, count), key=lambda part: -stats[part, cv2.CC_STAT_AREA])[:most]
    prompts: list[Prompt] = []
    for part in parts:
        if stats[part, cv2.CC_STAT_AREA] < 0.2 * stats[parts[0], cv2.CC_STAT_AREA]:
            continue
        x, y = highest_point(depth_map(labels == part, accuracy=3) * prior)
        prompts.append(Click(*place(features.frame, prior.shape, float(x) + 0.5, float(y) + 0.5)))
    return prompts


def iou_of(a: Mask | NDArray[np.bool_], b: Mask | NDArray[np.bool_]) -> float:
    """IoU of two boolean maps; 0 where both are empty."""
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))
