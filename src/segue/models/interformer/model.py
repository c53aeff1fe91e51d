"""InterFormer: a large ViT encodes the image once, anywhere; a light decoder answers every click.

Source: Huang et al., ICCV 2023, and the published code where the two differ. Parameter names are the published
ones (``backbone.*``, ``neck.*``, ``decode_head.*``, ``auxiliary_head.*``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from segue.core.errors import ConfigError, InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph, Segmenter, weights_digest
from segue.core.types import Click, Features, Image, Memory, Prediction, Prompt
from segue.models.checkpoints import interformer_label, load_mae_mm, load_official
from segue.models.interformer.encoder import MaePyramidEncoder
from segue.models.interformer.imsa import ClickFusion, Imsa
from segue.models.interformer.reference_map import Point, region_of_interest, unknown_labels, with_answer, with_clicks
from segue.models.interformer.regions import Region
from segue.models.interformer.uper import UperHead
from segue.nn.confidence import mask_confidence
from segue.nn.heads import FcnHead

MULTIPLE = 32  # the coarsest stride: inputs are padded and regions cut to it
STAGES = 4


class InterFormerConfig(BaseModel):
    """Everything that shapes an InterFormer; sizes in pixels.

    ``longest`` bounds the longer side that is encoded (smaller images keep their size); ``zoom_in`` gives the
    refine blocks a region from the second click on (InterFormer-Tiny's faster variant); ``encoder=False``
    builds the decoder alone, for features made elsewhere by the model whose fingerprint is ``features_from``.

    >>> InterFormerConfig().depths
    (1, 1, 2, 1)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> InterFormerConfig:
        """Validated ``values``; ``ConfigError`` says in one line what is wrong."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the configuration"
            raise ConfigError(f"an InterFormer configuration whose {where} is wrong", str(first["msg"])) from error


TINY: dict[str, Any] = {
    "img_size": (64, 64),
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "dims": (8, 8, 16, 16),
    "target_size": (64, 64),
    "neck_heads": (1, 2, 2, 2),
    "neck_mlp_ratio": (2, 2, 2, 2),
    "head_channels": 8,
    "depths": (2, 1, 2, 1),
    "refine_start": (1, 1, 1, 1),
    "pool_scales": (1, 2),
}


class InterFormerNet(nn.Module):
    """The tensor core: ``encode`` once per image, ``decode`` once per click.

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


class InterFormer(Segmenter):
    """InterFormer as a Segmenter. Its memory is the reference map on the grid and how many clicks it holds.

    >>> import numpy as np
    >>> model = InterFormer(**TINY).eval()
    >>> features = model.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> model.decode(features, [Click(10, 20)]).probability().shape
    torch.Size([30, 40])
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Click})

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.spec = InterFormerConfig.from_fields(config)
        self.net = InterFormerNet(self.spec)

    def frame(self, size: Size) -> Frame:
        longest = min(self.spec.longest or max(size), max(size))
        return Frame.longest(size, longest, multiple=MULTIPLE, enlarge=False)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        if not self.spec.encoder:
            raise InputError(
                "an image to encode",
                "features from a cache: this is the decoder alone",
                "run segue encode where the whole model is, and copy its cache here",
            )
        chosen = tuple(frames or (self.frame((i.shape[0], i.shape[1])) for i in images))
        grids = {frame.grid for frame in chosen}
        if len(grids) != 1 or any(side % MULTIPLE for side in chosen[0].grid):
            # padding to a common grid would make an image's features depend on its neighbours in the batch
            raise InputError(
                f"views on the grids {sorted(grids)}",
                f"one grid, a multiple of {MULTIPLE}",
                "encode images of different sizes one group at a time",
            )
        views = [self._normalised(image, frame) for image, frame in zip(images, chosen, strict=True)]
        return Features(self.net.encode(torch.cat(views)), chosen)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        frame, memory = features.frame, memory or {}
        points = grid_clicks(prompts, frame)
        drawn = int(memory["drawn"]) if "drawn" in memory else 0
        labels = memory.get("labels", unknown_labels(frame.grid, self.device))
        for point in points[drawn:]:
            labels = with_clicks(labels, [point], self.spec.inner_radius, self.spec.outer_radius)
        regions = None
        if self.spec.zoom_in and "answer" in memory:
            answer = memory["answer"][0, 0] > 0
            regions = [region_of_interest(labels[0, 0], answer, self.spec.expansion, self.spec.min_region)]
        state = {name: self.ready(value) for name, value in features.maps.items()}
        two = self.net.decode(state, labels, regions)
        two = F.interpolate(two.float(), size=frame.grid, mode="bilinear", align_corners=False)
        logits = two[:, 1:] - two[:, :1]  # the sigmoid of the difference is the softmax over the two
        answer = logits > 0
        kept = {"labels": with_answer(labels, answer), "drawn": torch.tensor(len(points)), "answer": answer.byte()}
        return Prediction(logits, mask_confidence(logits.sigmoid(), logits > 0), kept, frame)

    def memory_from_mask(self, features: Features, probability: Tensor) -> Memory:
        frame = features.frame
        answer = frame.view(probability[None, None].to(self.device)) > 0.5
        labels = with_answer(unknown_labels(frame.grid, self.device), answer)
        return {"labels": labels, "drawn": torch.tensor(0), "answer": answer.byte()}

    def sites(self) -> Mapping[str, str]:
        found = {"neck": "net.neck", "head": "net.decode_head"}
        if self.spec.encoder:
            found |= {f"block.{i}": f"net.backbone.layers.{i}" for i in range(self.spec.depth)}
            found |= {"patch_embed": "net.backbone.patch_embed", "pyramid": "net.backbone.fpn"}
        return found

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        height, width = self.spec.img_size
        names = ["stride4", *(f"{kind}{i}" for i in range(STAGES) for kind in ("key", "value"))]
        if self.spec.neck != "imsa":
            names = [f"stride{4 * 2**i}" for i in range(STAGES)]
        image, free = torch.zeros(1, 3, height, width), {2: "height", 3: "width"}
        found: dict[str, ExportGraph] = {}
        if self.spec.encoder:
            found["encoder"] = ExportGraph(
                _Encoder(self.net, names).train(self.training), {"image": image}, tuple(names), {"image": free}
            )
        levels = enumerate(self.spec.dims)
        maps = [image.new_zeros(1, dim, height // (4 * 2**i), width // (4 * 2**i)) for i, dim in levels]
        with torch.no_grad():
            state = self.net.prepare([level.to(self.device) for level in maps])
        inputs = {"labels": torch.full((1, 1, height, width), 2)} | {n: state[n].cpu() for n in names}
        dynamic: dict[str, Mapping[int, str]] = {"labels": free}
        for name in names:
            dynamic[name] = {1: name} if name[0] in "kv" else {2: f"{name}_height", 3: f"{name}_width"}
        found["decoder"] = ExportGraph(_Decoder(self.net, names).train(self.training), inputs, ("logits",), dynamic)
        return found

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        kept = {k.removeprefix("net."): v for k, v in state.items() if not k.endswith("relative_position_index")}
        if not self.spec.encoder:
            kept = {key: value for key, value in kept.items() if not key.startswith("backbone.")}
        load_official(self.net, kept, interformer_label)

    def start_from_mae(self, state: Mapping[str, Tensor]) -> list[str]:
        """Take a published MAE encoder's weights; the ViT's keys it had nothing for."""
        return load_mae_mm(self.net.backbone, state, self.net.backbone.grid)

    def fingerprint(self) -> str:
        if self.spec.features_from:
            return self.spec.features_from
        # the keys and values of the cache come from the neck, so its weights belong to the digest too
        return weights_digest(self, type(self).__qualname__, self.spec.model_dump_json(exclude={"zoom_in"}))

    def decoder_config(self) -> dict[str, Any]:
        """The keywords of a model without encoder that reads this one's cached features."""
        return self.spec.model_dump() | {"encoder": False, "features_from": self.fingerprint()}

    def ready(self, cached: Tensor) -> Tensor:
        """A cached tensor as the decoder is quickest with it; caches may hold half precision."""
        form = torch.channels_last if cached.ndim == 4 else torch.contiguous_format
        return cached.to(self.device, torch.float32, memory_format=form)

    def _normalised(self, image: Image, frame: Frame) -> Tensor:
        pixels = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float()
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (self.spec.mean, self.spec.std))
        # padded after normalising, so the padding is the mean colour, as published
        return frame.pad((frame.resample(pixels) - mean) / std)


