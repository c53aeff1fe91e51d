"""Words first, clicks after: a model of words whose answer a model of clicks corrects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from segue.core.frame import Frame, Size
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Memory, Prediction, Prompt


class WordsThenClicks(Segmenter):
    """Texts and references go to ``words``; its mask becomes the previous mask of ``clicks``, which corrects it.

    The newest words count: words said later begin again from their own mask. Without words ``clicks`` answers
    alone. This is ``Session.set_mask`` of the words' mask, as one model that a session can drive and undo.

    >>> import numpy as np
    >>> from segue.core.types import Click, Text
    >>> from segue.models.registry import MODELS
    >>> from segue.session.load import build, load
    >>> name = "clipseg-rd64-refined"
    >>> model = WordsThenClicks(build(name, MODELS[name].tiny).eval(), load("nano"))
    >>> features = model.encode([np.zeros((40, 60, 3), np.uint8)])
    >>> said = model.decode(features, [Text("a cup")])
    >>> corrected = model.decode(features, [Text("a cup"), Click(30, 20)], said.memory)
    >>> said.probability().shape, corrected.probability().shape
    (torch.Size([40, 60]), torch.Size([40, 60]))
    """

    def __init__(self, words: Segmenter, clicks: Segmenter) -> None:
        super().__init__()
        self.words, self.clicks = words, clicks

    @property
    def accepts(self) -> frozenset[type]:  # type: ignore[override]
        return self.words.accepts | self.clicks.accepts

    def frame(self, size: Size) -> Frame:
        return self.clicks.frame(size)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        said, clicked = self.words.encode(images), self.clicks.encode(images, frames)
        maps = {f"words.{k}": v for k, v in said.maps.items()} | {f"clicks.{k}": v for k, v in clicked.maps.items()}
        return Features(maps, clicked.frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        spoken = max((i + 1 for i, p in enumerate(prompts) if type(p) not in self.clicks.accepts), default=0)
        kept, said = dict(memory or {}), None
        if int(kept.pop("spoken", torch.tensor(0))) != spoken:
            seen = Features(_under("words", features), (self.words.frame(features.frame.size),))
            said = self.words.decode(seen, [prompts[spoken - 1]])
            mask = said.mask().float()
            kept = dict(self.clicks.memory_from_mask(self._clicked(features), mask))
        if said is None or spoken < len(prompts):
            said = self.clicks.decode(self._clicked(features), prompts[spoken:], kept)
            kept = dict(said.memory)
        return Prediction(said.logits, said.scores, {**kept, "spoken": torch.tensor(spoken)}, said.frame)

    def memory_from_mask(self, features: Features, probability: Tensor) -> Memory:
        return self.clicks.memory_from_mask(self._clicked(features), probability)

    def fingerprint(self) -> str:
        return f"refined({self.words.fingerprint()}, {self.clicks.fingerprint()})"

    def _clicked(self, features: Features) -> Features:
        return Features(_under("clicks", features), features.frames)


def _under(model: str, features: Features) -> Mapping[str, Tensor]:
    start = f"{model}."
    return {name[len(start) :]: value for name, value in features.maps.items() if name.startswith(start)}
