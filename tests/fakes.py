"""A small real Segmenter that needs no training: the mask is what looks like the clicked pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.core.frame import Frame, Size
from segue.core.segmenter import Segmenter
from segue.core.types import NO_MEMORY, Box, Click, Features, Image, Memory, Prediction, Probability, Prompt


class ColourModel(Segmenter):
    """Pixels nearer in colour to a positive click than to any negative one; its memory counts the calls."""

    accepts: ClassVar[frozenset[type]] = frozenset({Click, Box})

    def __init__(self, longest: int = 64) -> None:
        self.longest = longest

    def frame(self, size: Size) -> Frame:
        return Frame.longest(size, self.longest)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        frames = tuple(frames or (self.frame(image.shape[:2]) for image in images))
        pixels = [f.view(np.moveaxis(i, -1, 0) / np.float32(255)) for f, i in zip(frames, images, strict=True)]
        return Features({"pixels": np.stack(pixels)}, frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        pixels, frame = features.maps["pixels"], features.frame
        near = {True: np.ones_like(pixels[:, :1]), False: np.full_like(pixels[:, :1], 0.25)}
        for prompt in prompts:
            if isinstance(prompt, Click):
                near[prompt.positive] = np.minimum(near[prompt.positive], _distance(pixels, frame, prompt))
        calls = (memory or {}).get("calls", np.zeros(1)) + 1
        logits = np.float32(20) * (near[False] - near[True])
        return Prediction(logits, np.full((1, 1), 0.9, np.float32), {"calls": calls}, frame)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        return {"calls": np.full(1, 100.0)} if probability.any() else NO_MEMORY

    def fingerprint(self) -> str:
        return f"colour {self.longest}"


def _distance(pixels: NDArray[Any], frame: Frame, click: Click) -> NDArray[Any]:
    x, y = frame.to_grid(np.array([click.x, click.y], np.float32)).round().astype(int).tolist()
    colour = pixels[:, :, min(y, pixels.shape[2] - 1), min(x, pixels.shape[3] - 1)][..., None, None]
    distance: NDArray[Any] = np.abs(pixels - colour).max(1, keepdims=True)
    return distance
