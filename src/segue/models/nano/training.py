"""nano as the training engine steps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.models.checkpoints import read_state
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.network import NanoNet, calibrate
from segue.models.nano.settings import MAPS
from segue.nn.module import load_strict
from segue.nn.training_core import CoarsePass


class NanoCore:
    """nano: logits at stride 2, an IoU estimate, clicks and boxes."""

    stride = 2

    def __init__(self, network: NanoNet, coarse_pass: CoarsePass) -> None:
        self.net = network
        self.coarse_pass: CoarsePass | None = coarse_pass
        self.fresh = True

    def load_backbone(self, path: Path, frozen: int) -> None:
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
        """MobileNetV2."""
        return [self.net.encoder.backbone]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """The decoder's maps."""
        maps = self.net.encoder((pixels * 2 - 1).contiguous(memory_format=torch.channels_last))
        return {name: maps[name] for name in MAPS}

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The network's own decoder."""
        logits, score = self.net.decoder(maps, clicks, box, previous)
        return logits, score


def start_backbone(backbone: MobileNetV2, path: Path) -> None:
    """Give ``backbone`` the weights in ``path``.

    ``.npz`` holds the arrays of a TensorFlow MobileNetV2, ``.safetensors`` the state of this very backbone. Both
    take pixels in [-1, 1]. Raises ``CheckpointError`` for weights of another network.
    """
    if path.suffix == ".safetensors":
        load_strict(backbone, read_state(path))
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            backbone.load_arrays(dict(arrays))
    else:
        raise CheckpointError(f"{path}", "a MobileNetV2's arrays (.npz), or its state (.safetensors)")
