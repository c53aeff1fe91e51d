"""SimpleClick: clicks and the previous mask enter a plain ViT beside the image; a light head answers.

Source: Liu et al., ICCV 2023 (slides), and the published code where the two differ. The parameter names of
``SimpleClickNet`` are the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from segue.core.errors import ConfigError, InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph, Segmenter, weights_digest
from segue.core.types import Click, Features, Image, Memory, Prediction, Prompt
from segue.models.checkpoints import load_mae, load_official, simpleclick_label
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule
from segue.nn.clickmaps import click_disks, click_distance_maps, pack_clicks
from segue.nn.confidence import mask_confidence
from segue.nn.heads import AllMlpHead
from segue.nn.pyramid import SimpleClickPyramid
from segue.nn.vit import PatchEmbed, VisionTransformer, window_counts


class SimpleClickConfig(BaseModel):
    """Everything that shapes a SimpleClick; sizes in pixels, (height, width).

    ``input_size`` is the view at inference (None: ``img_size``), ``pyramid`` and ``frozen_backbone`` are the
    slides' ablations, ``windowed=False`` makes every block global.

    >>> SimpleClickConfig(img_size=(448, 448), embed_dim=768, depth=12, num_heads=12).upsample
    'x1'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    @model_validator(mode="after")
    def _fits(self) -> SimpleClickConfig:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is no multiple of num_heads {self.num_heads}")
        if self.depth != 12 and self.depth % 4:
            raise ValueError(f"depth {self.depth} cannot be cut into 4 groups of blocks: use a multiple of 4")
        check_grid(self.input_size or self.img_size, self.patch_size, self.windowed)
        return self

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> SimpleClickConfig:
        """Validated ``values``; ``ConfigError`` says in one line what is wrong."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the configuration"
            raise ConfigError(f"a SimpleClick configuration whose {where} is wrong", str(first["msg"])) from error


def check_grid(size: Sequence[int], patch: Sequence[int], windowed: bool) -> None:
    """Raise ``ValueError`` unless an input of ``size`` (H, W) cuts into whole patches and whole windows."""
    grid = (size[0] // patch[0], size[1] // patch[1])
    rows, cols = window_counts(grid, patch) if windowed else (1, 1)
    if min(grid) < 1 or size[0] % patch[0] or size[1] % patch[1] or grid[0] % rows or grid[1] % cols:
        raise ValueError(
            f"an input of {tuple(size)} does not cut into patches of {tuple(patch)} and windows of about 224 "
            f"pixels: use a multiple of {224 if windowed else max(patch)}"
        )


class SimpleClickNet(nn.Module):
    """The tensor core: image, previous mask and clicks -> logits.

    >>> net = SimpleClickNet(SimpleClickConfig(**TINY)).eval()
    >>> points = torch.tensor([[[20.0, 30.0, 0.0], [-1.0, -1.0, -1.0]]])
    >>> net(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), points).shape
    torch.Size([1, 1, 16, 16])
    """

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
        """Logits (b, 1, s * H / 4, s * W / 4), s the head's upsampling.

        ``image`` (b, 3, H, W) RGB in [0, 1]; ``previous`` (b, 1, H, W) probability of the last answer, 0 at
        first; ``points`` (b, 2n, 3) rows (y, x, index) in input pixels, see ``segue.nn.clickmaps``.
        """
        tokens = self.patch_embed_coords(self.click_maps(previous, points))
        normalised = (image - self.mean) / self.std
        maps = self.backbone(normalised, tokens, self.neck.taps(self.config.depth))
        out: Tensor = self.head(self.neck(maps))
        return out


TINY: dict[str, Any] = {
    "img_size": (64, 64),
    "embed_dim": 16,
    "depth": 4,
    "num_heads": 2,
    "num_classes": 1,
    "out_dims": (8, 8, 16, 16),
    "head_channels": 8,
}


class SimpleClick(Segmenter):
    """SimpleClick as a Segmenter. Nothing is known of an image before a click, so ``encode`` only resamples.

    Its memory is the last probability map on the input grid. Official evaluation wraps it in ``ZoomIn`` (and
    ``FlipAverage``), see ``segue.models.wrappers``.

    >>> import numpy as np
    >>> model = SimpleClick(**TINY).eval()
    >>> features = model.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> model.decode(features, [Click(10, 20)]).probability().shape
    torch.Size([30, 40])
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Click})

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.spec = SimpleClickConfig.from_fields(config)
        self.net = SimpleClickNet(self.spec)

    @property
    def input_size(self) -> Size:
        """(H, W) of the network's input."""
        return self.spec.input_size or self.spec.img_size

    def frame(self, size: Size) -> Frame:
        return Frame.resize(size, self.input_size, align_corners=True)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        chosen = tuple(frames or (self.frame((i.shape[0], i.shape[1])) for i in images))
        for frame in chosen:
            self._check_view(frame)
        views = [frame.view(as_pixels(image, self.device)) for image, frame in zip(images, chosen, strict=True)]
        return Features({"image": torch.cat(views)}, chosen)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        image, frame = features.maps["image"], features.frame
        previous = (memory or {}).get("probability")
        if previous is None:
            previous = image.new_zeros(1, 1, *image.shape[-2:])
        logits = self.net(image, previous.to(image), grid_points(prompts, frame).to(image.device))
        probability = F.interpolate(logits, size=frame.grid, mode="bilinear", align_corners=True).sigmoid()
        return Prediction(logits, mask_confidence(probability), {"probability": probability}, frame)

    def memory_from_mask(self, features: Features, probability: Tensor) -> Memory:
        pixels = probability[None, None].to(features.maps["image"])
        return {"probability": features.frame.view(pixels)}

    def sites(self) -> Mapping[str, str]:
        blocks = {f"block.{i}": f"net.backbone.blocks.{i}" for i in range(self.spec.depth)}
        entry = {"clicks": "net.patch_embed_coords", "patch_embed": "net.backbone.patch_embed"}
        return {**entry, **blocks, "neck": "net.neck", "head": "net.head"}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        height, width = self.input_size
        inputs = {
            "image": torch.zeros(1, 3, height, width),
            "previous": torch.zeros(1, 1, height, width),
            "points": torch.full((1, 4, 3), -1.0),
        }
        free = {name: {0: "batch"} for name in inputs}
        return {"net": ExportGraph(self.net, inputs, ("logits",), free | {"points": {0: "batch", 1: "points"}})}

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        load_official(self.net, state, simpleclick_label)

    def start_from_mae(self, state: Mapping[str, Tensor]) -> list[str]:
        """Take a published MAE encoder's weights; the ViT's keys it had nothing for."""
        return load_mae(self.net.backbone, state, self.net.backbone.grid)

    def fingerprint(self) -> str:
        return weights_digest(self, type(self).__qualname__, self.spec.model_dump_json())

    def _check_view(self, frame: Frame) -> None:
        try:
            check_grid(frame.grid, self.spec.patch_size, self.spec.windowed)
        except ValueError as error:
            raise InputError(f"a view of {frame.grid[0]} x {frame.grid[1]}", str(error)) from error


