"""What training needs of a model: encode views once, decode many targets and clicks, tensors only.

A ``TrainingCore`` is the bridge between a model's tensor graph (its ``parts``) and the one training loop.
Pixels come in [0, 1]; clicks, boxes and masks in the input's own pixels; masks and logits live at ``1 / stride``
of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter
from segue.models.interformer.model import InterFormer
from segue.models.interformer.reference_map import unknown_labels, with_answer, with_clicks
from segue.models.nano.model import Nano
from segue.models.nano.network import calibrate
from segue.models.nano.pretrained_backbone import start_backbone
from segue.models.pretrained import read_state
from segue.models.simpleclick.model import SimpleClick
from segue.models.wrappers import unwrapped


class TrainingCore(Protocol):
    """One model as the training loop sees it."""

    stride: int

    def start(self, path: Path, frozen: int) -> None:
        """Take pretrained encoder weights from ``path`` and fix the first ``frozen`` blocks."""

    def calibrate(self, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor) -> None:
        """Scale fresh layers on one batch before the first step, if the model wants that."""

    def backbone(self) -> Sequence[nn.Module]:
        """The pretrained modules, which learn at their own rate."""

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """(b, 3, S, S) in [0, 1] -> maps whose first axis is b."""

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Maps, clicks (n, k, 3) x y label, box (n, 4), previous (n, 1, s, s) -> logits (n, 1, s, s) and IoU
        logits (n, 1) where the model estimates its own IoU; s is S / stride."""


class NanoCore:
    """nano: logits at stride 2, an IoU estimate, clicks and boxes."""

    stride = 2

    def __init__(self, model: Nano) -> None:
        self.model = model
        self.net = model.network
        self.fresh = True

    def start(self, path: Path, frozen: int) -> None:
        """A file that ``start_backbone`` reads; the stem is fixed with the first block."""
        backbone, self.fresh = self.net.encoder.backbone, False
        start_backbone(backbone, path)
        for module in [backbone.stem, *backbone.blocks[:frozen]] if frozen else []:
            module.requires_grad_(False)

    def calibrate(self, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor) -> None:
        """Data-dependent initialisation, in place of normalisation layers; of the backbone too where nothing
        was loaded into it."""
        calibrate(self.net, pixels * 2 - 1, clicks, box, previous, self.fresh)

    def backbone(self) -> Sequence[nn.Module]:
        """MobileNetV2 or ShuffleNetV2."""
        return [self.net.encoder.backbone]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """The decoder's maps."""
        maps: dict[str, Tensor] = self.net.encoder((pixels * 2 - 1).contiguous(memory_format=torch.channels_last))
        return maps

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The network's own decoder."""
        logits, score = self.net.decoder(maps, clicks, box, previous)
        return logits, score


class SimpleClickCore:
    """SimpleClick: the clicks enter beside the pixels, so that every decode is a whole forward pass."""

    stride = 4

    def __init__(self, model: SimpleClick) -> None:
        self.model = model
        self.net = model.net

    def start(self, path: Path, frozen: int) -> None:
        """A published MAE checkpoint."""
        self.model.start_from_mae(read_state(path))
        for block in list(self.net.backbone.blocks)[:frozen]:
            block.requires_grad_(False)

    def calibrate(self, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor) -> None:
        """Nothing: its layers are normalised."""

    def backbone(self) -> Sequence[nn.Module]:
        """The ViT."""
        return [self.net.backbone]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """The pixels themselves."""
        return {"image": pixels}

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The whole network; boxes mean nothing to it."""
        image = maps["image"]
        seen = F.interpolate(previous, size=image.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.net(image, seen, signed_points(clicks)).float()
        size = (previous.shape[-2], previous.shape[-1])
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False), None


class InterFormerCore:
    """InterFormer: the encoder's state once per view, a reference map of clicks and the last answer per decode."""

    stride = 4

    def __init__(self, model: InterFormer) -> None:
        self.model = model
        self.net = model.net

    def start(self, path: Path, frozen: int) -> None:
        """A published MAE checkpoint."""
        self.model.start_from_mae(read_state(path))
        for block in list(self.net.backbone.layers)[:frozen]:
            block.requires_grad_(False)

    def calibrate(self, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor) -> None:
        """Nothing: its layers are normalised."""

    def backbone(self) -> Sequence[nn.Module]:
        """The ViT."""
        return [self.net.backbone]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """The decoder's keys and values."""
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (self.model.spec.mean, self.model.spec.std))
        return self.net.encode((pixels - mean) / std)

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One pass over the reference map; boxes mean nothing to it."""
        size = [side * self.stride for side in previous.shape[-2:]]
        answer = F.interpolate(previous, size=size, mode="nearest") > 0.5
        rows = []
        for row, points in enumerate(clicks.tolist()):
            labels = unknown_labels(size, clicks.device)
            if bool(previous[row].any()):
                labels = with_answer(labels, answer[row : row + 1])
            table = [(int(y), int(x), label > 0) for x, y, label in points if label >= 0]
            rows.append(with_clicks(labels, table, self.model.spec.inner_radius, self.model.spec.outer_radius))
        two = self.net.decode(maps, torch.cat(rows)).float()
        return two[:, 1:] - two[:, :1], None


def signed_points(clicks: Tensor) -> Tensor:
    """(n, k, 3) x y label -> (n, 2k, 3) y x index: positive rows first, -1 where a row is none of them.

    >>> signed_points(torch.tensor([[[5.0, 3.0, 1.0], [7.0, 2.0, 0.0]]])).tolist()
    [[[3.0, 5.0, 0.0], [-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0], [2.0, 7.0, 1.0]]]
    """
    index = torch.arange(clicks.shape[1], device=clicks.device, dtype=clicks.dtype).expand(clicks.shape[:2])
    table = torch.stack([clicks[..., 1].floor(), clicks[..., 0].floor(), index], dim=-1)
    sides = [torch.where((clicks[..., 2] == label)[..., None], table, -1.0) for label in (1.0, 0.0)]
    return torch.cat(sides, dim=1)


def training_core(model: Segmenter) -> TrainingCore:
    """The core of ``model``, wrappers taken off; ``ConfigError`` for a model that clicks do not train.

    >>> from segue.models.nano.model import Nano
    >>> training_core(Nano(width=0.25)).stride
    2
    """
    inner = unwrapped(model)
    if isinstance(inner, Nano):
        return NanoCore(inner)
    if isinstance(inner, SimpleClick):
        return SimpleClickCore(inner)
    if isinstance(inner, InterFormer):
        return InterFormerCore(inner)
    raise ConfigError(
        f"model {model.name or type(inner).__name__}",
        "nano, a SimpleClick or an InterFormer",
        "adapt others with segue adapt",
    )
