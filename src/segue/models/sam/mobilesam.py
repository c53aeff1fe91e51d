"""MobileSAM: SAM's prompt encoder and decoder behind a TinyViT that runs on a laptop.

TinyViT is convolutions, then attention in windows, at stride 16; it is written from the paper and the shapes of the
published checkpoint, whose parameter names are kept.

Source: TinyViT (Wu et al., 2022); MobileSAM (Zhang et al., 2023).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from segue.models.sam.model import Sam


@dataclass
class EncoderOutput:
    """The part of transformers' encoder output that a SAM reads: (b, c, h, w)."""

    last_hidden_state: Tensor


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm, under the published names ``c`` and ``bn``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of (b, c, h, w)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        channels_last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


class TinyViTStem(nn.Module):
    """Two strided convolutions: (b, 3, H, W) -> (b, c, H / 4, W / 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, channels // 2, 3, 2), nn.GELU(), ConvNorm(channels // 2, channels, 3, 2))

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, c, H / 4, W / 4)."""
        made: Tensor = self.seq(pixels)
        return made


class MBConv(nn.Module):
    """Inverted bottleneck with a depthwise 3 x 3, added to its input."""

    def __init__(self, channels: int, expansion: float = 4.0) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.conv1, self.conv2 = ConvNorm(channels, hidden), ConvNorm(hidden, hidden, 3, 1, hidden)
        self.conv3 = ConvNorm(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class TinyViTMerging(nn.Module):
    """Change of width between stages, halving the size unless ``stride`` is 1."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c', h / stride, w / stride)."""
        made: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return made


class WindowAttention(nn.Module):
    """Self-attention among the n = window * window tokens of each window, with a learned bias for every
    pair of offsets (|dy|, |dx|)."""

    attention_bias_idxs: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        cells = list(itertools.product(range(window), range(window)))
        # |dy| then |dx| in row-major order is the order in which the published code first meets each offset.
        index = [[abs(a[0] - b[0]) * window + abs(a[1] - b[1]) for b in cells] for a in cells]
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("attention_bias_idxs", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(windows, n, c) -> the same."""
        windows, n, c = x.shape
        query, key, value = self.qkv(self.norm(x)).view(windows, n, self.heads, -1).transpose(1, 2).chunk(3, dim=-1)
        bias = self.attention_biases[:, self.attention_bias_idxs][None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(x.dtype))
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(windows, n, c))
        return out


class TinyViTMlp(nn.Module):
    """Layer norm and two linear layers."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, c) -> the same."""
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyViTBlock(nn.Module):
    """Window attention, a depthwise convolution, a perceptron; residual around the first and the last."""

    def __init__(self, channels: int, heads: int, window: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(channels, heads, window)
        self.local_conv = ConvNorm(channels, channels, 3, 1, channels)
        self.mlp = TinyViTMlp(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        x = self.local_conv(x + self._attend(x))
        mixed: Tensor = self.mlp(x.flatten(2).transpose(1, 2))
        return x + mixed.transpose(1, 2).reshape(x.shape)

    def _attend(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        side = self.window
        # Zeros beyond the right and bottom edge take part in the attention, as in the published code.
        padded = F.pad(x, (0, -w % side, 0, -h % side))
        rows, columns = padded.shape[2] // side, padded.shape[3] // side
        windows = padded.view(b, c, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, c)
        attended: Tensor = self.attn(windows)
        mixed = attended.view(b, rows, columns, side, side, c).permute(0, 5, 1, 3, 2, 4)
        return mixed.reshape(b, c, rows * side, columns * side)[..., :h, :w]


class TinyViTStage(nn.Module):
    """Blocks, then the change of width to the next stage."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks, self.downsample = nn.ModuleList(blocks), downsample

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c', h', w')."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """MobileSAM's image encoder: (b, 3, H, W) normalised pixels -> (b, ``outputs``, H / 16, W / 16).

    The last change of width keeps the size, so that the map is at SAM's stride 16.

    >>> net = TinyViT((8, 16, 16, 32), depths=(1,) * 4, heads=(1, 2, 2, 2), windows=(4,) * 4, outputs=8)
    >>> net.eval()(torch.zeros(1, 3, 64, 96)).last_hidden_state.shape
    torch.Size([1, 8, 4, 6])
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 160, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (2, 4, 5, 10),
        windows: Sequence[int] = (7, 7, 14, 7),
        outputs: int = 256,
    ) -> None:
        super().__init__()
        self.patch_embed = TinyViTStem(widths[0])
        stages = []
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            last, stride = i == len(widths) - 1, 1 if i == len(widths) - 2 else 2
            merge = None if last else TinyViTMerging(width, widths[i + 1], stride)
            made = [MBConv(width) if i == 0 else TinyViTBlock(width, heads[i], windows[i]) for _ in range(depth)]
            stages.append(TinyViTStage(made, merge))
        self.layers = nn.ModuleList(stages)
        self.neck = nn.Sequential(
            nn.Conv2d(widths[-1], outputs, 1, bias=False),
            LayerNorm2d(outputs),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            LayerNorm2d(outputs),
        )

    def forward(self, pixels: Tensor) -> EncoderOutput:
        """(b, 3, H, W) -> the map at stride 16, in the form that transformers' encoders answer."""
        x = self.patch_embed(pixels)
        for stage in self.layers:
            x = stage(x)
        return EncoderOutput(self.neck(x))


class MobileSam(Sam):
    """A SAM whose image encoder is a TinyViT of the keywords ``encoder``, in the sizes of MobileSAM by default.

    ``load_published`` takes ``mobile_sam.pt`` as published.

    Source: Faster Segment Anything (Zhang et al., 2023).

    >>> import numpy as np
    >>> from segue.core.types import Click
    >>> from segue.models.registry import MODELS
    >>> sam = MobileSam(**MODELS["mobilesam"].tiny).eval()
    >>> sam.decode(sam.encode([np.zeros((48, 64, 3), np.uint8)]), [Click(9, 9)]).scores.shape
    (1, 3)
    """

    def __init__(
        self,
        encoder: Mapping[str, Any] | None = None,
        prompt_encoder_config: Mapping[str, Any] | None = None,
        mask_decoder_config: Mapping[str, Any] | None = None,
    ) -> None:
        prompt = dict(prompt_encoder_config or {})
        width = prompt.get("hidden_size", 256)
        # transformers builds its own encoder with the model: the smallest there is, replaced at once.
        stub = {"hidden_size": 1, "num_attention_heads": 1, "num_hidden_layers": 0, "global_attn_indexes": []}
        stub |= {k: prompt[k] for k in ("image_size", "patch_size") if k in prompt}
        config = transformers.SamConfig(
            vision_config=stub | {"output_channels": width, "num_pos_feats": width // 2},
            prompt_encoder_config=prompt,
            mask_decoder_config=dict(mask_decoder_config or {}),
        )
        net = transformers.SamModel(config)
        net.vision_encoder = TinyViT(**{"outputs": width, **dict(encoder or {})})
        super().__init__("sam", net=net)
