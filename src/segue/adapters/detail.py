"""ClickAdapter: a detail extractor and a token decoder beside a frozen click model (Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.base import Adapter, describe_model, site_path
from segue.adapters.detail_network import (
    DenseEmbedding,
    Injector,
    Mixing,
    MultiScaleFusion,
    SpatialPrior,
    TokenDecoder,
    enlarge,
)
from segue.adapters.links import Around, width_of
from segue.adapters.maps import MapDetail
from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter
from segue.nn.vit import join_windows, to_map, window_counts

Sources = Literal["both", "early", "prior"]
EARLY = {24: 4}  # blocks of the backbone: how many of them come before the early features
NEEDED = ("patch_embed", "clicks", "neck", "head")


class ForwardContext:
    """What the layers of one adapter tell each other within one pass; the head's layer empties it."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def take(self) -> dict[str, Tensor]:
        tensors, self.tensors = self.tensors, {}
        return tensors


class _SiteLayer(nn.Module):
    context: ForwardContext

    def __init__(self, context: ForwardContext) -> None:
        super().__init__()
        self.__dict__["context"] = context  # shared by the layers; no weights


class _PriorSite(_SiteLayer):
    """At the patch embedding: looks at the image it was given."""

    def __init__(self, context: ForwardContext, dim: int) -> None:
        super().__init__(context)
        self.prior = SpatialPrior(dim)

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        self.context.tensors["prior"] = self.prior(image)
        return tokens


