"""A small real Segmenter that needs no training: the mask is what looks like the clicked pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from segue.core.frame import Frame, Size
from segue.core.segmenter import Segmenter
from segue.core.types import NO_MEMORY, Box, Click, Features, Image, Memory, Prediction, Prompt


class ColourModel(Segmenter):
    """Pixels nearer in colour to a positive click than to any negative one; its memory counts the calls."""

    accepts: ClassVar[frozenset[type]] = frozenset({Click, Box})

    def __init__(self, longest: int = 64) -> None:
        super().__init__()
        self.longest = longest
        self.scale = nn.Parameter(torch.tensor(20.0))

    def frame(self, size: Size) -> Frame:
        return Frame.longest(size, self.longest)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        frames = tuple(frames or (self.frame(image.shape[:2]) for image in images))
        pixels = [
            f.view(torch.from_numpy(i).permute(2, 0, 1)[None].float() / 255)
            for f, i in zip(frames, images, strict=True)
        ]
        return Features({"pixels": torch.cat(pixels)}, frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        pixels, frame = features.maps["pixels"], features.frame
        near = {True: torch.full_like(pixels[:, :1], 1.0), False: torch.full_like(pixels[:, :1], 0.25)}
        for prompt in prompts:
            if isinstance(prompt, Click):
                distance = self._distance(pixels, frame, prompt)
                near[prompt.positive] = torch.minimum(near[prompt.positive], distance)
        calls = (memory or {}).get("calls", torch.zeros(1)) + 1
        logits = self.scale * (near[False] - near[True])
        return Prediction(logits, torch.full((1, 1), 0.9), {"calls": calls}, frame)

    def memory_from_mask(self, features: Features, probability: Tensor) -> Memory:
        return {"calls": torch.full((1,), 100.0)} if probability.any() else NO_MEMORY

    def _distance(self, pixels: Tensor, frame: Frame, click: Click) -> Tensor:
        x, y = frame.to_grid(torch.tensor([click.x, click.y], dtype=torch.float32)).round().long().tolist()
        colour = pixels[:, :, min(y, pixels.shape[2] - 1), min(x, pixels.shape[3] - 1)][..., None, None]
        return (pixels - colour).abs().amax(1, keepdim=True)
