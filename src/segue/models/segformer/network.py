"""SegFormer as a click model: its encoder, the Mix Transformer, under the keys of the published ``mit_b*.pth``, and
SimpleClick's head on it.

The encoder is written out: transformers' has another epsilon in its norms than the published one and names its layers
anew from version to version, which saved adapters would not survive.

Source: Xie et al., SegFormer, NeurIPS 2021, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.models.simpleclick.network import ClickNet
from segue.nn.clickmaps import click_disks
from segue.nn.heads import AllMlpHead
from segue.nn.module import load_strict
from segue.nn.vit import attend, to_map

HEADS, REDUCTIONS = (1, 2, 5, 8), (8, 4, 2, 1)
RADIUS = 5.0  # pixels of a click's disk


class OverlapPatchEmbed(nn.Module):
    """Overlapping patches of a map (b, c, h, w) as normalised tokens (b, h/s * w/s, dim).

    >>> OverlapPatchEmbed(3, 8, 7, 4)(torch.zeros(1, 3, 16, 32)).shape
    torch.Size([1, 32, 8])
    """

    def __init__(self, inputs: int, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, dim, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.norm(self.proj(x).flatten(2).transpose(1, 2))
        return tokens


class EfficientAttention(nn.Module):
    """Self-attention whose keys and values are a map shrunk by ``reduction`` (section 3.1, equation 2)."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads, self.reduction = heads, reduction
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        source = x
        if self.reduction > 1:
            source = self.norm(self.sr(to_map(x, grid)).flatten(2).transpose(1, 2))
        key, value = self.kv(source).chunk(2, -1)
        out: Tensor = self.proj(attend(self.q(x), key, value, self.heads))
        return out


class DepthwiseMap(nn.Module):
    """A 3 x 3 depthwise convolution of tokens on their grid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        out: Tensor = self.dwconv(to_map(x, grid)).flatten(2).transpose(1, 2)
        return out


class MixFfn(nn.Module):
    """A perceptron with a depthwise convolution in it, in the place of position embeddings (equation 3)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.dwconv, self.fc2 = nn.Linear(dim, hidden), DepthwiseMap(hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(x), grid)))
        return out


class MixBlock(nn.Module):
    """Pre-norm block of efficient attention and mix-FFN on tokens (b, n, dim)."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn, self.mlp = EfficientAttention(dim, heads, reduction), MixFfn(dim, 4 * dim)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        x = x + self.attn(self.norm1(x), grid)
        out: Tensor = x + self.mlp(self.norm2(x), grid)
        return out


class MixTransformer(nn.Module):
    """Image (b, 3, H, W) -> maps at strides 4, 8, 16, 32 of ``widths`` channels; H and W multiples of 32.

    ``extra`` (b, n, widths[0]) is added to the first stage's tokens: the click embedding.

    >>> net = MixTransformer((8, 16, 40, 64), (1, 1, 1, 1))
    >>> [tuple(m.shape[1:]) for m in net(torch.zeros(1, 3, 32, 64))]
    [(8, 8, 16), (16, 4, 8), (40, 2, 4), (64, 1, 2)]
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.widths, self.depths = tuple(widths), tuple(depths)
        entries = (3, *widths[:-1])
        for i, (inputs, dim, depth) in enumerate(zip(entries, widths, depths, strict=True), start=1):
            kernel, stride = (7, 4) if i == 1 else (3, 2)
            blocks = (MixBlock(dim, HEADS[i - 1], REDUCTIONS[i - 1]) for _ in range(depth))
            self.add_module(f"patch_embed{i}", OverlapPatchEmbed(inputs, dim, kernel, stride))
            self.add_module(f"block{i}", nn.ModuleList(blocks))
            self.add_module(f"norm{i}", nn.LayerNorm(dim, eps=1e-6))

    def forward(self, image: Tensor, extra: Tensor | None = None) -> list[Tensor]:
        x, maps = image, []
        for i in range(1, len(self.widths) + 1):
            stride = 4 if i == 1 else 2
            grid = (x.shape[-2] // stride, x.shape[-1] // stride)
            tokens = self.get_submodule(f"patch_embed{i}")(x)
            if i == 1 and extra is not None:
                tokens = tokens + extra
            blocks = self.get_submodule(f"block{i}")
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                tokens = block(tokens, grid)
            x = to_map(self.get_submodule(f"norm{i}")(tokens), grid)
            maps.append(x)
        return maps


class Maps(nn.Module):
    """Passes the pyramid on: the place where an adapter looks at it. ``widths`` are its channels."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths, self.last_width = tuple(widths), widths[-1]

    def forward(self, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        return maps


class SegFormerClickNet(ClickNet):
    """The tensor core: image in [0, 1], previous mask and points -> logits at stride 4.

    >>> net = SegFormerClickNet((8, 16, 40, 64), (1, 1, 1, 1), channels=8)
    >>> points = torch.tensor([[[20.0, 30.0, 0.0], [-1.0, -1.0, -1.0]]])
    >>> net(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), points).shape
    torch.Size([1, 1, 16, 16])
    """

    backbone: MixTransformer
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

    def blocks(self) -> list[nn.Module]:
        """The encoder's blocks in order, stage by stage."""
        stages = (self.backbone.get_submodule(f"block{i + 1}") for i in range(len(self.backbone.depths)))
        return [block for stage in stages for block in stage.children()]

    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        """Start the encoder from a published ImageNet one (``mit_b0.pth``), whose classifier is left out."""
        encoder = {k: v for k, v in state.items() if not k.startswith("head.")}
        if not any(k.startswith("patch_embed1.") for k in encoder):
            raise CheckpointError("weights of another network", "a Mix Transformer's, such as mit_b0.pth")
        load_strict(self.backbone, encoder)
        return []
