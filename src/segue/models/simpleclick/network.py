"""SimpleClick's tensor core and its configuration, under the published parameter names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segue.models.checkpoints import load_mae
from segue.models.entry import ModelConfig
from segue.models.simpleclick.vit import PatchEmbed, VisionTransformer
from segue.nn.clickmaps import click_disks, click_distance_maps
from segue.nn.heads import AllMlpHead, rescale_path
from segue.nn.vit import window_counts

HEAD_CHANNELS = {"x1": 256, "x2": 128, "x4": 64}


class SimpleClickConfig(ModelConfig):
    """Everything that shapes a SimpleClick; sizes in pixels, (height, width).

    ``head_channels`` defaults to what is published for the ``upsample``: 256, 128, 64. ``input_size`` is the view at
    inference (None: ``img_size``), ``pyramid`` and ``frozen_backbone`` are the slides' ablations, ``windowed=False``
    makes every block global.

    >>> SimpleClickConfig(img_size=(448, 448), embed_dim=768, depth=12, num_heads=12).upsample
    'x1'
    """

    img_size: tuple[int, int] = (448, 448)
    patch_size: tuple[int, int] = (16, 16)
    embed_dim: int = Field(768, gt=0)
    depth: int = Field(12, gt=0)
    num_heads: int = Field(12, gt=0)
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    num_classes: int = 1000
    out_dims: tuple[int, int, int, int] = (128, 256, 512, 1024)
    head_channels: int = Field(256, gt=0)
    head_dropout: float = 0.1
    head_align_corners: bool = False
    upsample: Literal["x1", "x2", "x4"] = "x1"
    pyramid: Literal["simple", "single-scale", "parallel", "partial"] = "simple"
    frozen_backbone: bool = False
    windowed: bool = True
    use_disks: bool = True
    norm_radius: float = 5.0
    with_prev_mask: bool = True
    input_size: tuple[int, int] | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @model_validator(mode="before")
    @classmethod
    def _published_head(cls, values: Any) -> Any:
        """Finer heads are narrower, as published: 256, 128 or 64 channels before they are enlarged."""
        if isinstance(values, dict) and "head_channels" not in values:
            return values | {"head_channels": HEAD_CHANNELS.get(values.get("upsample", "x1"), 256)}
        return values

    @model_validator(mode="after")
    def _fits(self) -> SimpleClickConfig:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is no multiple of num_heads {self.num_heads}")
        if self.depth != 12 and self.depth % 4:
            raise ValueError(f"depth {self.depth} cannot be cut into 4 groups of blocks: use a multiple of 4")
        check_grid(self.input_size or self.img_size, self.patch_size, self.windowed)
        return self


def check_grid(size: Sequence[int], patch: Sequence[int], windowed: bool) -> None:
    """Raise ``ValueError`` unless an input of ``size`` (H, W) cuts into whole patches and whole windows."""
    grid = (size[0] // patch[0], size[1] // patch[1])
    rows, cols = window_counts(grid, patch) if windowed else (1, 1)
    if min(grid) < 1 or size[0] % patch[0] or size[1] % patch[1] or grid[0] % rows or grid[1] % cols:
        raise ValueError(
            f"an input of {tuple(size)} does not cut into patches of {tuple(patch)} and windows of about 224 "
            f"pixels: use a multiple of {224 if windowed else max(patch)}"
        )


class ClickNet(nn.Module, ABC):
    """A network that clicks enter beside the pixels: ``forward(image, previous, points)`` -> logits.

    ``image`` (b, 3, H, W) RGB in [0, 1]; ``previous`` (b, 1, H, W) probability of the last answer, 0 at first;
    ``points`` (b, 2n, 3) rows (y, x, index) in input pixels, see ``segue.nn.clickmaps``; logits (b, 1, h, w).
    """

    backbone: nn.Module

    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """The encoder's blocks in order."""

    @abstractmethod
    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        """Start the encoder from pretrained weights; its keys that these had nothing for."""


