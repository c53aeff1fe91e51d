"""What nano compares references by: its maps, patch by patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch.nn import functional as F

from segue.core.frame import Frame
from segue.core.types import Features, Image, Reference
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.network import NanoNet
from segue.models.nano.views import reference_views, seen
from segue.models.pretrained import shipped_file
from segue.nn.module import TorchSegmenter, as_array

MATCH = "nano-match"  # the file of statistics for comparing references


class PatchFeatures(TorchSegmenter):
    """A model of nano's network whose maps can be compared; whole photos are seen at ``longest`` pixels."""

    network: NanoNet
    longest: int

    @torch.inference_mode()
    def patch_features(self, images: Sequence[Image], features: Features) -> NDArray[Any]:
        """The backbone at strides 8, 16 and 32, the decoder's map at 16 and the click embedding, all at stride 16."""
        taps = self._backbone(seen([self.photo(image) for image in images], features.frames))
        maps = self.tensors({name: features.maps[name] for name in ("stride16", "embedding")})
        size = taps[16].shape[-2:]
        deep = F.interpolate(taps[32], size, mode="bilinear", align_corners=False)
        fine = [F.adaptive_avg_pool2d(m, size) for m in (taps[8], maps["embedding"])]
        return as_array(torch.cat((fine[0], taps[16], deep, maps["stride16"], fine[1]), 1))

    def patch_statistics(self) -> Mapping[str, NDArray[Any]] | None:
        path = shipped_file(MATCH)
        return load_file(path) if path.is_file() else None

    def patch_widths(self) -> list[int]:
        """How many channels each layer of ``patch_features`` has, in their order."""
        channels, sizes = self._backbone.channels, self.network.sizes
        return [*(channels[stride] for stride in (8, 16, 32)), sizes.channels[0], sizes.embedding]

    def reference_frames(self, reference: Reference) -> list[Frame]:
        """Whole, mirrored, from nearer and from farther: the features of a small network follow the size of what
        they see."""
        return reference_views(self.frame(reference.mask.shape), reference.mask, self.longest)

    @property
    def _backbone(self) -> MobileNetV2:
        """Wherever adapters have put it."""
        return next(m for m in self.modules() if isinstance(m, MobileNetV2))
