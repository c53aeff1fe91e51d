"""One image and the history of its prompts: what the annotator, the API and the robot drive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from segue.core.errors import InputError
from segue.core.segmenter import Segmenter
from segue.core.types import (
    NO_MEMORY,
    Features,
    Image,
    Mask,
    Memory,
    Prediction,
    Probability,
    Prompt,
    check_mask,
    check_prompts,
)
from segue.data.io.image import Picture, image_of


class Cache(Protocol):
    """Features by image and model, for instance ``session.cache.FeatureCache``."""

    def get(self, model: Segmenter, image: Image) -> Features | None: ...

    def put(self, model: Segmenter, image: Image, features: Features) -> None: ...


@dataclass(frozen=True, eq=False)
class _Step:
    """The prompts so far, the memory after them, and what the model said (None for a mask that was brought)."""

    prompts: tuple[Prompt, ...]
    memory: Memory
    prediction: Prediction | None = None
    given_mask: Mask | None = None


class Session:
    """An image under annotation: prompts in, masks out, exact undo.

    Only the small outputs on the model's grid are kept per step, so the history of a large photograph is
    cheap; maps at the photograph's size are made anew whenever they are asked for. The mask is where the
    probability exceeds ``threshold``. ``features`` of the image spare the encoder, for instance those of another
    session.

    Source: the robot-click protocol's use of previous masks (RITM, section 3); undo is ours.

    >>> import numpy as np, segue
    >>> session = Session(segue.load("nano"), np.full((60, 80, 3), 200, np.uint8))
    >>> session.add(segue.Click(40, 30)).shape
    (60, 80)
    >>> session.undo() is None, len(session.prompts)
    (True, 0)
    """

    def __init__(
        self,
        model: Segmenter,
        image: Picture,
        cache: Cache | None = None,
        *,
        features: Features | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.model, self.image, self.threshold = model, image_of(image), threshold
        self._cache, self._features = cache, features
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def features(self) -> Features:
        """The image's features: given, from the cache, or encoded now."""
        if self._features is None:
            cached = self._cache.get(self.model, self.image) if self._cache else None
            if cached is None:
                cached = self.model.encode([self.image])
                if self._cache:
                    self._cache.put(self.model, self.image, cached)
            self._features = cached
        return self._features

    def add(self, *prompts: Prompt) -> Mask:
        """Answer ``prompts`` on top of all before them: (H, W) bool. A prompt that fails changes nothing."""
        if not prompts:
            raise InputError("no prompt", "at least one click, box, text or reference")
        check_prompts(prompts, self.image.shape[:2], self.model.accepts)
        every = (*self.prompts, *prompts)
        prediction = self.model.decode(self.features, every, self._memory)
        self._push(_Step(every, prediction.memory, prediction))
        return self._mask_now()

    def set_mask(self, mask: Mask) -> Mask:
        """Start over from a mask (H, W) bool made elsewhere; the next clicks correct it."""
        check_mask(mask, self.image.shape[:2])
        memory = self.model.memory_from_mask(self.features, mask.astype(np.float32))
        self._push(_Step((), memory, given_mask=mask.copy()))
        return self._mask_now()

    def undo(self) -> Mask | None:
        """Take the last step back, memory included; the mask before it, or None at the beginning."""
        if self._done:
            self._undone.append(self._done.pop())
        return self.mask

    def redo(self) -> Mask | None:
        """Repeat the step last undone; without one, nothing changes."""
        if self._undone:
            self._done.append(self._undone.pop())
        return self.mask

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Every prompt so far."""
        return self._done[-1].prompts if self._done else ()

    @property
    def probability(self) -> Probability | None:
        """(H, W) float32 in [0, 1], or None before the first prompt."""
        prediction = self.prediction
        if prediction is not None:
            return prediction.probability()
        return self._mask_now().astype(np.float32) if self._done else None

    @property
    def mask(self) -> Mask | None:
        """(H, W) bool, or None before the first prompt."""
        return self._mask_now() if self._done else None

    @property
    def score(self) -> float:
        """The model's own confidence in the current mask, in [0, 1]; 0 before the first prompt."""
        prediction = self._done[-1].prediction if self._done else None
        return float(prediction.scores[0].max()) if prediction is not None else 0.0

    @property
    def prediction(self) -> Prediction | None:
        """What the model last said, every candidate included."""
        return self._done[-1].prediction if self._done else None

    @property
    def _memory(self) -> Memory:
        return self._done[-1].memory if self._done else NO_MEMORY

    def _push(self, step: _Step) -> None:
        self._done.append(step)
        self._undone.clear()

    def _mask_now(self) -> Mask:
        step = self._done[-1]
        if step.prediction is not None:
            return step.prediction.mask(threshold=self.threshold)
        assert step.given_mask is not None
        return step.given_mask.copy()


def segment(model: Segmenter, image: Image, prompts: Sequence[Prompt]) -> Mask:
    """The mask (H, W) bool of ``prompts`` given at once."""
    return Session(model, image).add(*prompts)
