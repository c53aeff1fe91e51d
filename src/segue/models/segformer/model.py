"""SegFormer as a click model: clicks and the last mask enter a Mix Transformer beside the image.

The small backbones of ClickAdapter's table I. The encoder keeps the published keys of ``mit_b*.pth``; clicks
enter as in SimpleClick, by an embedding of their own added to the first stage's tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.models.segformer.network import SegFormerClickNet
from segue.models.simpleclick.model import ClickMapModel
from segue.nn.module import load_strict, weights_digest

STRIDE = 32  # the deepest map's


class SegFormerClick(ClickMapModel):
    """A click model on SegFormer's encoder; see ``ClickMapModel`` for what its memory is.

    ``widths`` and ``depths`` are the encoder's: (32, 64, 160, 256) and (2, 2, 2, 2) for B0.

    >>> import numpy as np
    >>> from segue.core.types import Click
    >>> model = SegFormerClick(widths=(8, 16, 40, 64), depths=(1, 1, 1, 1), side=64, channels=8).eval()
    >>> features = model.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> model.decode(features, [Click(10, 20)]).probability().shape
    (30, 40)
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], side: int = 448, channels: int = 256) -> None:
        super().__init__(SegFormerClickNet(widths, depths, channels), (side, side))
        self.depths = tuple(depths)

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

    def fingerprint(self) -> str:
        return weights_digest(self, type(self).__qualname__, str(self.input_size[0]))

    def _check_view(self, frame: Frame) -> None:
        if frame.grid[0] % STRIDE or frame.grid[1] % STRIDE:
            raise InputError(f"a view of {frame.grid[0]} x {frame.grid[1]}", f"multiples of {STRIDE}")
