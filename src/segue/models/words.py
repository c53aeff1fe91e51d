"""Words first, clicks after: a model of words whose answer a model of clicks corrects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.core.frame import Frame, Size
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Maps, Memory, Prediction, Probability, Prompt
from segue.models.wrappers import Wrapper


class WordsThenClicks(Wrapper):
    """Texts and references go to ``inner``; its mask becomes the previous mask of ``clicks``, which corrects it.

    The newest words count: words given later begin again from their own mask. Without words ``clicks`` answers
    alone. This is ``Session.set_mask`` of the words' mask, as one model that a session can drive and undo.

    >>> import numpy as np
    >>> from segue.core.types import Click, Text
    >>> from segue.models.registry import MODELS
    >>> from segue.session.load import build, load
    >>> name = "clipseg-rd64-refined"
    >>> model = WordsThenClicks(build(name, MODELS[name].tiny).eval(), load("nano"))
    >>> features = model.encode([np.zeros((40, 60, 3), np.uint8)])
    >>> first = model.decode(features, [Text("a cup")])
    >>> corrected = model.decode(features, [Text("a cup"), Click(30, 20)], first.memory)
    >>> first.probability().shape, corrected.probability().shape
    ((40, 60), (40, 60))
    """

    def __init__(self, words: Segmenter, clicks: Segmenter) -> None:
        super().__init__(words)
        self.clicks = clicks

    @property
    def accepts(self) -> frozenset[type]:  # type: ignore[override]
        return self.inner.accepts | self.clicks.accepts

    def frame(self, size: Size) -> Frame:
        return self.clicks.frame(size)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        words, clicks = self.inner.encode(images), self.clicks.encode(images, frames)
        maps = {f"words.{k}": v for k, v in words.maps.items()} | {f"clicks.{k}": v for k, v in clicks.maps.items()}
        return Features(maps, clicks.frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        spoken = max((i + 1 for i, p in enumerate(prompts) if type(p) not in self.clicks.accepts), default=0)
        clicks, carried, prediction = self._clicks(features), dict(memory or {}), None
        if int(carried.pop("spoken", 0)) != spoken:
            words = Features(_under("words", features), (self.inner.frame(features.frame.size),))
            prediction = self.inner.decode(words, [prompts[spoken - 1]])
            carried = dict(self.clicks.memory_from_mask(clicks, prediction.mask().astype(np.float32)))
        if prediction is None or spoken < len(prompts):
            prediction = self.clicks.decode(clicks, prompts[spoken:], carried)
            carried = dict(prediction.memory)
        memory = {**carried, "spoken": np.array(spoken)}
        return Prediction(prediction.logits, prediction.scores, memory, prediction.frame)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        return self.clicks.memory_from_mask(self._clicks(features), probability)

    def fingerprint(self) -> str:
        return f"words-then-clicks({self.inner.fingerprint()}, {self.clicks.fingerprint()})"

    def _clicks(self, features: Features) -> Features:
        return Features(_under("clicks", features), features.frames)


def _under(model: str, features: Features) -> Maps:
    start = f"{model}."
    return {name[len(start) :]: value for name, value in features.maps.items() if name.startswith(start)}
