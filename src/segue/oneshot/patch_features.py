"""The features that references are compared in: which maps of a model, in which space."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import singledispatch

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from segue.core.frame import Frame
from segue.core.geometry import mask_box
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Reference
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.model import Nano, as_pixels
from segue.models.nano.shufflenet import ShuffleNetV2
from segue.models.pretrained import shipped_file
from segue.oneshot.matching import unit

SHIPPED = "nano-match"
SIZES = (96, 192, 384)  # pixels on the model's grid of the object's longer side, in the views of a reference


class Space(nn.Module):
    """(b, C, h, w) raw maps -> (b, C, h, w) unit vectors in which every layer counts alike.

    Channels are standardised by ``mean`` and ``std`` (C,), measured on photos, so that what all images share
    says nothing; then each of the ``layers`` (their channel counts, summing to C) is brought to unit length.
    Without numbers the maps are only brought to unit length.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self, mean: Tensor | None = None, std: Tensor | None = None, layers: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.layers = list(layers or ())

    @classmethod
    def from_model(cls, model: Segmenter) -> Space:
        """The space that ships for ``model``; the plain one for models without."""
        path = shipped_file(SHIPPED)
        if not isinstance(model, Nano) or not path.is_file():
            return cls()
        state = load_file(path)
        return cls(state["mean"].float(), state["std"].float(), state["layers"].tolist())

    @classmethod
    def measured(cls, raw: Sequence[Tensor], layers: Sequence[int]) -> Space:
        """The space of many images' raw cells, each (C, n)."""
        every = torch.cat(list(raw), 1).double()
        return cls(every.mean(1).float(), every.std(1).float() + 1e-3, layers)

    def state(self) -> dict[str, Tensor]:
        """What ``of`` reads."""
        assert self.mean is not None
        assert self.std is not None
        return {"mean": self.mean, "std": self.std, "layers": torch.tensor(self.layers)}

    def forward(self, raw: Tensor) -> Tensor:
        """(b, C, h, w) -> the same, unit vectors."""
        if self.mean is None or self.std is None or raw.shape[1] != len(self.mean):
            return unit(raw)
        standard = (raw - self.mean[:, None, None]) / self.std[:, None, None]
        return unit(torch.cat([unit(part) for part in torch.split(standard, self.layers, 1)], 1))

    @property
    def digest(self) -> str:
        """Of the numbers, for cache keys."""
        sha = hashlib.sha256()
        for buffer in (self.mean, self.std):
            if buffer is not None:
                sha.update(buffer.cpu().numpy().tobytes())
        return sha.hexdigest()[:16]


@singledispatch
def raw_cells(model: Segmenter, images: Sequence[Image], features: Features) -> Tensor:
    """(b, C, h, w): a model's coarsest map of features. Other models join here with what they know best."""
    maps = [m for name, m in features.maps.items() if m.ndim == 4 and name not in ("photo", "pixels")]
    if "embedding" in features.maps:
        return features.maps["embedding"]
    return min(maps, key=lambda m: m.shape[-1] * m.shape[-2])


@raw_cells.register
def _nano(model: Nano, images: Sequence[Image], features: Features) -> Tensor:
    """The backbone at strides 8, 16 and 32, the decoder's map at 16 and the click embedding, all at stride 16."""
    views = []
    for image, frame in zip(images, features.frames, strict=True):
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(model.device).permute(2, 0, 1)[None]
        views.append(frame.pad(as_pixels(frame.resample(pixels))))
    taps = _backbone(model)(torch.cat(views))
    size = taps[16].shape[-2:]
    deep = F.interpolate(taps[32], size, mode="bilinear", align_corners=False)
    fine = [F.adaptive_avg_pool2d(m, size) for m in (taps[8], features.maps["embedding"])]
    return torch.cat((fine[0], taps[16], deep, features.maps["stride16"], fine[1]), 1)


def layer_widths(model: Nano) -> list[int]:
    """How many channels each layer of nano's raw cells has, in their order."""
    channels, sizes = _backbone(model).channels, model.network.sizes
    return [*(channels[stride] for stride in (8, 16, 32)), sizes.channels[0], sizes.embedding]


def _backbone(model: Nano) -> MobileNetV2 | ShuffleNetV2:
    """Wherever adapters have put it."""
    return next(m for m in model.modules() if isinstance(m, MobileNetV2 | ShuffleNetV2))


def reference_frames(model: Segmenter, reference: Reference) -> list[Frame]:
    """How a reference is looked at: whole; for nano also mirrored, from nearer and from farther, because the
    features of a small network follow the size of what they see."""
    height, width = reference.mask.shape
    whole = model.frame((height, width))
    if not isinstance(model, Nano):
        return [whole]
    frames = [whole, whole.flipped()]
    x0, y0, x1, y1 = mask_box(reference.mask) or (0, 0, width, height)
    now = max(x1 - x0, y1 - y0) * whole.scale[0]
    for wanted in SIZES:
        if 0.75 < wanted / now < 1.33:
            continue
        scale = whole.scale[0] * wanted / now
        left, right = _around(x0, x1, model.longest / scale, width)
        top, bottom = _around(y0, y1, model.longest / scale, height)
        resized = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
        frames.append(whole.zoomed((left, top, right, bottom), resized, multiple=64))
    return frames


def _around(low: int, high: int, length: float, end: int) -> tuple[int, int]:
    """A stretch of ``length`` (or all there is of 0..``end``) with low..high in its middle as far as may be."""
    length = min(float(end), max(length, float(high - low)))
    start = min(max(0.0, (low + high - length) / 2), end - length)
    return int(start), min(end, int(start) + max(1, round(length)))