class SimpleClickPyramid(nn.Module):
    """SimpleClick's neck: (b, in_dim, h, w) -> four maps of channels ``out_dims``.

    ``design`` is ``SimpleClickConfig.pyramid``: "simple" builds every level from the last map, "single-scale" keeps all
    four at the ViT's own stride, "parallel" builds level i from the map after quarter i of the blocks, and
    "partial" takes only the two finest levels from those earlier maps. The slides' ablation names the designs
    without drawing them: "parallel" and "partial" are this project's reading.

    >>> import torch
    >>> [tuple(m.shape[1:]) for m in SimpleClickPyramid(8, (4, 8, 16, 32))([torch.zeros(1, 8, 2, 2)])]
    [(4, 8, 8), (8, 4, 4), (16, 2, 2), (32, 1, 1)]
    """

    def __init__(self, in_dim: int, out_dims: Sequence[int], design: str = "simple") -> None:
        super().__init__()
        factors = (1.0,) * 4 if design == "single-scale" else (4.0, 2.0, 1.0, 0.5)
        self.design = design
        self.down_4 = rescale_path(in_dim, out_dims[0], factors[0])
        self.down_8 = rescale_path(in_dim, out_dims[1], factors[1])
        self.down_16 = rescale_path(in_dim, out_dims[2], factors[2])
        self.down_32 = rescale_path(in_dim, out_dims[3], factors[3])

    def taps(self, depth: int) -> tuple[int, ...]:
        """Block counts after which this design reads the ViT, besides the end.

        >>> SimpleClickPyramid(8, (4, 4, 4, 4), "parallel").taps(12)
        (3, 6, 9)
        """
        quarters = {"parallel": (1, 2, 3), "partial": (1, 2)}.get(self.design, ())
        return tuple(q * depth // 4 for q in quarters)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        # one map per tap, the last one standing in for the levels without a tap of their own
        sources = maps + [maps[-1]] * (4 - len(maps))
        paths = (self.down_4, self.down_8, self.down_16, self.down_32)
        return [path(source) for path, source in zip(paths, sources, strict=True)]


class SimpleClickNet(ClickNet):
    """The tensor core: image, previous mask and clicks -> logits.

    >>> from segue.models.simpleclick.registry import TINY
    >>> net = SimpleClickNet(SimpleClickConfig(**TINY)).eval()
    >>> points = torch.tensor([[[20.0, 30.0, 0.0], [-1.0, -1.0, -1.0]]])
    >>> net(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), points).shape
    torch.Size([1, 1, 16, 16])
    """

    backbone: VisionTransformer
    mean: Tensor
    std: Tensor

    def __init__(self, config: SimpleClickConfig) -> None:
        super().__init__()
        c = self.config = config
        self.patch_embed_coords = PatchEmbed(c.patch_size, 3 if c.with_prev_mask else 2, c.embed_dim)
        self.backbone = VisionTransformer(
            c.img_size,
            c.patch_size,
            c.embed_dim,
            c.depth,
            c.num_heads,
            mlp_ratio=c.mlp_ratio,
            qkv_bias=c.qkv_bias,
            classes=c.num_classes,
            windowed=c.windowed,
        )
        self.neck = SimpleClickPyramid(c.embed_dim, c.out_dims, c.pyramid)
        self.head = AllMlpHead(
            c.out_dims,
            c.head_channels,
            upsample=c.upsample,
            dropout=c.head_dropout,
            align_corners=c.head_align_corners,
        )
        self.register_buffer("mean", torch.tensor(c.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(c.std).view(1, 3, 1, 1), persistent=False)
        self.backbone.requires_grad_(not c.frozen_backbone)

    def click_maps(self, previous: Tensor, points: Tensor) -> Tensor:
        """(b, 3, H, W): previous mask, positive clicks, negative clicks (without the first where unused)."""
        draw = click_disks if self.config.use_disks else click_distance_maps
        maps = draw(points, previous.shape[-2:], self.config.norm_radius)
        return torch.cat([previous, maps.to(previous)], dim=1) if self.config.with_prev_mask else maps.to(previous)

    def forward(self, image: Tensor, previous: Tensor, points: Tensor) -> Tensor:
        """Logits (b, 1, s * H / 4, s * W / 4), s the head's upsampling."""
        tokens = self.patch_embed_coords(self.click_maps(previous, points))
        normalised = (image - self.mean) / self.std
        maps = self.backbone(normalised, tokens, self.neck.taps(self.config.depth))
        out: Tensor = self.head(self.neck(maps))
        return out

    def blocks(self) -> list[nn.Module]:
        """The ViT's blocks in order."""
        return list(self.backbone.blocks)

    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        """Start the ViT from a published MAE encoder; its keys that the file had nothing for."""
        return load_mae(self.backbone, state, self.backbone.grid)
