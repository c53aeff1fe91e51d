"""SegFormer as a click model: clicks and the last mask enter a Mix Transformer beside the image.

The small backbones of ClickAdapter's table I. The encoder keeps the published keys of ``mit_b*.pth``; clicks
enter as in SimpleClick, by an embedding of their own added to the first stage's tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError, InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import load_strict, weights_digest
from segue.models.segformer.network import MixTransformer, OverlapPatchEmbed
from segue.models.simpleclick.model import SimpleClick
from segue.nn.clickmaps import click_disks
from segue.nn.heads import AllMlpHead

STRIDE = 32  # the deepest map's
RADIUS = 5.0


class Maps(nn.Module):
    """Passes the pyramid on: the place where an adapter looks at it. ``widths`` are its channels."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths, self.last_width = tuple(widths), widths[-1]

    def forward(self, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        return maps


class SegFormerClickNet(nn.Module):
    """The tensor core: image in [0, 1], previous mask and points -> logits at stride 4.

    >>> net = SegFormerClickNet((8, 16, 40, 64), (1, 1, 1, 1), channels=8)
    >>> points = torch.tensor([[[20.0, 30.0, 0.0], [-1.0, -1.0, -1.0]]])
    >>> net(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), points).shape
    torch.Size([1, 1, 16, 16])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, widths: Sequence[int], depths: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.patch_embed_coords = OverlapPatchEmbed(3, widths[0], 7, 4)
        self.backbone = MixTransformer(widths, depths)
        self.neck = Maps(widths)
        self.head = AllMlpHead(widths, channels)
        del self.head.up_conv1, self.head.up_conv2  # only SimpleClick's checkpoints carry these unused layers
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, previous: Tensor, points: Tensor) -> Tensor:
        """As ``SimpleClickNet``."""
        disks = click_disks(points, previous.shape[-2:], RADIUS).to(previous)
        tokens = self.patch_embed_coords(torch.cat([previous, disks], 1))
        maps = self.backbone((image - self.mean) / self.std, tokens)
        out: Tensor = self.head(self.neck(maps))
        return out


class SegFormerClick(SimpleClick):
    """A click model on SegFormer's encoder; see ``SimpleClick`` for what its memory is.

    ``widths`` and ``depths`` are the encoder's: (32, 64, 160, 256) and (2, 2, 2, 2) for B0.

    >>> import numpy as np
    >>> from segue.core.types import Click
    >>> model = SegFormerClick(widths=(8, 16, 40, 64), depths=(1, 1, 1, 1), side=64, channels=8).eval()
    >>> features = model.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> model.decode(features, [Click(10, 20)]).probability().shape
    torch.Size([30, 40])
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], side: int = 448, channels: int = 256) -> None:
        nn.Module.__init__(self)
        self.net = SegFormerClickNet(widths, depths, channels)  # type: ignore[assignment]
        self.side, self.depths = side, tuple(depths)

    @property
    def input_size(self) -> Size:
        return self.side, self.side

    def sites(self) -> Mapping[str, str]:
        blocks: dict[str, str] = {}
        for stage, depth in enumerate(self.depths, start=1):
            for i in range(depth):
                blocks[f"block.{len(blocks)}"] = f"net.backbone.block{stage}.{i}"
        blocks["early"] = f"net.backbone.block1.{self.depths[0] - 1}"  # the last of the first stage
        entry = {"clicks": "net.patch_embed_coords", "patch_embed": "net.backbone.patch_embed1"}
        return {**entry, **blocks, "neck": "net.neck", "head": "net.head"}

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        load_strict(self.net, {k.removeprefix("net."): v for k, v in state.items()})

    def start_from_mit(self, state: Mapping[str, Tensor]) -> None:
        """Take a published ImageNet encoder (``mit_b0.pth``); its classifier is left out."""
        encoder = {k: v for k, v in state.items() if not k.startswith("head.")}
        if not any(k.startswith("patch_embed1.") for k in encoder):
            raise CheckpointError("weights of another network", "a Mix Transformer's, such as mit_b0.pth")
        load_strict(self.net.backbone, encoder)

    def start_from_mae(self, state: Mapping[str, Tensor]) -> list[str]:
        """There is no MAE encoder of this shape."""
        raise CheckpointError("an MAE encoder", "a Mix Transformer's weights, such as mit_b0.pth", "use start_from_mit")

    def fingerprint(self) -> str:
        return weights_digest(self, type(self).__qualname__, str(self.side))

    def _check_view(self, frame: Frame) -> None:
        if frame.grid[0] % STRIDE or frame.grid[1] % STRIDE:
            raise InputError(f"a view of {frame.grid[0]} x {frame.grid[1]}", f"multiples of {STRIDE}")
