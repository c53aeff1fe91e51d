"""Seconds, operations and memory of a model's encode and click.

Source: InterFormer, section 4.1 (SPC, PIE).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import NO_MEMORY, Box, Click, Image, Mask, Memory, Prediction, Prompt, Reference, Text
from segue.evaluation.machine import ProcessMemory
from segue.metrics.interaction import pie, spc
from segue.models.wrappers import unwrapped
from segue.session.config import JobResult


class PartSpeed(JobResult):
    """Seconds of encoding or of one click: median and 95th percentile on the clock, median of processor time; its
    operations in GFLOP, and their rate as a share of the machine's peak."""

    p50: float
    p95: float
    processor_p50: float
    gflops: float
    share_of_peak: float


class TimesFirst(JobResult):
    """How many times the first model's seconds."""

    encode: float
    click: float
    spc: float


class TimesQuiet(JobResult):
    """Seconds beside a process that keeps one core busy, as a multiple of those without it, from the same run."""

    encode: float
    click: float


class ModelSpeed(JobResult):
    """One model's figures: ``spc`` counts encoding as published, ``spc_clicks`` does not; ``pie`` is either per pixel
    of the model's ``input`` (height, width); ``disturbed`` where it was asked for."""

    model: str
    weights: str
    parameters: int
    input: tuple[int, int]
    clicks: int
    encode: PartSpeed
    click: PartSpeed
    spc: float
    spc_clicks: float
    pie: float
    pie_clicks: float
    memory_mib: float
    times_first: TimesFirst
    disturbed: TimesQuiet | None = None


class BenchResult(JobResult):
    """What ``segue bench`` measured: the machine, its ``peak_gflops`` in a float32 matrix product of the same run, the
    photograph's ``size`` (height, width), and a row for every model."""

    machine: str
    device: str
    threads: int
    peak_gflops: float
    size: tuple[int, int]
    clicks: int
    rounds: int
    rows: tuple[ModelSpeed, ...]


class Spent(NamedTuple):
    """Seconds on the clock, and of processor time over all threads."""

    clock: float
    processor: float


