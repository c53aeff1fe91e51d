"""SimpleClick as the training engine steps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.models.checkpoints import read_state
from segue.models.simpleclick.network import ClickNet
from segue.nn.training_core import ClickCore


class SimpleClickCore(ClickCore):
    """SimpleClick: the clicks enter beside the pixels, so that every decode is a whole forward pass."""

    def __init__(self, net: ClickNet) -> None:
        self.net = net

    def load_backbone(self, path: Path, frozen: int) -> None:
        """A published MAE checkpoint, or what else the network starts from."""
        self.net.load_backbone(read_state(path))
        for block in self.net.blocks()[:frozen]:
            block.requires_grad_(False)

    def backbone(self) -> Sequence[nn.Module]:
        """The encoder."""
        return [self.net.backbone]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """The pixels themselves."""
        return {"image": pixels}

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The whole network; boxes mean nothing to it."""
        image = maps["image"]
        enlarged = F.interpolate(previous, size=image.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.net(image, enlarged, signed_points(clicks)).float()
        size = (previous.shape[-2], previous.shape[-1])
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False), None

    def begin(self, pixels: Tensor) -> Tensor:
        """No mask."""
        return pixels.new_zeros(len(pixels), 1, *pixels.shape[-2:])

    def clicked(self, memory: Tensor, clicks: Tensor) -> Tensor:
        """The same mask: clicks enter by themselves."""
        return memory

    def answer(self, maps: Mapping[str, Tensor], memory: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor | None]:
        """The whole network; logits are enlarged with aligned corners, as published."""
        logits = self.net(maps["image"], memory, signed_points(clicks)).float()
        return F.interpolate(logits, size=memory.shape[-2:], mode="bilinear", align_corners=True), None

    def answered(self, memory: Tensor, logits: Tensor) -> Tensor:
        """The answer's probability."""
        return logits.sigmoid()


def signed_points(clicks: Tensor) -> Tensor:
    """(n, k, 3) x y label -> (n, 2k, 3) y x index: positive rows first, -1 where a row is none of them.

    >>> signed_points(torch.tensor([[[5.0, 3.0, 1.0], [7.0, 2.0, 0.0]]])).tolist()
    [[[3.0, 5.0, 0.0], [-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0], [2.0, 7.0, 1.0]]]
    """
    index = torch.arange(clicks.shape[1], device=clicks.device, dtype=clicks.dtype).expand(clicks.shape[:2])
    table = torch.stack([clicks[..., 1].floor(), clicks[..., 0].floor(), index], dim=-1)
    sides = [torch.where((clicks[..., 2] == label)[..., None], table, -1.0) for label in (1.0, 0.0)]
    return torch.cat(sides, dim=1)
