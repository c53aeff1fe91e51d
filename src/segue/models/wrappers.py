"""Segmenters around Segmenters: zoom-in and flip averaging, exactly as RITM and SimpleClick evaluate.

Both work through frames and ``memory_from_mask`` only, so they wrap any model. The published order is zoom-in
outside, flip averaging inside: ``ZoomIn(FlipAverage(model))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np

from segue.core.arrays import Planes, resize, sigmoid
from segue.core.errors import InputError
from segue.core.frame import Frame, Size
from segue.core.geometry import mask_box
from segue.core.segmenter import ExportGraph, Segmenter
from segue.core.types import Click, Features, Image, Maps, Mask, Memory, Prediction, Probability, Prompt
from segue.models.pretrained import Pretrained

Region: TypeAlias = tuple[int, int, int, int]  # (top, bottom, left, right) pixels, all inclusive


class Wrapper(Pretrained):
    """A Segmenter that changes how ``inner`` is used and owns no weights."""

    def __init__(self, inner: Segmenter) -> None:
        self.inner = inner

    @cached_property
    def module(self) -> Any:
        """The wrapped models' modules, by the names of the attributes that hold them."""
        from torch import nn  # only where weights are wanted

        models = {name: value.module for name, value in vars(self).items() if isinstance(value, Segmenter)}
        return nn.ModuleDict(models).train(self.inner.module.training)

    @property
    def device(self) -> Any:
        return self.inner.device

    def to(self, device: Any) -> Self:
        for model in self._models():
            model.to(device)
        return self

    def eval(self) -> Self:
        for model in self._models():
            model.eval()
        if "module" in vars(self):
            self.module.eval()
        return self

    def weights_digest(self) -> str:
        return " ".join(model.weights_digest() for model in self._models())

    def running_modules(self) -> Sequence[Any]:
        return [module for model in self._models() for module in model.running_modules()]

    def version(self) -> object:
        return tuple(model.version() for model in self._models())

    def _models(self) -> list[Segmenter]:
        return [value for value in vars(self).values() if isinstance(value, Segmenter)]

    @property
    def accepts(self) -> frozenset[type]:  # type: ignore[override]
        return self.inner.accepts

    @property
    def takes_views(self) -> bool:
        return self.inner.takes_views

    @property
    def described_view(self) -> str:
        return self.inner.described_view

    def frame(self, size: Size) -> Frame:
        return self.inner.frame(size)

    def sites(self) -> Mapping[str, str]:
        return {name: f"inner.{path}" for name, path in self.inner.sites().items()}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        return self.inner.export_graphs()

    def load_published(self, state: Mapping[str, Any]) -> None:
        self.inner.load_published({name.removeprefix("inner."): value for name, value in state.items()})

    def load_backbone(self, state: Mapping[str, Any]) -> list[str]:
        return self.inner.load_backbone(state)

    def training_core(self) -> Any:
        return self.inner.training_core()

    def text_training_core(self) -> Any:
        return self.inner.text_training_core()


def unwrapped(model: Segmenter) -> Segmenter:
    """The model that owns the weights, under any number of wrappers."""
    while isinstance(model, Wrapper):
        model = model.inner
    return model


