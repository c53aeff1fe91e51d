"""InterFormer as the training engine steps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.models.checkpoints import read_state
from segue.models.interformer.network import InterFormerNet
from segue.models.interformer.reference_map import unknown_labels, with_answer, with_clicks
from segue.nn.training_core import ClickCore


class InterFormerCore(ClickCore):
    """InterFormer: the encoder's state once per view, a reference map of clicks and the last answer per decode."""

    def __init__(self, net: InterFormerNet) -> None:
        self.net = net

    def load_backbone(self, path: Path, frozen: int) -> None:
        """A published MAE checkpoint."""
        self.net.load_backbone(read_state(path))
        for block in list(self.net.backbone.layers)[:frozen]:
            block.requires_grad_(False)

    def backbone(self) -> Sequence[nn.Module]:
        """The ViT."""
        return [self.net.backbone]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """The decoder's keys and values."""
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (self.net.config.mean, self.net.config.std))
        return self.net.encode((255 * pixels - mean) / std)

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One pass over the reference map; boxes mean nothing to it."""
        size = [side * self.stride for side in previous.shape[-2:]]
        running = F.interpolate(self._running(previous), size=size, mode="nearest").to(torch.uint8)
        return difference(self.net.decode(maps, self.clicked(running, clicks))), None

    def carried(self, previous: Tensor, probability: Tensor) -> Tensor:
        """The answer, and the labels that all answers so far have left: (n, 2, s, s)."""
        return torch.cat([probability, with_answer(self._running(previous), probability > 0.5).to(probability)], 1)

    def _running(self, previous: Tensor) -> Tensor:
        """The labels (n, 1, s, s) that a mask, or answers before it too, leave where nothing was clicked."""
        if previous.shape[1] == 2:
            return previous[:, 1:]
        labels = unknown_labels(previous.shape[-2:], previous.device).to(previous).repeat(len(previous), 1, 1, 1)
        shown = previous.flatten(1).any(1).view(-1, 1, 1, 1)
        return torch.where(shown, with_answer(labels, previous > 0.5), labels)

    def begin(self, pixels: Tensor) -> Tensor:
        """A reference map of unknown pixels."""
        return unknown_labels(pixels.shape[-2:], pixels.device).repeat(len(pixels), 1, 1, 1)

    def clicked(self, memory: Tensor, clicks: Tensor) -> Tensor:
        """The running reference map with the disks of new clicks."""
        c, rows = self.net.config, []
        for labels, points in zip(memory, clicks.tolist(), strict=True):
            table = [(int(y), int(x), label > 0) for x, y, label in points if label >= 0]
            rows.append(with_clicks(labels, table, c.inner_radius, c.outer_radius))
        return torch.stack(rows)

    def answer(self, maps: Mapping[str, Tensor], memory: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor | None]:
        """One pass over the reference map; both heads."""
        fused, size = self.net.fuse(maps, memory), memory.shape[-2:]
        main, auxiliary = difference(self.net.decode_head(fused)), difference(self.net.auxiliary_head(fused[2]))
        return enlarged(main, size), enlarged(auxiliary, size)

    def answered(self, memory: Tensor, logits: Tensor) -> Tensor:
        """The running reference map after an answer, by the rule of inference."""
        return with_answer(memory, logits > 0)


def difference(two: Tensor) -> Tensor:
    """Logits (n, 2, h, w) -> (n, 1, h, w): the sigmoid of the difference is the softmax over the two.

    >>> difference(torch.tensor([[[[1.0]], [[3.0]]]])).item()
    2.0
    """
    return (two[:, 1:] - two[:, :1]).float()


def enlarged(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (n, 1, h, w) on the grid ``size``, bilinear.

    >>> enlarged(torch.zeros(1, 1, 2, 2), (4, 4)).shape
    torch.Size([1, 1, 4, 4])
    """
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
