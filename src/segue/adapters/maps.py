"""The detail adapter of two-stage models: everything that depends on the image happens once, in encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.base import Adapter, describe_model, site_path
from segue.adapters.links import After, Around, width_of
from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter

Maps = Mapping[str, Tensor] | Sequence[Tensor]


class PixelPrior(nn.Module):
    """Image (b, 3, H, W) -> local detail at strides 4, 8 and 16, by 3 x 3 convolutions.

    >>> [tuple(m.shape[1:]) for m in PixelPrior(8)(torch.zeros(1, 3, 64, 96)).values()]
    [(8, 16, 24), (16, 8, 12), (32, 4, 6)]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.at8 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU())
        self.at16 = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.ReLU())

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Maps by stride."""
        at4 = self.stem(image)
        at8 = self.at8(at4)
        return {4: at4, 8: at8, 16: self.at16(at8)}


class Residual(nn.Module):
    """A map and the prior of its stride -> what to add to the map: gamma times a small network, gamma zero at first.

    The mean of the map over the image takes part: what kind of picture this is.

    >>> Residual(4, 8)(torch.ones(1, 4, 2, 2), torch.ones(1, 8, 2, 2)).abs().max().item()
    0.0
    """

    def __init__(self, channels: int, prior: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels + prior, channels, 1)
        self.picture = nn.Linear(channels, channels)
        self.spread = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.leave = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        kind = self.picture(x.mean((2, 3)))[:, :, None, None]
        hidden = F.relu(self.enter(torch.cat((x, prior), 1)) + kind)
        out: Tensor = self.gamma * self.leave(self.spread(hidden))
        return out


class DetailBranch(nn.Module):
    """Corrects the encoder's maps (a dict or a list) with what the pixels say at the map's own stride.

    ``shapes`` gives each map's channels and stride; maps of strides beyond 16 stay. Maps of unit length (their
    names in ``unit``) keep it.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], width: int, unit: Sequence[str] = ()) -> None:
        super().__init__()
        self.strides = {name: stride for name, (_, stride) in shapes.items() if stride in (4, 8, 16)}
        self.unit = tuple(unit)
        self.prior = PixelPrior(width)
        self.residuals = nn.ModuleDict(
            {name: Residual(shapes[name][0], width * stride // 4) for name, stride in self.strides.items()}
        )

    def forward(self, maps: Maps, image: Tensor) -> Maps:
        prior = self.prior(image)
        if not isinstance(maps, Mapping):
            named = {str(i): m for i, m in enumerate(maps)}
            return list(self._corrected(named, prior).values())
        return self._corrected(maps, prior)

    def _corrected(self, maps: Mapping[str, Tensor], prior: Mapping[int, Tensor]) -> dict[str, Tensor]:
        out = dict(maps)
        for name, stride in self.strides.items():
            local = prior[stride]
            if local.shape[-2:] != maps[name].shape[-2:]:
                local = F.interpolate(local, maps[name].shape[-2:], mode="bilinear")
            out[name] = maps[name] + self.residuals[name](maps[name], local)
            if name in self.unit:
                out[name] = F.normalize(out[name].float(), dim=1)
        return out


class MapBottleneck(nn.Module):
    """``x`` plus a depthwise bottleneck on a map (b, c, h, w) whose last layer starts at zero.

    >>> torch.equal(MapBottleneck(8)(torch.ones(1, 8, 4, 4)), torch.ones(1, 8, 4, 4))
    True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(16, channels)
        self.down = nn.Conv2d(channels, hidden, 1)
        self.spread = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.up = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.up(F.relu(self.spread(F.relu(self.down(x)))))
        return out


class _PixelSite(nn.Module):
    """At a patch embedding: keeps the image for the branch at the pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[Tensor] = []

    def forward(self, tokens: Tensor, image: Tensor, *_: Any) -> Tensor:
        self.images[:] = [image]
        return tokens


class _PyramidSite(nn.Module):
    def __init__(self, branch: DetailBranch, pixels: _PixelSite) -> None:
        super().__init__()
        self.branch = branch
        self.images = pixels.images

    def forward(self, maps: Maps, *_: Any) -> Maps:
        corrected: Maps = self.branch(maps, self.images.pop())
        return corrected


class MapDetail(Adapter):
    """A detail branch at ``features`` (or at ``pyramid``, beside ``patch_embed``), and small bottlenecks at the sites
    ``backbone.*``, once per image, and ``decoder.*``: clicks cost what they did, but for those.

    The idea is ClickAdapter's, early detail through gamma-weighted injection; the layers are this project's.
    """

    kind = "detail"

    def __init__(self, model: Segmenter, width: int = 24) -> None:
        super().__init__(width=width)
        sites = model.sites()
        if "features" in sites:
            shapes, unit = map_shapes(model, "features")
            self.place(model, "features", Around, DetailBranch(shapes, width, unit))
        elif "pyramid" in sites and "patch_embed" in sites:
            shapes, unit = map_shapes(model, "pyramid")
            pixels = _PixelSite()
            self.place(model, "patch_embed", Around, pixels)
            self.place(model, "pyramid", Around, _PyramidSite(DetailBranch(shapes, width, unit), pixels))
        else:
            raise ConfigError(
                f"{describe_model(model)} without sites features, or pyramid and patch_embed",
                "a two-stage click model, such as nano",
                "use lora, head or full",
            )
        for site in sites:
            if site.startswith(("backbone.", "decoder.")):
                block = model.module.get_submodule(site_path(model, site))
                self.place(model, site, After, MapBottleneck(width_of(block)))


def map_shapes(model: Segmenter, site: str, side: int = 128) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """({map: (channels, stride)}, maps of unit length) that the module at ``site`` gives out, by looking at a grey
    image once."""
    module = model.module.get_submodule(site_path(model, site))
    maps: dict[str, Tensor] = {}
    sizes: list[tuple[int, int]] = []

    def look(_: nn.Module, __: Any, out: Maps) -> None:
        named = out if isinstance(out, Mapping) else {str(i): m for i, m in enumerate(out)}
        maps.update({name: m for name, m in named.items() if isinstance(name, str)})  # not the backbone's, by strides

    def sized(_: nn.Module, entered: Any, __: Any) -> None:
        sizes.append(tuple(entered[0].shape[-2:]))

    entry = model.module.get_submodule(site_path(model, "patch_embed")) if site != "features" else module
    hooks = [module.register_forward_hook(look), entry.register_forward_hook(sized)]
    try:
        with model.eager():
            model.encode([np.full((side, side, 3), 128, np.uint8)])
    finally:
        for hook in hooks:
            hook.remove()
    height = sizes[0][0]
    shapes = {k: (m.shape[1], round(height / m.shape[-2])) for k, m in maps.items() if m.ndim == 4}
    ones = [k for k in shapes if torch.allclose(maps[k].float().norm(dim=1), torch.ones(()), atol=1e-3)]
    return shapes, ones
