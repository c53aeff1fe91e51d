"""A real Segmenter that needs no weights: it grows regions of like colour around clicks. For tests only."""

from __future__ import annotations

import functools
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segue.core.frame import Frame, Size
from segue.core.types import Box, Click, Features, Image, Memory, Prediction, Probability, Prompt, Reference, Text
from segue.nn.module import TorchSegmenter


class Slow(nn.Module):
    """Passes its input on after a while, so that encoding shows progress."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return x


class ColourModel(TorchSegmenter):
    """A click selects a disk of like colour; a negative click takes its disk away; a box is filled."""

    accepts = frozenset({Click, Box, Text, Reference})

    def __init__(self, encode_seconds: float = 0.0, radius: float = 60.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.slow = nn.Sequential(*[Slow(encode_seconds / 20) for _ in range(20)])
        self.radius = radius

    def frame(self, size: Size) -> Frame:
        return Frame.longest(size, 512, enlarge=False)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        frames = tuple(frames or (self.frame(image.shape[:2]) for image in images))
        maps = [
            frame.view(np.moveaxis(image, -1, 0).astype(np.float32))
            for image, frame in zip(images, frames, strict=True)
        ]
        return self.features({"pixels": self.slow(torch.from_numpy(np.stack(maps)))}, frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        frame, pixels = features.frame, features.maps["pixels"][0]
        height, width = pixels.shape[-2:]
        logits = memory["logits"].copy() if memory else np.full((height, width), -8.0, np.float32)
        yy, xx = np.mgrid[:height, :width]
        prompt = prompts[-1]
        if isinstance(prompt, Click):
            x, y = frame.to_grid(np.array([prompt.x, prompt.y])).round().astype(int).tolist()
            x, y = min(x, width - 1), min(y, height - 1)
            near = (xx - x) ** 2 + (yy - y) ** 2 <= (self.radius * frame.scale[0]) ** 2
            alike = np.abs(pixels - pixels[:, y : y + 1, x : x + 1]).max(0) < 60
            logits[near & alike] = 8.0 if prompt.positive else -8.0
        elif isinstance(prompt, Box):
            (x0, y0), (x1, y1) = frame.to_grid(np.array([[prompt.x0, prompt.y0], [prompt.x1, prompt.y1]])).tolist()
            logits[(xx >= x0) & (xx < x1) & (yy >= y0) & (yy < y1)] = 8.0
        else:
            logits[height // 4 : height // 2, width // 4 : width // 2] = 8.0
        return Prediction(logits[None, None], np.full((1, 1), 0.9, np.float32), {"logits": logits}, frame)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        small = features.frame.view(probability)
        return {"logits": np.where(small > 0.5, np.float32(8), np.float32(-8))}


def photo(path: Path, size: tuple[int, int] = (120, 160), seed: int = 0) -> Path:
    """Write a picture of three flat rectangles on grey; JPEG or PNG by suffix."""
    from segue.data.io.image import write_image

    height, width = size
    image = np.full((height, width, 3), 128, np.uint8)
    image[height // 6 : height // 2, width // 8 : width // 3] = (220, 60, 40)
    image[height // 2 : -height // 8, width // 2 : -width // 10] = (40, 90, 220)
    image[height // 8 : height // 3, width // 2 : -width // 5] = (60 + seed % 100, 200, 80)
    write_image(path, image)
    return path


def nursery() -> None:
    """Fork a server for every line "folder<tab>db<tab>port<tab>pause" that arrives, and say its process id.

    Importing torch takes seconds; a fork of a process that has done it takes none.
    """
    import gc
    import os

    from segue.annotator.app import serve
    from segue.annotator.config import AnnotateConfig

    torch.set_num_threads(1)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        folder, db, port, pause = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            sys.stdout = sys.stderr
            serve(
                AnnotateConfig(folder=folder, db=db, port=int(port), browser=False),
                load=functools.partial(ColourModel, float(pause)),
            )
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    nursery()
