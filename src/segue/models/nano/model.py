"""nano: the model that ships with segue. One small encoder per image, a few milliseconds per click.

Where a dialogue begins, a glance at a small copy of the photo tells how large the object is; the region around it
is encoded at a higher scale, and clicks are answered there until the mask outgrows it (RITM's zoom-in, here inside
the model so that the encoded region is kept in the memory from click to click). Later clicks are corrections: their
surroundings are looked at closely, and only what is connected to the click changes on the canvas (``canvas.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segue.core.errors import InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import (
    Box,
    Click,
    Features,
    Image,
    Maps,
    Memory,
    Prediction,
    Probability,
    Prompt,
    check_prompts,
)
from segue.models.nano.canvas import (
    Logits,
    canvas_frame,
    canvas_of,
    corrected,
    empty_canvas,
    everywhere,
    in_view,
    on_canvas,
    window,
)
from segue.models.nano.close_look import CloseLook, is_cut
from segue.models.nano.network import MAPS, NanoNet, NanoSizes, TensorDecoder, TensorEncoder
from segue.models.nano.onnx_engine import Graphs, available
from segue.models.nano.patch_features import PatchFeatures
from segue.models.nano.training import NanoCore
from segue.models.nano.views import (
    MULTIPLE,
    Answer,
    as_canvas,
    as_pixels,
    as_tensors,
    bounding_box,
    box_on_canvas,
    changed,
    expanded,
    given,
    inside,
    is_positive,
    obey,
    resample,
    seen,
    so_far,
    stored_photo,
    zoomed,
)
from segue.models.opening import Pretrained
from segue.nn import frames as tensor_frames
from segue.nn.module import as_array, as_arrays

GLANCE = "glance."  # before the names of the small copy's maps
GLANCED = 0.25  # its share in the mask that an unsure first answer is thought over with
Engine: TypeAlias = Literal["auto", "onnx", "torch"]


class Nano(PatchFeatures, Pretrained):
    """A small backbone and an attention decoder: clicks and boxes in, one mask and its estimated IoU out.

    ``longest`` is the longer side, in pixels, at which a whole photo is encoded; ``zoom`` that of a region
    encoded again (0 never zooms in), ``glance`` that of the small copy in which regions are first looked for (0
    looks in the whole view). A region is ``margin`` times the mask's bounding box, at least ``smallest``
    longer sides of the photo, and only encoded if that shows the object ``gain`` times larger; with ``eager``
    for the first prompt already. A first answer whose estimated IoU is below ``unsure`` is thought over once, mixed
    with what the glance saw. What later clicks change is encoded once more at ``close`` pixels (0 never does), at least
    ``closest`` longer sides of the photo; from click number ``corrections_from`` on, or at once on a mask brought from
    elsewhere, only the connected change that holds the click is taken over. ``engine`` "onnx" runs on ONNX Runtime,
    "torch" on PyTorch; "auto" takes ONNX Runtime on a CPU where it is installed, unless gradients are wanted or an
    adapter has changed the network. With ``newest`` the decoder is told which click is the newest.

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
        close: int = 256,
        closest: float = 0.12,
        corrections_from: int = 6,
        channels: Sequence[int] = (128, 64, 48),
        blocks: Sequence[int] = (5, 4, 3),
        width: float = 1.0,
        embedding: int = 32,
        heads: int = 4,
        engine: Engine = "auto",
        newest: bool = False,
    ) -> None:
        super().__init__()
        self.longest, self.zoom, self.glance, self.margin, self.gain = longest, zoom, glance, margin, gain
        self.smallest, self.zooms_at_once, self.unsure, self.engine = smallest, eager, unsure, engine
        self.close, self.close_look = close, CloseLook(close, closest, margin)
        self.corrections_from = corrections_from
        self._eager = False
        c, n = tuple(channels), tuple(blocks)
        sizes = NanoSizes((c[0], c[1], c[2]), (n[0], n[1], n[2]), embedding, heads, width, newest)
        self.network = NanoNet(sizes)
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
        """All prompts so far on one image -> one mask: on the canvas of the whole photo, or on the grid of the whole
        view where nothing is looked at closely."""
        check_prompts(prompts, features.frame.size, self.accepts)
        if not prompts:
            raise InputError("no prompt", "at least one click or box")
        onnx, newest = self.in_onnx(), prompts[-1]
        with self._engine(onnx):
            seen = Features(self.tensors(features.maps), features.frames)
            before = self.tensors(memory or {})
            if "canvas" in before and isinstance(newest, Click):
                return self._correction(seen, prompts, newest, before, onnx)
            return self._answered(seen, self._closer_and_closer(seen, prompts, before, onnx), before)

    def _correction(
        self, features: Features, prompts: Sequence[Prompt], newest: Click, memory: Memory, onnx: bool
    ) -> Prediction:
        """The mask in ``memory`` as the newest click wants it: early in a dialogue decided anew in the region and then
        closely around what the click changed, later with that change alone, seen near the click if it ends there."""
        canvas, whole, near = as_canvas(memory), features.frame, None
        late = len(prompts) >= self.corrections_from or bool(given(memory))
        if late:
            near = self.close_look.around(newest, canvas, whole)
        if near is not None:
            fresh, score = self._seen_closely(features, prompts, canvas, near, onnx)
            result, change = corrected(canvas, fresh, window(near), newest, whole.size)
            if change.any() and not is_cut(change, near):
                return self._on_canvas(result, score, memory, whole.size)
        said = self._answered(features, self._closer_and_closer(features, prompts, memory, onnx), memory)
        fresh, score = as_canvas(said.memory), self.tensor(said.scores)
        result, change = corrected(canvas, fresh, everywhere(fresh), newest, whole.size)
        result = result if late else fresh.copy()
        view = self.close_look.around_change(change, newest, whole)
        finer = view.scale[0] > self.gain * Frame.from_array(said.memory["frame"]).scale[0]
        if near is None and change.any() and (late or finer):
            part, (fresh, score) = window(view), self._seen_closely(features, prompts, canvas, view, onnx)
            if late:
                result, _ = corrected(canvas, fresh, part, newest, whole.size)
            else:
                result[part] = fresh
        return self._on_canvas(result, score, said.memory, whole.size)

    def _seen_closely(
        self, features: Features, prompts: Sequence[Prompt], canvas: Logits, view: Frame, onnx: bool
    ) -> tuple[Logits, Tensor]:
        """What ``view`` says of the clicks in its window of the ``canvas``, and its estimated IoU."""
        previous = torch.from_numpy(in_view(canvas, view))[None, None].to(self.device)
        maps = self._look_closer(features.maps["photo"], view, onnx)
        clicks = [p for p in prompts if isinstance(p, Click)]
        logits, score = self._answer(maps, view, clicks, previous, onnx)
        return on_canvas(as_array(logits)[0, 0], view), score.sigmoid()

    def _answered(self, features: Features, answer: Answer, memory: Memory | None) -> Prediction:
        """What a dialogue's first answers say: they replace the mask wherever they looked."""
        logits, frame = answer.layers[-1]
        kept = {"frame": frame.to_array()} | given(memory)
        if not frame.is_whole_image:
            kept |= {k: answer.maps[k] for k in MAPS}
        if not self._has_canvas(features):
            return self.prediction(logits, answer.score, {**kept, "probability": logits.sigmoid()}, frame)
        canvas = as_canvas(memory).copy() if memory else empty_canvas(frame.size)
        for layer, view in answer.layers if memory else answer.layers[-1:]:
            canvas[window(view)] = on_canvas(as_array(layer)[0, 0], view)
        return self._on_canvas(canvas, answer.score, kept, frame.size)

    def _on_canvas(self, canvas: Logits, score: Tensor, memory: Maps, size: Size) -> Prediction:
        shown = torch.from_numpy(canvas)[None, None]
        return self.prediction(shown, score, {**memory, "canvas": shown}, canvas_frame(size))

    def _has_canvas(self, features: Features) -> bool:
        return bool(self.close and self.zoom and self.zooms_at_once and "photo" in features.maps)

    def _closer_and_closer(
        self, features: Features, prompts: Sequence[Prompt], memory: Memory | None, onnx: bool
    ) -> Answer:
        whole = features.frame
        zooms = bool(self.zoom and "photo" in features.maps and (memory or self.zooms_at_once))
        frame, maps = self._first_view(features, prompts, memory, zooms, onnx)
        logits, score = self._answer(maps, frame, prompts, so_far(memory, frame), onnx)
        layers = [(logits, frame)]
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
                layers.append((logits, wanted))
        return Answer(layers, score.sigmoid(), maps)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """The (H, W) map as the previous answer, which clicks correct."""
        frame = features.frame
        if self._has_canvas(features):
            canvas = canvas_of(np.asarray(probability, np.float32))[None, None]
            return {"frame": frame.to_array(), "canvas": canvas, "given": np.ones(1, np.float32)}
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
            view = self._region_so_far(whole, prompts, memory) if zooms else whole
            return view, self._maps_of(features, view, onnx)
        if zooms and GLANCE + MAPS[0] in features.maps:
            return self._glance(whole.size), {k: features.maps[GLANCE + k] for k in MAPS}
        return whole, features.maps

    def _maps_of(self, features: Features, view: Frame, onnx: bool) -> Mapping[str, Tensor]:
        return features.maps if view.is_whole_image else self._look_closer(features.maps["photo"], view, onnx)

    def _glance(self, size: Size) -> Frame:
        """The whole image, its longer side at ``glance`` pixels."""
        return Frame.longest(size, self.glance, multiple=MULTIPLE)

    def _region_so_far(self, whole: Frame, prompts: Sequence[Prompt], memory: Memory) -> Frame:
        """``region`` around the mask so far and the prompts."""
        if "canvas" in memory:
            return self._region_of(whole, prompts, box_on_canvas(as_canvas(memory) > 0, whole.size))
        return self._region(whole, prompts, memory["probability"] - 0.5, Frame.from_array(memory["frame"]))

    def _region(self, whole: Frame, prompts: Sequence[Prompt], logits: Tensor, frame: Frame) -> Frame:
        """``region`` around the current mask, the positive clicks and boxes."""
        return self._region_of(whole, prompts, bounding_box(logits[0, 0] > 0, frame))

    def _region_of(self, whole: Frame, prompts: Sequence[Prompt], masked: Sequence[float] | None) -> Frame:
        boxes: list[Sequence[float]] = [(p.x, p.y, p.x + 1, p.y + 1) for p in prompts if is_positive(p)]
        boxes += [(p.x0, p.y0, p.x1, p.y1) for p in prompts if isinstance(p, Box)]
        return self.region(whole, [*boxes, masked] if masked is not None else boxes)

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
