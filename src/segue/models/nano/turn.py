"""One turn of a dialogue with nano: which views are looked at, in which order, and what of them is taken over.

A first prompt is answered in a coarse pass and then in the region it found; while the mask is young, each further click
decides it anew in its region and then closely around what changed. Later clicks, and those on a mask brought from
elsewhere, are corrections: only what is connected to the click changes on the canvas of the whole photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array, sigmoid
from segue.core.frame import Frame
from segue.core.types import Box, Click, Features, Maps, Memory, Prediction, Prompt
from segue.models.nano.canvas import (
    Logits,
    canvas_frame,
    corrected,
    empty_canvas,
    everywhere,
    in_view,
    on_canvas,
    window,
)
from segue.models.nano.close_look import CloseLook, is_cut
from segue.models.nano.engines import NanoEngine
from segue.models.nano.settings import MAPS, ClosePolicy, ZoomPolicy
from segue.models.nano.views import (
    bounding_box,
    box_on_canvas,
    changed,
    coarse_view,
    enforce_clicks,
    inside,
    prompt_arrays,
    region_pixels,
    region_view,
    resample,
)

COARSE = "coarse."  # before the names of the coarse pass's maps
COARSE_MASK_WEIGHT = 0.25  # the coarse pass's share in the mask that an unsure first answer is decoded again with


class Decoded(NamedTuple):
    """What the views of one turn gave, the finest last: logits (h, w) and frame of each, the estimated IoU and the
    maps of the last."""

    layers: Sequence[tuple[Array, Frame]]
    iou: float
    maps: Maps


@dataclass(frozen=True, eq=False)
class Turn:
    """The ``prompts`` so far, the last new, on an image with ``features`` and the ``memory`` of the last turn."""

    engine: NanoEngine
    zoom: ZoomPolicy
    close: ClosePolicy
    redecode_below_iou: float
    features: Features
    prompts: Sequence[Prompt]
    memory: Memory

    def predict(self) -> Prediction:
        """One mask: on the canvas of the whole photo, or on the grid of the view where nothing is looked at
        closely."""
        newest = self.prompts[-1]
        if "canvas" in self.memory and isinstance(newest, Click):
            return self._correct(newest, self.memory["canvas"])
        return self._take_over(self._decode_with_zoom())

    def _correct(self, newest: Click, canvas: Logits) -> Prediction:
        """The mask in the memory as the newest click wants it: early in a dialogue decided anew in the region and then
        closely around what the click changed, later with that change alone, seen near the click if it ends there."""
        whole, look = self.features.frame, CloseLook(self.close.longest, self.close.min_crop, self.zoom.expansion)
        late = len(self.prompts) >= self.close.corrections_from or "given" in self.memory
        near = look.around(newest, canvas, whole) if late else None
        if near is not None:
            fresh, iou = self._look_closely(canvas, near)
            result, change = corrected(canvas, fresh, window(near), newest, whole.size)
            if change.any() and not is_cut(change, near):
                return self._on_canvas(result, iou, self.memory)
        prediction = self._take_over(self._decode_with_zoom())
        fresh, iou = prediction.memory["canvas"], float(prediction.scores[0, 0])
        result, change = corrected(canvas, fresh, everywhere(fresh), newest, whole.size)
        result = result if late else fresh.copy()
        view = look.around_change(change, newest, whole)
        finer = view.scale[0] > self.zoom.gain * Frame.from_array(prediction.memory["frame"]).scale[0]
        if late and near is None and change.any():
            fresh, iou = self._look_closely(canvas, view)
            result, _ = corrected(canvas, fresh, window(view), newest, whole.size)
        elif not late and finer and change.any() and len(self.prompts) > 1:
            result[window(view)], _ = self._look_closely(canvas, view)
        return self._on_canvas(result, iou, prediction.memory)

    def _look_closely(self, canvas: Logits, view: Frame) -> tuple[Logits, float]:
        """What ``view`` says of the clicks in its window of the ``canvas``, and its estimated IoU."""
        clicks = [p for p in self.prompts if isinstance(p, Click)]
        logits, iou = self._decode(self._encode(view), view, clicks, in_view(canvas, view))
        return on_canvas(logits, view), iou

    def _take_over(self, answer: Decoded) -> Prediction:
        """What a dialogue's first answers say: they replace the mask wherever they looked."""
        logits, frame = answer.layers[-1]
        after: dict[str, Any] = {"frame": frame.to_array()}
        if "given" in self.memory:
            after["given"] = self.memory["given"]
        if not frame.is_whole_image:
            after |= {name: answer.maps[name] for name in MAPS}
        if not has_canvas(self.features, self.zoom, self.close):
            memory = after | {"probability": sigmoid(logits)}
            return Prediction(logits[None, None], _score(answer.iou), memory, frame)
        canvas = self.memory["canvas"].copy() if self.memory else empty_canvas(frame.size)
        for layer, view in answer.layers if self.memory else answer.layers[-1:]:
            canvas[window(view)] = on_canvas(layer, view)
        return self._on_canvas(canvas, answer.iou, after)

    def _on_canvas(self, canvas: Logits, iou: float, memory: Memory) -> Prediction:
        frame = canvas_frame(self.features.frame.size)
        return Prediction(canvas[None, None], _score(iou), {**memory, "canvas": canvas}, frame)

    def _decode_with_zoom(self) -> Decoded:
        """The first view's answer, and that of the region it asks for."""
        whole = self.features.frame
        zooms = zooms_in(self.features, self.zoom) and bool(self.memory or self.zoom.on_first_click)
        frame, maps = self._first_view(zooms)
        logits, iou = self._decode(maps, frame, self.prompts, self._previous(frame))
        first = (logits, frame)
        if not zooms:
            return Decoded([first], iou, maps)
        region = self._region(bounding_box(logits > 0, frame))
        coarse = frame.is_whole_image and frame != whole
        if not coarse and not changed(region, frame, self.zoom.recompute_iou):
            return Decoded([first], iou, maps)
        earlier, maps = resample(sigmoid(logits), frame, region), self._maps_of(region)
        # A coarse pass says how large a thing is, not what it is: its mask would lead the finer answer astray.
        logits, iou = self._decode(maps, region, self.prompts, None if coarse else earlier)
        if coarse and iou < self.redecode_below_iou:
            answer = sigmoid(logits)
            mixed = answer + np.float32(COARSE_MASK_WEIGHT) * (earlier - answer)
            logits, iou = self._decode(maps, region, self.prompts, mixed)
        return Decoded([first, (logits, region)], iou, maps)

    def _first_view(self, zooms: bool) -> tuple[Frame, Maps]:
        """The view in which the newest prompt is answered first, and its maps: that of the last answer if the prompt
        lies inside, else one around that mask and the prompt. In the beginning a coarse pass, if a closer look may
        follow."""
        whole, maps = self.features.frame, self.features.maps
        if self.memory:
            before = Frame.from_array(self.memory["frame"])
            if inside(self.prompts[-1], before):
                return before, self.memory if MAPS[0] in self.memory else maps
            view = self._region(self._box_so_far(before)) if zooms else whole
            return view, self._maps_of(view)
        if zooms and COARSE + MAPS[0] in maps:
            return coarse_view(whole.size, self.zoom), {name: maps[COARSE + name] for name in MAPS}
        return whole, maps

    def _box_so_far(self, frame: Frame) -> tuple[float, float, float, float] | None:
        if "canvas" in self.memory:
            return box_on_canvas(self.memory["canvas"] > 0, frame.size)
        return bounding_box(self.memory["probability"] > 0.5, frame)

    def _region(self, masked: tuple[float, float, float, float] | None) -> Frame:
        """The view around the box of the mask, the positive clicks and the boxes."""
        boxes: list[Sequence[float]] = [] if masked is None else [masked]
        for prompt in self.prompts:
            if isinstance(prompt, Click) and prompt.positive:
                boxes.append((prompt.x, prompt.y, prompt.x + 1, prompt.y + 1))
            elif isinstance(prompt, Box):
                boxes.append((prompt.x0, prompt.y0, prompt.x1, prompt.y1))
        return region_view(self.features.frame, boxes, self.zoom)

    def _previous(self, frame: Frame) -> Array | None:
        """The last answer (h, w) at half the grid of ``frame``; None before the first."""
        if "canvas" in self.memory:
            return in_view(self.memory["canvas"], frame)
        if not self.memory:
            return None
        before, probability = Frame.from_array(self.memory["frame"]), self.memory["probability"]
        return probability if before == frame else resample(probability, before, frame)

    def _maps_of(self, view: Frame) -> Maps:
        return self.features.maps if view.is_whole_image else self._encode(view)

    def _encode(self, region: Frame) -> Maps:
        return self.engine.encode(region_pixels(self.features.maps["photo"][0], region)[None])

    def _decode(
        self, maps: Maps, frame: Frame, prompts: Sequence[Prompt], previous: Array | None
    ) -> tuple[Array, float]:
        """One pass of the decoder in one view, and every clicked pixel given its label."""
        clicks, box = prompt_arrays(prompts, frame)
        if previous is None:
            previous = np.zeros((frame.grid[0] // 2, frame.grid[1] // 2), np.float32)
        logits, iou = self.engine.decode(maps, clicks, box, np.ascontiguousarray(previous, np.float32))
        return enforce_clicks(logits, clicks), iou


def zooms_in(features: Features, zoom: ZoomPolicy) -> bool:
    """Whether the features allow closer looks."""
    return bool(zoom.longest and "photo" in features.maps)


def has_canvas(features: Features, zoom: ZoomPolicy, close: ClosePolicy) -> bool:
    """Whether answers are drawn on a canvas of the whole photo."""
    return bool(close.longest and zoom.on_first_click and zooms_in(features, zoom))


def _score(iou: float) -> NDArray[np.float32]:
    return np.array([[iou]], np.float32)
