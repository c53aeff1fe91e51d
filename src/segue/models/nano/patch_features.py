"""What nano compares references by: its maps, patch by patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from segue.core.arrays import resize
from segue.core.files import read_json
from segue.core.frame import Crop, Frame, Size
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Reference, on_host
from segue.models.nano.settings import TAPS, NanoSizes
from segue.models.nano.views import MULTIPLE, reference_views
from segue.models.pretrained import shipped_file

NEAR = 224  # pixels of the grid on the longer side of what is looked at from near
PATCH_STATISTICS = "nano-match"  # the file of statistics for comparing references


class PatchFeatures(Segmenter):
    """A model of nano's network whose maps can be compared; whole photos are seen at ``longest`` pixels."""

    longest: int
    sizes: NanoSizes

    def patch_features(self, images: Sequence[Image], features: Features) -> NDArray[Any]:
        """The backbone at strides 8, 16 and 32, the decoder's map at 16 and the click embedding, all at stride 16."""
        maps = {name: on_host(features.maps[name]) for name in (*TAPS, "stride16", "embedding")}
        fine, at16, deep = (maps[name] for name in TAPS)
        size = (at16.shape[-2], at16.shape[-1])
        parts = (halved(fine), at16, resize(deep, size), maps["stride16"], halved(maps["embedding"]))
        return np.concatenate(parts, 1)

    def patch_statistics(self) -> Mapping[str, NDArray[Any]] | None:
        path = shipped_file(PATCH_STATISTICS)
        return load_file(path) if path.is_file() else None

    def near_frame(self, size: Size, crop: Crop) -> Frame:
        """The crop's longer side at ``NEAR`` pixels."""
        x0, y0, x1, y1 = crop
        scale = NEAR / max(x1 - x0, y1 - y0)
        resized = max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))
        return self.frame(size).zoomed(crop, resized, multiple=MULTIPLE)

    def match_calibration(self) -> Mapping[str, Any] | None:
        path = shipped_file(PATCH_STATISTICS).with_suffix(".json")
        return dict(read_json(path)) if path.is_file() else None

    def patch_widths(self) -> list[int]:
        """How many channels each layer of ``patch_features`` has, in their order."""
        channels = self.module.network.encoder.backbone.channels
        return [*(channels[stride] for stride in (8, 16, 32)), self.sizes.channels[0], self.sizes.embedding]

    def reference_frames(self, reference: Reference) -> list[Frame]:
        """Whole, mirrored, from nearer and from farther: the features of a small network follow the size of what
        they see."""
        return reference_views(self.frame(reference.mask.shape), reference.mask, self.longest)


def halved(maps: NDArray[Any]) -> NDArray[Any]:
    """(b, c, h, w), h and w even -> (b, c, h / 2, w / 2): the means of 2 x 2.

    >>> halved(np.arange(4.0).reshape(1, 1, 2, 2))
    array([[[[1.5]]]])
    """
    b, c, h, w = maps.shape
    return np.asarray(maps.reshape(b, c, h // 2, 2, w // 2, 2).mean((3, 5)))