def simpleclick(*, zoom_in: bool = True, flip: bool = False, **config: Any) -> Segmenter:
    """SimpleClick as the registry offers it: zoomed in from the first click, with ``flip`` averaged with its
    mirror image; both together are the published evaluation. ``config`` is ``SimpleClickConfig``'s.

    Source: SimpleClick's evaluation script (zoom-in before the first click at the network's input size).

    >>> type(simpleclick(**TINY)).__name__, type(simpleclick(zoom_in=False, **TINY)).__name__
    ('ZoomIn', 'SimpleClick')
    """
    core = SimpleClick(**config)
    model: Segmenter = FlipAverage(core) if flip else core
    return ZoomIn(model, ZoomRule(target=core.input_size, skip_clicks=-1)) if zoom_in else model


def as_pixels(image: Image, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1].

    >>> import numpy as np
    >>> as_pixels(np.full((2, 4, 3), 255, np.uint8), torch.device("cpu")).max()
    tensor(1.)
    """
    return torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float().div_(255)


def grid_points(prompts: Sequence[Prompt], frame: Frame) -> Tensor:
    """The clicks among ``prompts`` as (1, 2n, 3) points on ``frame``'s grid, for ``segue.nn.clickmaps``.

    >>> grid_points([Click(10, 20)], Frame.resize((40, 40), (80, 80)))[0, 0]
    tensor([40., 20.,  0.])
    """
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
    if not clicks:
        return pack_clicks([])
    # double precision: a click on the rim of a disk must not change side by rounding
    at = torch.tensor([(c.x, c.y) for c in clicks], dtype=torch.float64)
    return pack_clicks([(y, x, c.positive) for (x, y), c in zip(frame.to_grid(at).tolist(), clicks, strict=True)])
