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
            rows.append(with_clicks(labels, table, self.net.config.inner_radius, self.net.config.outer_radius))
        two = self.net.decode(maps, torch.cat(rows)).float()
        return two[:, 1:] - two[:, :1], None
