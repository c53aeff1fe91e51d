"""InterFormer's tensor core and its configuration, under the published parameter names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segue.models.entry import ModelConfig
from segue.models.interformer.encoder import MaePyramidEncoder
from segue.models.interformer.imsa import ClickFusion, Imsa
from segue.models.interformer.reference_map import Region
from segue.models.interformer.uper import FcnHead, UperHead
from segue.models.interformer.weights import load_mae_mm

STAGES = 4


class InterFormerConfig(ModelConfig):
    """Everything that shapes an InterFormer; sizes in pixels.

    ``longest`` bounds the longer side that is encoded (smaller images keep their size); ``zoom_in`` gives the
    refine blocks a region from the second click on (InterFormer-Tiny's faster variant); ``encoder=False``
    builds the decoder alone, for features made elsewhere by the model whose fingerprint is ``features_from``.

    >>> InterFormerConfig().depths
    (1, 1, 2, 1)
    """

    img_size: tuple[int, int] = (512, 512)
    patch_size: int = Field(16, gt=0)
    embed_dim: int = Field(768, gt=0)
    depth: int = Field(12, gt=0)
    num_heads: int = Field(12, gt=0)
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    dims: tuple[int, int, int, int] = (32, 64, 128, 256)
    neck: Literal["imsa", "fpn"] = "imsa"
    target_size: tuple[int, int] = (512, 512)
    neck_heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    depths: tuple[int, int, int, int] = (1, 1, 2, 1)
    refine_start: tuple[int, int, int, int] = (1, 1, 2, 1)
    neck_mlp_ratio: tuple[float, float, float, float] = (8, 8, 4, 4)
    head_channels: int = Field(64, gt=0)
    pool_scales: tuple[int, ...] = (1, 2, 3, 6)
    inner_radius: float = 5.0
    outer_radius: float = 0.0
    zoom_in: bool = False
    expansion: float = 1.4
    min_region: int = 32
    longest: int | None = 1024
    encoder: bool = True
    features_from: str | None = None
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    @model_validator(mode="after")
    def _fits(self) -> InterFormerConfig:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is no multiple of num_heads {self.num_heads}")
        if any(dim % heads for dim, heads in zip(self.dims, self.neck_heads, strict=True)):
            raise ValueError(f"dims {self.dims} are no multiples of neck_heads {self.neck_heads}")
        if any(not 0 < start <= depth for start, depth in zip(self.refine_start, self.depths, strict=True)):
            raise ValueError(f"refine_start {self.refine_start} must lie between 1 and depths {self.depths}")
        return self


class InterFormerNet(nn.Module):
    """The tensor core: ``encode`` once per image, ``decode`` once per click.

    >>> import torch
    >>> from segue.models.interformer.registry import TINY
    >>> net = InterFormerNet(InterFormerConfig(**TINY)).eval()
    >>> state = net.encode(torch.zeros(1, 3, 64, 64))
    >>> net.decode(state, torch.full((1, 1, 64, 64), 2)).shape
    torch.Size([1, 2, 16, 16])
    """

    def __init__(self, config: InterFormerConfig) -> None:
        super().__init__()
        c = self.config = config
        if c.encoder:
            self.backbone = MaePyramidEncoder(
                c.img_size,
                c.patch_size,
                c.embed_dim,
                c.depth,
                c.num_heads,
                c.dims,
                mlp_ratio=c.mlp_ratio,
                drop_path_rate=c.drop_path_rate,
            )
        self.neck: nn.Module = ClickFusion(c.dims)
        if c.neck == "imsa":
            self.neck = Imsa(
                c.target_size,
                c.dims,
                heads=c.neck_heads,
                depths=c.depths,
                refine_start=c.refine_start,
                mlp_ratio=c.neck_mlp_ratio,
                drop_path_rate=c.drop_path_rate,
            )
        self.decode_head = UperHead(c.dims, c.head_channels, 2, c.pool_scales)
        self.auxiliary_head = FcnHead(c.dims[2], c.head_channels, 2)  # training only
        for part in (self.neck, self.decode_head):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, image: Tensor) -> dict[str, Tensor]:
        """All that the decoder wants of a normalised image (b, 3, H, W), H and W multiples of 32.

        With I-MSA that is the stride-4 map and each stage's pooled keys and values; with the baseline neck the
        four maps.
        """
        return self.prepare(self.backbone(image))

    def prepare(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """The encoder's four maps as the decoder wants them; no click enters here."""
        if not isinstance(self.neck, Imsa):
            return {f"stride{4 * 2**i}": level for i, level in enumerate(maps)}
        state = {"stride4": maps[0]}
        for i, (key, value) in enumerate(self.neck.context(maps)):
            state |= {f"key{i}": key, f"value{i}": value}
        return state

    def fuse(
        self, state: Mapping[str, Tensor], labels: Tensor, regions: Sequence[Region] | None = None
    ) -> list[Tensor]:
        """The neck's four maps for one reference map ``labels`` (b, 1, H, W)."""
        if not isinstance(self.neck, Imsa):
            return cast(list[Tensor], self.neck([state[f"stride{4 * 2**i}"] for i in range(STAGES)], labels))
        contexts = [(state[f"key{i}"], state[f"value{i}"]) for i in range(STAGES)]
        return self.neck.decode(state["stride4"], contexts, labels, regions)

    def decode(self, state: Mapping[str, Tensor], labels: Tensor, regions: Sequence[Region] | None = None) -> Tensor:
        """Logits (b, 2, H / 4, W / 4), channel 1 the object; ``regions`` as in ``Imsa.decode``."""
        out: Tensor = self.decode_head(self.fuse(state, labels, regions))
        return out

    def forward(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Training: logits (b, 2, H / 4, W / 4) of the head and (b, 2, H / 16, W / 16) of the auxiliary head."""
        maps = self.fuse(self.encode(image), labels)
        return self.decode_head(maps), self.auxiliary_head(maps[2])

    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        """Start the ViT from a published MAE encoder; its keys that the file had nothing for."""
        return load_mae_mm(self.backbone, state, self.backbone.grid)
