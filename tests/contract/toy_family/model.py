"""The toy: an image is one convolution at stride 4, a click a disk beside it, the memory the last mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import Click, Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.pretrained import Pretrained
from segue.models.simpleclick.training import signed_points
from segue.nn.clickmaps import click_disks, pack_clicks
from segue.nn.confidence import mask_confidence
from segue.nn.frames import view
from segue.nn.module import TorchSegmenter
from segue.nn.training_core import ClickCore

STRIDE = 4


class ToyNet(nn.Module):
    """The tensor core: ``encode`` once per image, ``decode`` once per click."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, STRIDE, STRIDE)
        self.mix = nn.Conv2d(channels + 3, channels, 3, padding=1)
        self.head = nn.Conv2d(channels, 1, 1)

    def encode(self, pixels: Tensor) -> Tensor:
        """(b, 3, H, W) in [0, 1] -> (b, c, H / 4, W / 4)."""
        return self.stem(pixels).relu()

    def decode(self, embedding: Tensor, points: Tensor, previous: Tensor) -> Tensor:
        """Embedding, points on its grid, previous (b, 1, h, w) -> logits (b, 1, h, w)."""
        disks = click_disks(points, embedding.shape[-2:], 2.0)
        return self.head(self.mix(torch.cat([embedding, disks, previous], 1)).relu())


class _Encoder(nn.Module):
    def __init__(self, net: ToyNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor) -> Tensor:
        return self.net.encode(pixels)


class _Decoder(nn.Module):
    def __init__(self, net: ToyNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, embedding: Tensor, points: Tensor, previous: Tensor) -> Tensor:
        return self.net.decode(embedding, points, previous)


class ToyCore(ClickCore):
    """What the training engine steps."""

    def __init__(self, net: ToyNet) -> None:
        self.net = net

    def load_backbone(self, path: Path, frozen: int) -> None:
        """Nothing to start from."""

    def backbone(self) -> Sequence[nn.Module]:
        return [self.net.stem]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.net.encode(pixels)}

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        scale = clicks.new_tensor([1 / STRIDE, 1 / STRIDE, 1.0])
        return self.net.decode(maps["embedding"], signed_points(clicks * scale), previous), None


class Toy(TorchSegmenter, Pretrained):
    """Clicks in, one mask out; its memory is the last probability on the coarse grid."""

    accepts: ClassVar[frozenset[type]] = frozenset({Click})

    def __init__(self, channels: int = 16, side: int = 64) -> None:
        super().__init__()
        self.side = side
        self.net = ToyNet(channels)

    def frame(self, size: Size) -> Frame:
        return Frame.resize(size, (self.side, self.side))

    @torch.inference_mode()
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        chosen = tuple(frames or (self.frame((i.shape[0], i.shape[1])) for i in images))
        views = [view(frame, self.photo(image)).float() / 255 for image, frame in zip(images, chosen, strict=True)]
        return self.features({"embedding": self.net.encode(torch.cat(views))}, chosen)

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        embedding, clicks = self.tensor(features.maps["embedding"]), [p for p in prompts if isinstance(p, Click)]
        places = features.frame.to_grid(np.array([[c.x, c.y] for c in clicks], np.float32).reshape(-1, 2)) / STRIDE
        points = pack_clicks([(y, x, c.positive) for (x, y), c in zip(places.tolist(), clicks, strict=True)])
        previous = self.tensor(memory["probability"]) if memory else torch.zeros_like(embedding[:, :1])
        logits = self.net.decode(embedding, points.to(embedding.device), previous)
        probability = logits.sigmoid()
        return self.prediction(logits, mask_confidence(probability), {"probability": probability}, features.frame)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        pixels = view(features.frame, self.tensor(probability)[None, None].float())
        return dict(self.features({"probability": nn.functional.avg_pool2d(pixels, STRIDE)}, features.frames).maps)

    def sites(self) -> Mapping[str, str]:
        return {"head": "net.head"}

    def training_core(self) -> ToyCore:
        return ToyCore(self.net)

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        pixels = torch.zeros(1, 3, self.side, self.side)
        embedding = self.net.encode(pixels).detach()
        inputs = {"embedding": embedding, "points": pack_clicks([(2, 3, True)]), "previous": embedding[:, :1]}
        return {
            "encoder": ExportGraph(_Encoder(self.net), {"pixels": pixels}, ("embedding",)),
            "decoder": ExportGraph(_Decoder(self.net), inputs, ("logits",), {"points": {1: "points"}}),
        }