class _Encoder(nn.Module):
    """``InterFormerNet.encode`` with its outputs in a fixed order."""

    def __init__(self, net: InterFormerNet, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        state = self.net.encode(image)
        return tuple(state[name] for name in self.names)


class _Decoder(nn.Module):
    """``InterFormerNet.decode`` as one logit (b, 1, H / 4, W / 4) from inputs in a fixed order."""

    def __init__(self, net: InterFormerNet, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, labels: Tensor, *state: Tensor) -> Tensor:
        two = self.net.decode(dict(zip(self.names, state, strict=True)), labels)
        return two[:, 1:] - two[:, :1]


def grid_clicks(prompts: Sequence[Prompt], frame: Frame) -> list[Point]:
    """The clicks among ``prompts`` as whole pixels (y, x, positive) of ``frame``'s grid.

    >>> grid_clicks([Click(10.7, 20)], Frame.resize((40, 40), (80, 80)))
    [(40, 21, True)]
    """
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
    if not clicks:
        return []
    at = frame.to_grid(torch.tensor([(c.x, c.y) for c in clicks], dtype=torch.float64))
    limit = torch.tensor([frame.resized[1] - 1, frame.resized[0] - 1])
    cells = torch.minimum(at.long().clamp(min=0), limit).tolist()
    return [(int(y), int(x), click.positive) for (x, y), click in zip(cells, clicks, strict=True)]