class _GridSite(_SiteLayer):
    """At the patch embedding, where no prior is wanted: only tells the grid."""

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        self.context.tensors["prior"] = image.new_zeros(len(image), 0, image.shape[-2] // 16, image.shape[-1] // 16)
        return tokens


class _MaskSite(_SiteLayer):
    """At the click embedding: looks at the previous mask, its first channel."""

    def __init__(self, context: ForwardContext, dim: int) -> None:
        super().__init__(context)
        self.dense = DenseEmbedding(dim)

    def forward(self, tokens: Tensor, maps: Tensor) -> Tensor:
        self.context.tensors["dense"] = self.dense(maps[:, :1])
        return tokens


class _EarlySite(_SiteLayer):
    """At the last block of the first quarter: early features and prior become high-quality features."""

    def __init__(
        self, context: ForwardContext, dim: int, width: int, sources: Sources, mixing: Mixing, patch: Sequence[int]
    ) -> None:
        super().__init__(context)
        self.sources, self.patch = sources, patch
        self.shrink = None if width == dim else nn.Conv2d(width, dim, 1)
        self.injector = Injector(dim, mixing) if sources == "both" else None
        self.enlarge = enlarge(dim, dim // 8)

    def forward(self, out: Tensor, *_: Any) -> Tensor:
        prior = self.context.tensors["prior"]
        if self.sources == "prior":
            joined = prior
        else:
            early = self._as_map(out, prior)
            joined = early
            if self.injector is not None:
                mixed = self.injector(early.flatten(2).transpose(1, 2), prior.flatten(2).transpose(1, 2))
                joined = to_map(mixed, prior.shape[-2:])
        self.context.tensors["hq"] = self.enlarge(joined)
        return out

    def _as_map(self, out: Tensor, prior: Tensor) -> Tensor:
        """Tokens, in windows or not, of this or a finer grid -> (b, c, H/16, W/16)."""
        grid = (prior.shape[-2], prior.shape[-1])
        if out.ndim == 3:
            windows = window_counts(grid, self.patch) if len(out) != len(prior) else (1, 1)
            out = join_windows(out, grid, windows)
            finer = round((out.shape[1] / (grid[0] * grid[1])) ** 0.5)
            out = to_map(out, (finer * grid[0], finer * grid[1]))
        if out.shape[-2:] != grid:
            out = F.adaptive_avg_pool2d(out, grid)
        return out if self.shrink is None else self.shrink(out)


class _FusionSite(_SiteLayer):
    """At the neck: joins the scales, and passes the backbone's last map on."""

    def __init__(self, context: ForwardContext, widths: Sequence[int], dim: int) -> None:
        super().__init__(context)
        self.fusion = MultiScaleFusion(widths, dim)

    def forward(self, pyramid: Sequence[Tensor], maps: Sequence[Tensor]) -> Sequence[Tensor]:
        self.context.tensors["fused"] = self.fusion(pyramid)
        self.context.tensors["last"] = maps[-1]
        return pyramid


class _DecoderSite(_SiteLayer):
    """At the head: adds the adapter's logits to the head's, their "logarithmic sum"."""

    def __init__(self, context: ForwardContext, dim: int, identity: bool) -> None:
        super().__init__(context)
        self.decoder = TokenDecoder(dim, identity)

    def forward(self, logits: Tensor, *_: Any) -> Tensor:
        tensors = self.context.take()
        hq = tensors["hq"]
        if hq.shape[-2:] != tensors["fused"].shape[-2:]:
            hq = F.interpolate(hq, tensors["fused"].shape[-2:], mode="bilinear")
        correction: Tensor = self.decoder(tensors["last"], tensors["dense"], tensors["fused"] + hq)
        if correction.shape[-2:] != logits.shape[-2:]:
            correction = F.interpolate(correction, logits.shape[-2:], mode="bilinear")
        return logits + correction


class ClickAdapter(Adapter):
    """The adapter as published, for models with sites ``patch_embed``, ``clicks``, ``block.*``, ``neck``, ``head``.

    ``early`` is the block whose output enters, counted from 0 (None: the paper's, which is the last of the first
    quarter but for ViT-L, where it names the fourth). With ``identity`` a fresh adapter changes no answer, because the
    decoder's kernel starts at zero; then gamma's first gradient is zero too. The paper's gamma moves at the first
    step, so its kernel starts like any layer: ``identity=False``, as the published recipes have it.
    ``sources`` and ``mixing`` are table VI's ablations: "both", "early" or "prior" features, and "two-way",
    "cross", "concat" or "add" fusion. The width is that of the deepest map.
    """

    kind = "detail"

    def __init__(
        self,
        model: Segmenter,
        early: int | None = None,
        sources: Sources = "both",
        mixing: Mixing = "two-way",
        identity: bool = True,
    ) -> None:
        super().__init__(early=early, sources=sources, mixing=mixing, identity=identity)
        if sources not in ("both", "early", "prior") or mixing not in ("two-way", "cross", "concat", "add"):
            raise ConfigError(
                f"sources {sources!r} and mixing {mixing!r}", "both, early, prior; two-way, cross, concat, add"
            )
        lacking = [site for site in NEEDED if site not in model.sites()]
        blocks = [site for site in model.sites() if site.startswith("block.")]
        if lacking or not blocks:
            raise ConfigError(
                f"{describe_model(model)} without sites {', '.join([*lacking, *(() if blocks else ('block.*',))])}",
                "a click model on a transformer, such as SimpleClick",
                "use lora, head or full",
            )
        if early is None:
            quarter = EARLY.get(len(blocks), len(blocks) // 4)
            site = "early" if "early" in model.sites() else blocks[max(quarter - 1, 0)]
        elif 0 <= early < len(blocks):
            site = blocks[early]
        else:
            raise ConfigError(f"early block {early}", f"0 to {len(blocks) - 1}")
        neck, block = (model.module.get_submodule(site_path(model, s)) for s in ("neck", site))
        widths, embed = pyramid_widths(neck), model.module.get_submodule(site_path(model, "patch_embed"))
        dim, patch = int(getattr(neck, "last_width", width_of(embed))), tuple(_patch(embed))
        context = ForwardContext()
        self.place(model, "clicks", Around, _MaskSite(context, dim))
        entry = _GridSite(context) if sources == "early" else _PriorSite(context, dim)
        self.place(model, "patch_embed", Around, entry)
        self.place(model, site, Around, _EarlySite(context, dim, width_of(block), sources, mixing, patch))
        self.place(model, "neck", Around, _FusionSite(context, widths, dim))
        self.place(model, "head", Around, _DecoderSite(context, dim, identity))


def pyramid_widths(neck: nn.Module) -> list[int]:
    """Channels of the maps that a neck gives out, finest first."""
    given = getattr(neck, "widths", None)
    if given is not None:
        return [int(w) for w in given]
    return [width_of(neck.get_submodule(f"down_{stride}")) for stride in (4, 8, 16, 32)]


def _patch(embed: nn.Module) -> Sequence[int]:
    convolution = next(m for m in embed.modules() if isinstance(m, nn.Conv2d))
    return [int(k) for k in convolution.kernel_size]


def detail(model: Segmenter, **settings: Any) -> Adapter:
    """The detail adapter that suits ``model``: ``ClickAdapter`` where clicks enter beside the pixels, ``MapDetail``
    where an image is encoded once."""
    if "clicks" in model.sites():
        return ClickAdapter(model, **settings)
    return MapDetail(model, **settings)
