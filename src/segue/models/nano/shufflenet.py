"""ShuffleNetV2 (Ma et al., 2018) without batch normalisation, as a pyramid of strides 2 to 32.

NanoDet's variant: leaky ReLU in place of ReLU, no last 1x1 convolution, batch norms folded into the biases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from segue.core.errors import CheckpointError
from segue.models.nano.mobilenet import rounded, strided

STEM = 24
# (channels, units, stride) of the stages 2 to 4: table 5 of the paper, width 1.
STAGES = ((116, 4, 8), (232, 8, 16), (464, 4, 32))
SLOPE = 0.1
# What NanoDet takes from its pixels (blue, green, red in 0..255), and divides them by.
NANODET_MEAN, NANODET_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)


class Unit(nn.Module):
    """Half of the channels pass, the other half goes through 1x1, depthwise 3x3, 1x1; then the halves interleave.

    With stride 2 both halves see the whole input, and the one that passes is shrunk by a depthwise convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        half = outputs // 2
        self.shrink = nn.Conv2d(inputs, inputs, 3, 2, padding=1, groups=inputs) if stride == 2 else None
        self.match = nn.Conv2d(inputs, half, 1) if stride == 2 else None
        self.expand = nn.Conv2d(inputs if stride == 2 else half, half, 1)
        self.depthwise = nn.Conv2d(half, half, 3, stride, padding=1, groups=half)
        self.project = nn.Conv2d(half, half, 1)

    def forward(self, x: Tensor) -> Tensor:
        """b c h w -> b c' h/stride w/stride."""
        if self.shrink is None or self.match is None:
            passed, changed = x.chunk(2, dim=1)
        else:
            passed, changed = leaky(self.match(strided(self.shrink, x, "symmetric"))), x
        changed = strided(self.depthwise, leaky(self.expand(changed)), "symmetric")
        changed = leaky(self.project(changed))
        return torch.stack([passed, changed], dim=2).flatten(1, 2)  # the published concat and shuffle in one


class ShuffleNetV2(nn.Module):
    """The convolutional part of ShuffleNetV2.

    Stride 2 is the stem, stride 4 its maximum over 3x3, strides 8, 16 and 32 are the stages' ends. ``width``
    multiplies the stages' channels. ``deep`` are the indices of the ``blocks`` from stride 8 on: all of them.

    Examples
    --------
    >>> maps = ShuffleNetV2()(torch.zeros(1, 3, 64, 96))
    >>> {stride: tuple(m.shape[1:]) for stride, m in maps.items()}
    {2: (24, 32, 48), 4: (24, 16, 24), 8: (116, 8, 12), 16: (232, 4, 6), 32: (464, 2, 3)}
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, 2, padding=1)
        self.channels, self.taps = {2: STEM, 4: STEM}, dict[int, int]()
        blocks, inputs = list[Unit](), STEM
        for channels, units, stride in STAGES:
            self.channels[stride] = rounded(channels * width, 4)
            for index in range(units):
                blocks.append(Unit(inputs, self.channels[stride], 2 if index == 0 else 1))
                inputs = self.channels[stride]
            self.taps[len(blocks) - 1] = stride
        self.blocks = nn.ModuleList(blocks)
        self.deep = range(len(blocks))

    def forward(self, pixels: Tensor) -> dict[int, Tensor]:
        """b 3 H W, H and W multiples of 32 -> {stride: b c H/stride W/stride}."""
        found = {2: leaky(self.stem(pixels))}
        x = found[4] = F.max_pool2d(found[2], 3, 2, padding=1)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                found[self.taps[index]] = x
        return found

    def load_layers(self, layers: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        """Take kernels (out, in, h, w) and biases (out,) in the order in which the published network computes them;
        what follows the backbone is passed over. Pixels then are expected as its publisher normalised them.

        Raises
        ------
        CheckpointError
            If there are fewer layers, or one has another shape.
        """
        own = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        if len(layers) < len(own):
            raise CheckpointError(
                f"{len(layers)} convolutions", f"the {len(own)} of ShuffleNetV2", "give NanoDet-m's whole file"
            )
        for layer, (name, (kernel, bias)) in zip(own, layers.items(), strict=False):
            if kernel.shape != layer.weight.shape:
                raise CheckpointError(
                    f"layer {name} with a kernel {kernel.shape}",
                    f"{tuple(layer.weight.shape)}",
                    "give the file of a ShuffleNetV2 of this width",
                )
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(kernel))
                layer.get_parameter("bias").copy_(torch.from_numpy(bias))


def leaky(x: Tensor) -> Tensor:
    """NanoDet's activation."""
    return F.leaky_relu(x, SLOPE)


@torch.no_grad()
def take_rgb(stem: nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> None:
    """Make a layer that takes (blue, green, red - ``mean``) / ``std`` of 0..255 give the same for red, green, blue in
    [-1, 1].

    Only where it looks over the image's border it differs: outside is grey for it now, no longer ``mean``.

    >>> layer, pixels = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8) * 255
    >>> mean, std = (torch.tensor(v).view(3, 1, 1) for v in (NANODET_MEAN, NANODET_STD))
    >>> published = layer((pixels.flip(1) - mean) / std)
    >>> take_rgb(layer, NANODET_MEAN, NANODET_STD)
    >>> torch.allclose(layer(pixels / 127.5 - 1), published, atol=1e-5)
    True
    """
    grey, half = 127.5, 127.5  # pixel = grey + half * input
    shift, scale = (torch.tensor(v, dtype=stem.weight.dtype).view(3, 1, 1) for v in (mean, std))
    stem.get_parameter("bias").add_((stem.weight * (grey - shift) / scale).sum((1, 2, 3)))
    stem.weight.copy_((stem.weight * half / scale).flip(1))
