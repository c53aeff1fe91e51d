"""MobileNetV2 (Sandler et al., 2018) without batch normalisation, as a pyramid of strides 2 to 32.

The published arrays that nano starts from have their batch norms folded into the biases, so the network
here has none either: convolution, bias, ReLU6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from segue.core.errors import CheckpointError

Padding = Literal["symmetric", "same"]

# (expansion, channels, repeats, stride) of each group: table 2 of the paper.
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Index of the last block at each stride; its output is the feature of that stride.
TAPS = {2: 0, 4: 2, 8: 5, 16: 12, 32: 16}


class InvertedResidual(nn.Module):
    """Expand with 1x1, filter each channel with 3x3, project linearly; skip where the shape stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, padding: Padding):
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.skip = stride == 1 and inputs == outputs
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """b c h w -> b c' h/stride w/stride."""
        wide = x if self.expand is None else F.relu6(self.expand(x))
        y: Tensor = self.project(F.relu6(strided(self.depthwise, wide, self.padding)))
        return x + y if self.skip else y


class MobileNetV2(nn.Module):
    """The convolutional part of MobileNetV2.

    Parameters
    ----------
    width : multiplier of every channel count (channels are rounded to multiples of 8).
    padding : how stride-2 convolutions pad an even input. ``symmetric`` centres output i on pixel 2i, as
        networks trained on odd sizes do (DeepLab: 513); ``same`` pads only bottom and right, as TensorFlow
        does on even sizes (ImageNet: 224).

    ``deep`` are the indices of the ``blocks`` from stride 8 on.

    Examples
    --------
    >>> maps = MobileNetV2()(torch.zeros(1, 3, 64, 96))
    >>> {stride: tuple(m.shape[1:]) for stride, m in maps.items()}
    {2: (16, 32, 48), 4: (24, 16, 24), 8: (32, 8, 12), 16: (96, 4, 6), 32: (320, 2, 3)}
    """

    def __init__(self, width: float = 1.0, padding: Padding = "symmetric"):
        super().__init__()
        stem = rounded(32 * width)
        self.padding: Padding = padding
        self.stem = nn.Conv2d(3, stem, 3, 2, padding=1)
        blocks, inputs = [], stem
        for expansion, channels, repeats, stride in GROUPS:
            outputs = rounded(channels * width)
            for index in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, expansion, stride if index == 0 else 1, padding))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.channels = {s: blocks[i].project.out_channels for s, i in TAPS.items()}
        self.deep = range(TAPS[4] + 1, len(blocks))

    def forward(self, pixels: Tensor) -> dict[int, Tensor]:
        """b 3 H W in [-1, 1], H and W multiples of 32 -> {stride: b c H/stride W/stride}."""
        x = F.relu6(strided(self.stem, pixels, self.padding))
        found, wanted = {}, {index: stride for stride, index in TAPS.items()}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in wanted:
                found[wanted[index]] = x
        return found

    def load_arrays(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the weights of a TensorFlow export: OHWI kernels, 1HWC depthwise, ``/`` written as ``|``.

        Raises
        ------
        CheckpointError
            If an array is absent or has another shape.
        """
        table = {name.replace("|", "/"): value for name, value in arrays.items()}
        load_convolution(self.stem, table, "MobilenetV2/Conv/")
        for index, block in enumerate(self.blocks):
            room = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
            for name in ("expand", "depthwise", "project"):
                layer = getattr(block, name)
                if layer is not None:
                    load_convolution(layer, table, f"{room}/{name}/")


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` that is not more than a tenth below `channels`.

    >>> rounded(12), rounded(33.6)
    (16, 32)
    """
    near = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * channels else near


def strided(layer: nn.Conv2d, x: Tensor, padding: Padding) -> Tensor:
    """Apply a 3x3 convolution; ``same`` pads an even input at bottom and right only when the stride is 2."""
    if layer.stride[0] == 1:
        return cast(Tensor, layer(x))
    if padding == "same":
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), layer.weight, layer.bias, 2, 0, groups=layer.groups)
    if layer.groups > 1 and torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad):
        # The same numbers: the backward of a strided depthwise convolution has no fast CPU kernel (8 to 14 times
        # slower than this one under bf16).
        return F.conv2d(x, layer.weight, layer.bias, 1, 1, groups=layer.groups)[..., ::2, ::2]
    return cast(Tensor, layer(x))


def load_convolution(layer: nn.Conv2d, arrays: Mapping[str, NDArray[np.float32]], prefix: str) -> None:
    """Copy the one kernel and the one bias that stand under `prefix` into `layer`."""
    here = [
        name for name in arrays if name.startswith(prefix) and "/" not in name[len(prefix) :].split("/FakeQuant")[0]
    ]
    bias = [arrays[name] for name in here if name.endswith("bias")]
    kernel = [arrays[name] for name in here if "weights" in name]
    if len(bias) != 1 or len(kernel) != 1:
        raise CheckpointError(f"expected one kernel and one bias under {prefix!r}, found {here or 'nothing'}")
    axes = (3, 0, 1, 2) if layer.groups > 1 else (0, 3, 1, 2)
    weight = torch.from_numpy(np.ascontiguousarray(kernel[0].transpose(axes)))
    if weight.shape != layer.weight.shape:
        raise CheckpointError(f"{prefix!r} holds a kernel {tuple(weight.shape)}, expected {tuple(layer.weight.shape)}")
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias[0]))
