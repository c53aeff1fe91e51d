"""nano: the model that ships with segue. One small encoder per image, a few milliseconds per click.

Where a dialogue begins, a glance at a small copy of the photo tells how large the object is; the region around it
is encoded at a higher scale, and clicks are answered there until the mask outgrows it (RITM's zoom-in, here inside
the model so that the encoded region is kept in the memory from click to click).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from segue.core.errors import InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import (
    Box,
    Click,
    Features,
    Image,
    Memory,
    Prediction,
    Probability,
    Prompt,
    Reference,
    check_prompts,
)
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.network import NanoNet, NanoSizes
from segue.models.nano.onnx_engine import Graphs, available
from segue.models.nano.training import NanoCore
from segue.models.nano.views import (
    MULTIPLE,
    as_tensors,
    bounding_box,
    changed,
    expanded,
    inside,
    obey,
    reference_views,
    resample,
    stored_photo,
    zoomed,
)
from segue.models.opening import Pretrained
from segue.models.pretrained import shipped_file
from segue.nn import frames as tensor_frames
from segue.nn.module import TorchSegmenter, as_array, as_arrays

MAPS = ("stride16", "stride8", "stride4", "embedding")
GLANCE = "glance."  # before the names of the small copy's maps
MATCH = "nano-match"  # the file of statistics for comparing references
GLANCED = 0.25  # its share in the mask that an unsure first answer is thought over with
Engine: TypeAlias = Literal["auto", "onnx", "torch"]


class Nano(TorchSegmenter, Pretrained):
    """A small backbone and an attention decoder: clicks and boxes in, one mask and its estimated IoU out.

    ``longest`` is the longer side, in pixels, at which a whole photo is encoded; ``zoom`` that of a region
    encoded again (0 never zooms in), ``glance`` that of the small copy in which regions are first looked for (0
    looks in the whole view). A region is ``margin`` times the mask's bounding box, at least ``smallest``
    longer sides of the photo, and only encoded if that shows the object ``gain`` times larger; with ``eager``
    for the first prompt already. A first answer whose estimated IoU is below ``unsure`` is thought over once, mixed
    with what the glance saw. ``engine`` "onnx" runs on ONNX Runtime, "torch" on PyTorch; "auto" takes ONNX
    Runtime on a CPU where it is installed, unless gradients are wanted or an adapter has changed the network.

    Source: InterFormer (Huang et al., 2023) for encoding once and decoding per click; RITM for zooming in.

    >>> image = np.full((60, 80, 3), 200, np.uint8)
    >>> model = Nano(longest=64, zoom=0).eval()
    >>> model.decode(model.encode([image]), [Click(40, 30)]).probability().shape
    (60, 80)
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Click, Box})

    def __init__(
        self,
        longest: int = 384,
        zoom: int = 320,
        glance: int = 256,
        margin: float = 1.4,
        gain: float = 1.25,
        smallest: float = 0.25,
        eager: bool = True,
        unsure: float = 0.6,
        channels: Sequence[int] = (128, 64, 48),
        blocks: Sequence[int] = (5, 4, 3),
        width: float = 1.0,
        embedding: int = 32,
        heads: int = 4,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        self.longest, self.zoom, self.glance, self.margin, self.gain = longest, zoom, glance, margin, gain
        self.smallest, self.zooms_at_once, self.unsure, self.engine = smallest, eager, unsure, engine
        self._eager = False
        c, n = tuple(channels), tuple(blocks)
        self.network = NanoNet(NanoSizes((c[0], c[1], c[2]), (n[0], n[1], n[2]), embedding, heads, width))
        self._deep = self.network.encoder.backbone.deep
        self._graphs = Graphs()
        self._built_of = sum(1 for _ in self.network.modules())

    def frame(self, size: Size) -> Frame:
        """The whole image, its longer side at ``longest`` pixels, padded to multiples of 64."""
        return Frame.longest(size, self.longest, multiple=MULTIPLE)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """Images (H, W, 3) uint8 -> decoder maps and, in the model's own view, the photo for zooming in and the
        glance's maps."""
        views = [self.frame((i.shape[0], i.shape[1])) for i in images] if frames is None else list(frames)
        if len({f.grid for f in views}) != 1:
            sizes = ", ".join(str(f.grid) for f in views)
            raise InputError(f"views on the grids {sizes}", "one grid a batch", "encode them one by one")
        photos = [self.photo(i) for i in images]
        onnx = self.in_onnx()
        with self._engine(onnx):
            maps = self._encode(seen(photos, views), onnx)
            if frames is None and self.zoom and len({p.shape for p in photos}) == 1:
                maps["photo"] = torch.cat([stored_photo(p) for p in photos])
                if 0 < self.glance < self.longest:
                    small = [self._glance(f.size) for f in views]
                    maps |= {GLANCE + k: v for k, v in self._encode(seen(photos, small), onnx).items()}
        return self.features(maps, tuple(views))

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """All prompts so far on one image -> one mask on the grid of the view it was answered in."""
        check_prompts(prompts, features.frame.size, self.accepts)
        if not prompts:
            raise InputError("no prompt", "at least one click or box")
        onnx = self.in_onnx()
        with self._engine(onnx):
            maps = self.tensors(features.maps)
            return self._closer_and_closer(Features(maps, features.frames), prompts, self.tensors(memory or {}), onnx)

    def _closer_and_closer(
        self, features: Features, prompts: Sequence[Prompt], memory: Memory | None, onnx: bool
    ) -> Prediction:
        whole = features.frame
        zooms = bool(self.zoom and "photo" in features.maps and (memory or self.zooms_at_once))
        frame, maps = self._first_view(features, prompts, memory, zooms, onnx)
        logits, score = self._answer(maps, frame, prompts, so_far(memory, frame), onnx)
        if zooms:
            wanted, glanced = self._region(whole, prompts, logits, frame), frame.is_whole_image and frame != whole
            if glanced or changed(wanted, frame):
                earlier, maps = logits, self._maps_of(features, wanted, onnx)
                # A glance says how large a thing is, not what it is: its mask would lead the finer answer astray.
                previous = None if glanced else resample(earlier.sigmoid(), frame, wanted)
                logits, score = self._answer(maps, wanted, prompts, previous, onnx)
                if glanced and bool(score.sigmoid() < self.unsure):
                    previous = torch.lerp(logits.sigmoid(), resample(earlier.sigmoid(), frame, wanted), GLANCED)
                    logits, score = self._answer(maps, wanted, prompts, previous, onnx)
                frame = wanted
        kept = {"frame": frame.to_array(), "probability": logits.sigmoid()}
        if not frame.is_whole_image:
            kept |= {k: maps[k] for k in MAPS}
        return self.prediction(logits, score.sigmoid(), kept, frame)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """The (H, W) map as the previous answer, seen in the whole view."""
        frame = features.frame
        view = tensor_frames.view(frame, self.tensor(probability)[None, None].float())
        return as_arrays({"frame": frame.to_array(), "probability": F.avg_pool2d(view, 2)})

    def sites(self) -> Mapping[str, str]:
        """The encoder's maps (``features``), every block of the backbone from stride 8 on and of the decoder at each
        stride, the decoder (``head``)."""
        names = {"decoder.16": "blocks16", "decoder.8": "blocks8", "decoder.4": "blocks4"}
        counts = {site: len(getattr(self.network.decoder, name)) for site, name in names.items()}
        blocks = {f"{site}.{i}": f"network.decoder.{names[site]}.{i}" for site, n in counts.items() for i in range(n)}
        backbone = {f"backbone.{i}": f"network.encoder.backbone.blocks.{i}" for i in self._deep}
        return {"features": "network.encoder", **backbone, **blocks, "head": "network.decoder"}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """``encoder`` (pixels -> maps) and ``decoder`` (maps, clicks, box, previous -> logits, score)."""
        c16, c8, c4 = self.network.sizes.channels
        shapes = {"stride16": (c16, 8, 12), "stride8": (c8, 16, 24), "stride4": (c4, 32, 48)}
        shapes["embedding"] = (self.network.sizes.embedding, 16, 24)
        inputs = {k: torch.zeros(1, *shape) for k, shape in shapes.items()}
        inputs |= {"clicks": torch.ones(1, 2, 3), "box": torch.zeros(1, 4), "previous": torch.zeros(1, 1, 64, 96)}
        axes = {k: {0: "batch", 2: f"{k}_height", 3: f"{k}_width"} for k in (*MAPS, "previous")}
        axes |= {"clicks": {0: "batch", 1: "clicks"}, "box": {0: "batch"}}
        pixels = {"pixels": torch.zeros(1, 3, 128, 192)}
        free = {"pixels": {0: "batch", 2: "height", 3: "width"}}
        return {
            "encoder": ExportGraph(TensorEncoder(self.network.encoder), pixels, MAPS, free),
            "decoder": ExportGraph(TensorDecoder(self.network.decoder), inputs, ("logits", "score"), axes),
        }

    def training_core(self) -> NanoCore:
        return NanoCore(self.network, self)

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

    def in_onnx(self) -> bool:
        """Whether ONNX Runtime answers now."""
        if self.engine == "torch" or self._eager or self.device.type != "cpu" or self.training:
            return False
        untouched = sum(1 for _ in self.network.modules()) == self._built_of
        return untouched and (self.engine == "onnx" or available())

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Meanwhile PyTorch answers."""
        before, self._eager = self._eager, True
        try:
            yield
        finally:
            self._eager = before

    def _engine(self, onnx: bool) -> AbstractContextManager[None]:
        return self._graphs.alone() if onnx else nullcontext()

    def _encode(self, pixels: Tensor, onnx: bool) -> dict[str, Tensor]:
        if onnx:
            return dict(zip(MAPS, self._graphs.run("encoder", self.export_graphs()["encoder"], [pixels]), strict=True))
        return dict(self.network.encoder(pixels.contiguous(memory_format=torch.channels_last)))

    def _answer(
        self,
        maps: Mapping[str, Tensor],
        frame: Frame,
        prompts: Sequence[Prompt],
        previous: Tensor | None,
        onnx: bool,
    ) -> tuple[Tensor, Tensor]:
        """One pass of the decoder in one view, and every clicked pixel given its label."""
        h, w = frame.grid
        clicks, box = as_tensors(prompts, frame, self.device)
        if previous is None:
            previous = torch.zeros(1, 1, h // 2, w // 2, device=self.device)
        if onnx:
            inputs = [*(maps[k] for k in MAPS), clicks, box, previous]
            logits, score = self._graphs.run("decoder", self.export_graphs()["decoder"], inputs)
        else:
            logits, score = self.network.decoder({k: maps[k] for k in MAPS}, clicks, box, previous)
        return obey(logits, clicks), score

    def _first_view(
        self, features: Features, prompts: Sequence[Prompt], memory: Memory | None, zooms: bool, onnx: bool
    ) -> tuple[Frame, Mapping[str, Tensor]]:
        """The view in which the newest prompt is answered first, and its maps: that of the last answer if the prompt
        lies inside, else one around that mask and the prompt. In the beginning a glance, if a closer look may follow.
        """
        whole = features.frame
        if memory:
            before = Frame.from_array(memory["frame"])
            if inside(prompts[-1], before):
                return before, memory if MAPS[0] in memory else features.maps
            view = self._region(whole, prompts, memory["probability"] - 0.5, before) if zooms else whole
            return view, self._maps_of(features, view, onnx)
        if zooms and GLANCE + MAPS[0] in features.maps:
            return self._glance(whole.size), {k: features.maps[GLANCE + k] for k in MAPS}
        return whole, features.maps

    def _maps_of(self, features: Features, view: Frame, onnx: bool) -> Mapping[str, Tensor]:
        return features.maps if view.is_whole_image else self._look_closer(features.maps["photo"], view, onnx)

    def _glance(self, size: Size) -> Frame:
        """The whole image, its longer side at ``glance`` pixels."""
        return Frame.longest(size, self.glance, multiple=MULTIPLE)

    def _region(self, whole: Frame, prompts: Sequence[Prompt], logits: Tensor, frame: Frame) -> Frame:
        """``region`` around the current mask, the positive clicks and boxes."""
        boxes = [(p.x, p.y, p.x + 1, p.y + 1) for p in prompts if isinstance(p, Click) and p.positive]
        boxes += [(p.x0, p.y0, p.x1, p.y1) for p in prompts if isinstance(p, Box)]
        masked = bounding_box(logits[0, 0] > 0, frame)
        if masked is not None:
            boxes.append(masked)
        return self.region(whole, boxes)

    def region(self, whole: Frame, boxes: Sequence[Sequence[float]]) -> Frame:
        """The view around all ``boxes`` (x0, y0, x1, y1), in image pixels; the whole image where there are none or
        zooming in would show nothing more."""
        if not boxes:
            return whole
        low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
        crop = expanded(low, high, self.margin, self.smallest * max(whole.size), whole.size)
        return zoomed(whole, crop, self.zoom, self.gain)

    def _look_closer(self, photo: Tensor, region: Frame, onnx: bool) -> dict[str, Tensor]:
        """Encode a region of the stored photo."""
        sx, sy = photo.shape[-1] / region.size[1], photo.shape[-2] / region.size[0]
        x0, y0, x1, y1 = region.crop
        left, top = int(x0 * sx), int(y0 * sy)
        right, bottom = max(left + 1, round(x1 * sx)), max(top + 1, round(y1 * sy))
        part = photo[..., top:bottom, left:right]
        view = tensor_frames.resample(Frame.resize((part.shape[-2], part.shape[-1]), region.resized), part)
        return self._encode(tensor_frames.pad(region, as_pixels(view)), onnx)


class TensorEncoder(nn.Module):
    """The encoder with a tuple of maps, in the order of ``MAPS``, for an output."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """b 3 H W in [-1, 1] -> maps."""
        maps = self.encoder(pixels)
        return tuple(maps[k] for k in MAPS)


class TensorDecoder(nn.Module):
    """The decoder with its maps one by one for inputs."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Maps in the order of ``MAPS``, clicks, box, previous -> logits (b, 1, H/2, W/2), IoU logits (b, 1)."""
        logits, score = self.decoder(dict(zip(MAPS, inputs[:4], strict=True)), *inputs[4:])
        return logits, score


def so_far(memory: Memory | None, frame: Frame) -> Tensor | None:
    """The last answer (1, 1, h, w) at half the grid of ``frame``; None before the first."""
    if not memory:
        return None
    before = Frame.from_array(memory["frame"])
    return memory["probability"] if before == frame else resample(memory["probability"], before, frame)


def seen(photos: Sequence[Tensor], views: Sequence[Frame]) -> Tensor:
    """(1, 3, H, W) photos through frames of one grid -> (b, 3, h, w) in the backbone's range."""
    return torch.cat(
        [tensor_frames.pad(f, as_pixels(tensor_frames.resample(f, p))) for f, p in zip(views, photos, strict=True)]
    )


def as_pixels(view: Tensor) -> Tensor:
    """0..255 -> -1..1, the range the backbone was trained in; 0, the padding, is grey."""
    return view.float() / 127.5 - 1