class FlipAverage(Wrapper):
    """Decodes the image and its mirror image and averages the two *logit* maps.

    Source: the published evaluation of RITM and SimpleClick (AddHorizontalFlip before the sigmoid).

    >>> import numpy as np
    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> model = FlipAverage(SimpleClick(**TINY).eval())
    >>> model.decode(model.encode([np.zeros((20, 30, 3), np.uint8)]), [Click(3, 4)]).probability().shape
    (20, 30)
    """

    @property
    def described_view(self) -> str:
        return f"{self.inner.described_view}, averaged with its mirror image"

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        ahead = self.inner.encode(images, frames or [self.frame((i.shape[0], i.shape[1])) for i in images])
        mirror = self.inner.encode(images, [frame.flipped() for frame in ahead.frames])
        return Features(_prefixed("ahead", ahead.maps) | _prefixed("mirror", mirror.maps), ahead.frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        ahead, mirror = self._sides(features)
        if memory and "probability" in memory:
            memory = self.memory_from_mask(features, _answer(memory))
        first = self.inner.decode(ahead, prompts, _under("ahead", memory or {}))
        second = self.inner.decode(mirror, prompts, _under("mirror", memory or {}))
        a, frame = _unpadded(first.logits, first.frame)
        b, _ = _unpadded(second.logits, second.frame)
        logits = np.asarray((a + b[..., ::-1]) / 2, np.float32)
        scores = np.asarray((first.scores + second.scores) / 2, np.float32)
        return Prediction(logits, scores, _remembered(logits, frame), frame)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        ahead, mirror = self._sides(features)
        return _prefixed("ahead", self.inner.memory_from_mask(ahead, probability)) | _prefixed(
            "mirror", self.inner.memory_from_mask(mirror, probability)
        )

    def fingerprint(self) -> str:
        return f"flip-average({self.inner.fingerprint()})"

    def _sides(self, features: Features) -> tuple[Features, Features]:
        flipped = tuple(frame.flipped() for frame in features.frames)
        return (
            Features(_under("ahead", features.maps), features.frames),
            Features(_under("mirror", features.maps), flipped),
        )


@dataclass(frozen=True)
class ZoomRule:
    """When and how to zoom in; pixels of the original image.

    The first ``skip_clicks`` clicks see the whole image (-1: even the first is a zoom onto the whole image at
    the target size). The region is the last mask's box and every positive click, ``expansion`` times as large,
    at least ``min_crop`` each way; it stays until a positive click falls outside or its IoU with the new box
    drops under ``recompute_iou``. ``target`` is the longer side in pixels, or an exact (h, w), or None for
    the size that the inner model would choose for a photograph of the region's size.
    """

    target: int | tuple[int, int] | None = 400
    skip_clicks: int = 1
    expansion: float = 1.4
    min_crop: int | None = 200
    recompute_iou: float = 0.5
    threshold: float = 0.5


class ZoomIn(Wrapper):
    """Looks only at the region around the object, enlarged.

    Source: f-BRS (Sofiiuk et al. 2020) and the published code of RITM and SimpleClick. One thing differs on
    purpose: where the mask becomes empty after a region was chosen, the published code pastes the whole
    image's answer into the old region; here the whole image's answer is kept.

    >>> import numpy as np
    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> model = ZoomIn(SimpleClick(**TINY).eval(), ZoomRule(target=(64, 64), skip_clicks=-1, min_crop=8))
    >>> features = model.encode([np.zeros((20, 30, 3), np.uint8)])
    >>> model.decode(features, [Click(3, 4)]).frame.crop
    (0, 0, 30, 20)
    """

    def __init__(self, inner: Segmenter, rule: ZoomRule | None = None) -> None:
        super().__init__(inner)
        self.rule = rule or ZoomRule()

    @property
    def described_view(self) -> str:
        """
        >>> from segue.models.simpleclick.model import SimpleClick
        >>> from segue.models.simpleclick.registry import TINY
        >>> ZoomIn(FlipAverage(SimpleClick(**TINY))).described_view
        'the whole image, averaged with its mirror image; zoomed in to 400 pixels from click 2 on'
        """
        target = self.rule.target
        size = {int: f"{target} pixels", type(None): "the model's own size"}.get(type(target))
        size = size or f"{target[0]} x {target[1]} pixels"  # type: ignore[index]
        return f"{self.inner.described_view}; zoomed in to {size} from click {max(1, self.rule.skip_clicks + 1)} on"

    @property
    def takes_views(self) -> bool:
        return False

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        if frames is not None:
            raise InputError("views chosen for a zooming model", "it to choose its own", "put ZoomIn outermost")
        whole = self.inner.encode(images)
        tall, wide = (max(i.shape[axis] for i in images) for axis in (0, 1))
        pixels = np.zeros((len(images), tall, wide, 3), np.uint8)
        for slot, image in zip(pixels, images, strict=True):
            slot[: image.shape[0], : image.shape[1]] = image
        return Features({"pixels": pixels, **_prefixed("whole", whole.maps)}, whole.frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        memory = memory or {}
        clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
        before = _answer(memory) if "probability" in memory else None
        region = self._region(features.frame.size, clicks, before, memory)
        prediction = self._look(features, prompts, before, region, memory)
        if region is None and "region" not in memory and self.rule.skip_clicks == 0:
            probability = _answer(prediction.memory)
            if self._small_object(
                probability
            ):  # the answer itself shows that the object is small: ask once more, zoomed
                region = self._region(features.frame.size, clicks, probability, memory)
                prediction = self._look(features, prompts, before, region, memory)
        return prediction

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        frame = features.frame
        return {"probability": frame.view(probability), "frame": frame.to_array()}

    def fingerprint(self) -> str:
        return f"zoom-in({self.inner.fingerprint()})"

    def _region(self, size: Size, clicks: Sequence[Click], before: Probability | None, memory: Memory) -> Region | None:
        """The region to look at for these clicks, or None for the whole image as the inner model sees it."""
        if len(clicks) <= self.rule.skip_clicks:
            return None
        mask = None if before is None else before > self.rule.threshold
        if mask is not None and mask.any():
            new = object_region(mask, clicks, self.rule.expansion, self.rule.min_crop)
        elif self.rule.skip_clicks >= 0:
            return None
        else:
            new = (0, size[0] - 1, 0, size[1] - 1)
        if "region" not in memory:
            return new
        top, bottom, left, right = (int(v) for v in memory["region"])
        old = (top, bottom, left, right)
        keep = holds_clicks(old, clicks) and region_iou(new, old) >= self.rule.recompute_iou
        return old if keep else new

    def _small_object(self, probability: Probability) -> bool:
        mask = probability > self.rule.threshold
        if not mask.any():
            return False
        region = object_region(mask, (), self.rule.expansion, self.rule.min_crop)
        return region_iou(region, (0, mask.shape[0] - 1, 0, mask.shape[1] - 1)) < 0.5

    def _look(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        before: Probability | None,
        region: Region | None,
        memory: Memory,
    ) -> Prediction:
        carried: Memory = {}
        view = Features(_under("whole", features.maps), features.frames)
        if region is not None:
            frame = self.view_of(features.frame.size, region)
            if frame != features.frame:
                view = self._seen(features, frame, memory)
                carried = _prefixed("seen", view.maps) | {"seen": frame.to_array()}
            carried = {**carried, "region": np.array(region)}
        elif "region" in memory:
            carried = {"region": memory["region"]}
        inner_memory = None if before is None else self.inner.memory_from_mask(view, before)
        prediction = self.inner.decode(view, prompts, inner_memory)
        return replace(prediction, memory={**_remembered(prediction.logits, prediction.frame), **carried})

    def _seen(self, features: Features, frame: Frame, memory: Memory) -> Features:
        """The inner model's features of a view: those of the last click where the view is the same."""
        if "seen" in memory and Frame.from_array(memory["seen"]) == frame:
            return Features(_under("seen", memory), (frame,))
        height, width = frame.size
        image = features.maps["pixels"][0, :height, :width]
        return self.inner.encode([image], [frame])

    def view_of(self, size: Size, region: Region) -> Frame:
        """The frame that shows ``region`` of an image of ``size`` (H, W) at the rule's target size."""
        top, bottom, left, right = region
        height, width = bottom - top + 1, right - left + 1
        crop, whole = (left, top, right + 1, bottom + 1), self.inner.frame(size)
        if self.rule.target is None:
            own = self.inner.frame((height, width))
            return replace(whole, crop=crop, resized=own.resized, grid=own.grid)
        if isinstance(self.rule.target, tuple):
            return whole.zoomed(crop, self.rule.target)
        scale = self.rule.target / max(height, width)
        return whole.zoomed(crop, (round(height * scale), round(width * scale)))


def object_region(mask: Mask, clicks: Sequence[Click], expansion: float, min_crop: int | None) -> Region:
    """The box of a mask (H, W) bool and the positive clicks, grown about its centre, clamped to the image.

    Rounding is half to even, as in the published code.

    >>> mask = np.zeros((10, 10), bool)
    >>> mask[2:4, 3:7] = True
    >>> object_region(mask, [Click(8.9, 5)], 1.0, None)
    (2, 6, 2, 8)
    """
    box = mask_box(mask)
    columns, rows = ([], []) if box is None else ([box[0], box[2] - 1], [box[1], box[3] - 1])
    columns += [int(click.x) for click in clicks if click.positive]
    rows += [int(click.y) for click in clicks if click.positive]
    height, width = mask.shape
    top, bottom = _grow(min(rows), max(rows), expansion, min_crop, height)
    left, right = _grow(min(columns), max(columns), expansion, min_crop, width)
    return top, bottom, left, right


def _grow(low: int, high: int, expansion: float, least: int | None, limit: int) -> tuple[int, int]:
    centre, length = 0.5 * (low + high), expansion * (high - low + 1)
    if least is not None:
        length = max(length, least)
    return max(0, round(centre - 0.5 * length)), min(limit - 1, round(centre + 0.5 * length))


def holds_clicks(region: Region, clicks: Sequence[Click]) -> bool:
    """Whether every positive click lies inside; the last row and column count as outside, as published.

    >>> holds_clicks((0, 9, 0, 9), [Click(8, 8)]), holds_clicks((0, 9, 0, 9), [Click(9, 8)])
    (True, False)
    """
    top, bottom, left, right = region
    return all(top <= c.y < bottom and left <= c.x < right for c in clicks if c.positive)


def region_iou(a: Region, b: Region) -> float:
    """Product of the IoUs of the two regions' row and column ranges, as published.

    >>> region_iou((0, 9, 0, 9), (0, 9, 0, 4))
    0.5
    """
    return _range_iou(a[:2], b[:2]) * _range_iou(a[2:], b[2:])


def _range_iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    overlap = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return overlap / max(1e-6, max(a[1], b[1]) - min(a[0], b[0]) + 1)


def _remembered(logits: Planes, frame: Frame) -> Memory:
    """An answer small enough to keep: its probability on the view's grid, and which view that was."""
    return {"probability": sigmoid(_on_grid(logits, frame)[0, 0]), "frame": frame.to_array()}


def _answer(memory: Memory) -> Probability:
    """The remembered answer as (H, W) probability, 0 outside its view."""
    return Frame.from_array(memory["frame"]).to_image_size(memory["probability"])


def _on_grid(logits: Planes, frame: Frame) -> Planes:
    return resize(logits, frame.grid, align_corners=frame.align_corners)


def _unpadded(logits: Planes, frame: Frame) -> tuple[Planes, Frame]:
    """Logits and frame without the padding, which lies to the right in both mirror images."""
    if frame.grid == frame.resized:
        return logits, frame
    height, width = frame.resized
    return _on_grid(logits, frame)[..., :height, :width], replace(frame, grid=frame.resized)


def _prefixed(prefix: str, maps: Maps) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in maps.items()}


def _under(prefix: str, maps: Maps) -> dict[str, Any]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in maps.items() if name.startswith(start)}
