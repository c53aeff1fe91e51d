"""CLIPSeg as the training engine steps it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segue.core.frame import Size
from segue.models.clipseg.network import ClipSegNet
from segue.models.clipseg.tokens import Tokens

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, not CLIP's: as published


class ClipSegCore:
    """The vision tower once per image, the text tower and the decoder once per text."""

    def __init__(self, net: ClipSegNet, tokens: Tokens) -> None:
        self.net, self.tokens = net, tokens

    def encode(self, levels: Tensor) -> list[Tensor]:
        """The tapped states."""
        return self.net.vision(normalised(levels))

    def decode(self, maps: Sequence[Tensor], texts: Sequence[str], size: Size) -> Tensor:
        """Logits at the pixels' own size."""
        condition = self.net.text(*(t.to(maps[0].device) for t in self.tokens(texts)))
        return self.net.decode(maps, condition, (size[0] // self.net.patch, size[1] // self.net.patch))


def normalised(levels: Tensor) -> Tensor:
    """(b, 3, h, w) levels 0..255 -> what the vision tower was trained on.

    >>> normalised(torch.full((1, 3, 1, 1), 255.0))[0, 0].round(decimals=3)
    tensor([[2.2490]])
    """
    mean, std = (torch.tensor(v, device=levels.device)[:, None, None] for v in (MEAN, STD))
    return (levels.float() / 255 - mean) / std