@dataclass
class Runner:
    """One model under measurement, with what its dialogues took so far; ``peak`` is the most bytes that one took beside
    the weights."""

    name: str
    model: Segmenter
    weights: str
    encode: list[Spent] = field(default_factory=list)
    click: list[Spent] = field(default_factory=list)
    peak: int = 0

    def run_dialogue(self, image: Image, clicks: int) -> None:
        """Encode one image and answer a whole dialogue of clicks, each part timed."""
        prompts = prompts_for(self.model, image, clicks)
        on_gpu = str(self.model.device).startswith("cuda")
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.model.device)
            before = torch.cuda.memory_allocated(self.model.device)
        with torch.inference_mode(), ProcessMemory() as memory:
            features = self._timed(self.encode, lambda: self.model.encode([image]))
            carried: Memory = NO_MEMORY
            for count in range(1, len(prompts) + 1):

                def answer(count: int = count, carried: Memory = carried) -> Prediction:
                    prediction = self.model.decode(features, prompts[:count], carried)
                    prediction.mask()
                    return prediction

                carried = self._timed(self.click, answer).memory
        peak = torch.cuda.max_memory_allocated(self.model.device) - before if on_gpu else memory.peak
        self.peak = max(self.peak, peak)

    def forget_first_dialogue(self) -> None:
        """Leave the dialogue out that warmed up."""
        del self.click[: len(self.click) // len(self.encode)], self.encode[:1]

    def figures(self, image: Image, peak_gflops: float, first: Runner, disturbed: Runner | None = None) -> ModelSpeed:
        """The row of this model; ratios are to ``first``, and of the ``disturbed`` dialogues to these."""
        encode_flops, click_flops, frame = count_flops(self.model, image, prompts_for(self.model, image, 1))
        spc_all, spc_clicks = self._paces()
        times = self._times(first)
        return ModelSpeed(
            model=self.name,
            weights=self.weights,
            parameters=sum(p.numel() for p in self.model.module.parameters()),
            input=frame.grid,
            clicks=len(self.click) // max(1, len(self.encode)),
            encode=_speed(self.encode, encode_flops, peak_gflops),
            click=_speed(self.click, click_flops, peak_gflops),
            spc=spc_all,
            spc_clicks=spc_clicks,
            pie=pie(spc_all, frame.grid),
            pie_clicks=pie(spc_clicks, frame.grid),
            memory_mib=round((weight_bytes(self.model) + self.peak) / 2**20, 1),
            times_first=TimesFirst(**times, spc=round(spc_all / first._paces()[0], 3)),
            disturbed=TimesQuiet(**disturbed._times(self)) if disturbed is not None else None,
        )

    def _times(self, other: Runner) -> dict[str, float]:
        """Median seconds of encode and click as multiples of the other's."""
        parts = ((name, getattr(self, name), getattr(other, name)) for name in ("encode", "click"))
        return {name: round(_median(mine) / _median(theirs), 3) for name, mine, theirs in parts}

    def _paces(self) -> tuple[float, float]:
        """Seconds per click, with and without encoding."""
        encoding, clicking = (sum(spent.clock for spent in part) for part in (self.encode, self.click))
        return spc(encoding + clicking, len(self.click)), spc(clicking, len(self.click))

    def _timed(self, rows: list[Spent], run: Callable[[], Any]) -> Any:
        started, worked = time.perf_counter(), time.process_time()
        value = run()
        if str(self.model.device).startswith("cuda"):
            torch.cuda.synchronize(self.model.device)
        rows.append(Spent(time.perf_counter() - started, time.process_time() - worked))
        return value


def _median(spent: Sequence[Spent]) -> float:
    return float(np.median([one.clock for one in spent]))


def _speed(spent: Sequence[Spent], flops: int, peak_gflops: float) -> PartSpeed:
    return PartSpeed(
        p50=_median(spent),
        p95=float(np.percentile([one.clock for one in spent], 95)),
        processor_p50=float(np.median([one.processor for one in spent])),
        gflops=round(flops / 1e9, 4),
        share_of_peak=round(flops / _median(spent) / 1e9 / peak_gflops, 4),
    )


def sample_image(size: Sequence[int]) -> Image:
    """A photograph-like test image (H, W, 3): noise, a gradient and one bright ellipse in the middle.

    >>> sample_image((4, 6)).shape
    (4, 6, 3)
    """
    height, width = size
    slope = np.arange(width)[None, :, None] / width * 60
    image = np.random.default_rng(0).normal(90, 20, (height, width, 3)) + slope
    image[sample_mask(size)] += (90, 40, 0)
    clipped: Image = np.clip(image, 0, 255).astype(np.uint8)
    return clipped


def sample_mask(size: Sequence[int]) -> Mask:
    """The ellipse (H, W) bool of ``sample_image``."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    mask: Mask = ((y - height / 2) / (height / 4)) ** 2 + ((x - width / 2) / (width / 4)) ** 2 <= 1
    return mask


def prompts_for(model: Segmenter, image: Image, clicks: int) -> list[Prompt]:
    """A dialogue of ``clicks`` clicks that agree with the ellipse of the sample image, on it and around it, or for
    models that take none the one prompt that they do.

    >>> from segue.session.load import load
    >>> len(prompts_for(load("nano"), sample_image((20, 30)), 3))
    3
    """
    height, width = image.shape[:2]
    if Click in model.accepts:
        rng = np.random.default_rng(0)
        spots = rng.uniform(0.2, 0.8, (clicks, 2)) * (width, height)
        spots[0] = width // 2, height // 2
        wanted = sample_mask((height, width))
        return [Click(float(x), float(y), bool(wanted[int(y), int(x)])) for x, y in spots]
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 4 * 3, width // 4 : width // 4 * 3] = True
    others: dict[type, Prompt] = {
        Box: Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4),
        Text: Text("the bright ellipse"),
        Reference: Reference(image, mask),
    }
    return [next(prompt for kind, prompt in others.items() if kind in model.accepts)]


def count_flops(model: Segmenter, image: Image, prompts: Sequence[Prompt]) -> tuple[int, int, Frame]:
    """Floating-point operations of one encode and of one first click (convolutions and matrix products, attention
    included), and the click's view."""
    core: Any = unwrapped(model)
    engine = getattr(core, "engine", None)
    if engine is not None:
        core.engine = "torch"  # what runs in ONNX Runtime cannot be counted
    learning = [p for p in model.module.parameters() if p.requires_grad]
    try:
        for parameter in learning:  # the counter hooks on what has gradients, and finds none in inference mode
            parameter.requires_grad_(False)
        # the fused attention kernels of some devices are not counted, the plain one is
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
            with FlopCounterMode(display=False) as counter:
                features = model.encode([image])
            encode = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                frame = model.decode(features, prompts).frame
            return encode, counter.get_total_flops(), frame
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        if engine is not None:
            core.engine = engine


def weight_bytes(model: Segmenter) -> int:
    """Bytes of all parameters and buffers.

    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> weight_bytes(SimpleClick(**TINY)) > 4 * 20_000
    True
    """
    return sum(t.numel() * t.element_size() for t in (*model.module.parameters(), *model.module.buffers()))
