"""SimpleClick: clicks and the previous mask enter a plain ViT beside the image; a light head answers.

Source: Liu et al., ICCV 2023 (slides), and the published code where the two differ. The parameter names of
``SimpleClickNet`` are the published ones.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segue.core.errors import InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph, Segmenter
from segue.core.types import Click, Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.checkpoints import load_official
from segue.models.pretrained import Pretrained
from segue.models.simpleclick.network import ClickNet, SimpleClickConfig, SimpleClickNet, check_grid
from segue.models.simpleclick.training import SimpleClickCore
from segue.models.simpleclick.weights import simpleclick_label
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule
from segue.nn import frames as tensor_frames
from segue.nn.clickmaps import pack_clicks
from segue.nn.confidence import mask_confidence
from segue.nn.module import TorchSegmenter, as_arrays, weights_digest


class ClickMapModel(TorchSegmenter, Pretrained):
    """A model that reads clicks as maps beside the pixels, so that nothing is known of an image before a click and
    ``encode`` only resamples. Its memory is the last probability map on the grid of ``input_size`` (H, W)."""

    accepts: ClassVar[frozenset[type]] = frozenset({Click})
    default_view: ClassVar[str] = "simpleclick"
    net: ClickNet

    def __init__(self, net: ClickNet, input_size: Size) -> None:
        super().__init__()
        self.net, self.input_size = net, input_size

    def frame(self, size: Size) -> Frame:
        return Frame.resize(size, self.input_size, align_corners=True)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        chosen = tuple(frames or (self.frame((i.shape[0], i.shape[1])) for i in images))
        for frame in chosen:
            self._check_view(frame)
        views = [
            tensor_frames.view(frame, as_pixels(image, self.device))
            for image, frame in zip(images, chosen, strict=True)
        ]
        return self.features({"image": torch.cat(views)}, chosen)

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        image, frame = self.tensor(features.maps["image"]), features.frame
        previous = image.new_zeros(1, 1, *image.shape[-2:])
        if memory:
            previous = self.tensor(memory["probability"]).to(image)
        logits = self.net(image, previous, grid_points(prompts, frame).to(image.device))
        probability = F.interpolate(logits, size=frame.grid, mode="bilinear", align_corners=True).sigmoid()
        return self.prediction(logits, mask_confidence(probability), {"probability": probability}, frame)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        pixels = self.tensor(probability)[None, None].float()
        return as_arrays({"probability": tensor_frames.view(features.frame, pixels)})

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        height, width = self.input_size
        inputs = {
            "image": torch.zeros(1, 3, height, width),
            "previous": torch.zeros(1, 1, height, width),
            "points": torch.full((1, 4, 3), -1.0),
        }
        free = {name: {0: "batch"} for name in inputs}
        return {"net": ExportGraph(self.net, inputs, ("logits",), free | {"points": {0: "batch", 1: "points"}})}

    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        return self.net.load_backbone(state)

    def training_core(self) -> SimpleClickCore:
        return SimpleClickCore(self.net)

    @abstractmethod
    def _check_view(self, frame: Frame) -> None:
        """Raise ``InputError`` for a view whose grid the network cannot take."""


class SimpleClick(ClickMapModel):
    """SimpleClick as a Segmenter. Official evaluation wraps it in ``ZoomIn`` (and ``FlipAverage``), see
    ``segue.models.wrappers``.

    >>> import numpy as np
    >>> from segue.models.simpleclick.registry import TINY
    >>> model = SimpleClick(**TINY).eval()
    >>> features = model.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> model.decode(features, [Click(10, 20)]).probability().shape
    (30, 40)
    """

    net: SimpleClickNet

    def __init__(self, **config: Any) -> None:
        self.spec = spec = SimpleClickConfig.from_fields(config)
        super().__init__(SimpleClickNet(spec), spec.input_size or spec.img_size)

    def sites(self) -> Mapping[str, str]:
        blocks = {f"block.{i}": f"net.backbone.blocks.{i}" for i in range(self.spec.depth)}
        entry = {"clicks": "net.patch_embed_coords", "patch_embed": "net.backbone.patch_embed"}
        return {**entry, **blocks, "neck": "net.neck", "head": "net.head"}

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        load_official(self.net, state, simpleclick_label)

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

    >>> from segue.models.simpleclick.registry import TINY
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
    at = np.array([(c.x, c.y) for c in clicks], np.float64)
    return pack_clicks([(y, x, c.positive) for (x, y), c in zip(frame.to_grid(at).tolist(), clicks, strict=True)])
