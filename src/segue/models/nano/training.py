"""nano as the training engine steps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.models.checkpoints import read_state
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.network import NanoNet
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

    def carried(self, previous: Tensor, probability: Tensor) -> Tensor:
        """The last answer alone."""
        return probability


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


@torch.no_grad()
def calibrate(
    net: NanoNet, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor, backbone: bool = False
) -> None:
    """Standardise the fresh convolutions on this batch, those of the ``backbone`` too where nothing pretrained it."""
    own = (".logits", ".embed")  # outputs start as they are, ends of residuals in the decoder near 0
    fresh = [
        m
        for name, m in net.named_modules()
        if isinstance(m, nn.Conv2d) and (backbone if "backbone" in name else not name.endswith((*own, ".project")))
    ]
    standardise(fresh, lambda: net.decoder(net.encoder(pixels), clicks, box, previous))
    net.decoder.logits.weight *= 0.2


@torch.no_grad()
def standardise(layers: Iterable[nn.Conv2d], run: Callable[[], object]) -> None:
    """Scale ``layers``, in the order in which ``run`` calls them, so that every channel they make has mean 0 and
    deviation 1 there.

    Data-dependent initialisation (Salimans and Kingma, 2016) in place of normalisation layers: the pretrained
    backbone's features differ in scale by orders of magnitude, and nothing has to be normalised at run time.

    >>> _ = torch.manual_seed(0)
    >>> layer, pixels = nn.Conv2d(3, 4, 1), torch.rand(1, 3, 8, 8)
    >>> standardise([layer], lambda: layer(pixels))
    >>> bool(torch.allclose(layer(pixels).std((0, 2, 3)), torch.ones(4), atol=0.02))
    True
    """

    def scale(layer: nn.Module, _: object, out: Tensor) -> Tensor:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        mean, deviation = out.mean((0, 2, 3)), out.std((0, 2, 3)) + 1e-3
        layer.weight /= deviation[:, None, None, None]
        layer.bias.copy_((layer.bias - mean) / deviation)
        return (out - mean[:, None, None]) / deviation[:, None, None]

    hooks = [layer.register_forward_hook(scale) for layer in layers]
    run()
    for hook in hooks:
        hook.remove()
