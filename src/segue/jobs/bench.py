"""``segue bench``: how long, how much memory and how many operations a model takes here, models side by side."""

from __future__ import annotations

import contextlib
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import NO_MEMORY, Box, Click, Features, Image, Mask, Prompt, Reference, Text
from segue.jobs.doctor import matmul_gflops
from segue.jobs.evaluate import read_result
from segue.jobs.job import job
from segue.metrics.interaction import pie, spc
from segue.models.registry import MODELS
from segue.models.wrappers import unwrapped
from segue.session.config import CommandLine, JobConfig
from segue.session.load import RANDOM, load


class BenchConfig(JobConfig):
    """What ``segue bench`` takes.

    Models whose weights are not shipped run with random ones: timing does not depend on them.
    """

    model: Annotated[
        tuple[str, ...],
        Field(description="Registry name, id or folder; repeatable, ratios to the first.", min_length=1),
    ] = ("nano",)
    weights: Annotated[Path | str | None, Field(description="File in the published format, or 'random'.")] = None
    adapter: Annotated[Path | None, Field(description="Folder of an adapter that the models wear.")] = None
    device: Annotated[str | None, Field(description="cpu, cuda ...; without it a GPU if there is one.")] = None
    size: Annotated[
        tuple[int, int], Field(description="The photograph's height and width."), CommandLine(metavar="H,W")
    ] = (512, 512)
    clicks: Annotated[int, Field(description="Clicks of one dialogue.", ge=1)] = 20
    rounds: Annotated[int, Field(description="Dialogues per model, models in turn.", ge=1)] = 5
    threads: Annotated[int | None, Field(description="CPU threads; without it PyTorch's own number.", ge=1)] = None
    noc: Annotated[
        tuple[Path, ...], Field(description="JSON of segue evaluate, drawn against PIE in the report; repeatable.")
    ] = ()
    report: Annotated[Path | None, Field(description="Folder for Markdown, JSON and plot.")] = None


class Spent(NamedTuple):
    """Seconds on the clock, and of processor time over all threads."""

    clock: float
    processor: float


@dataclass
class _Runner:
    """One model under measurement."""

    name: str
    model: Segmenter
    weights: str
    encode: list[Spent] = field(default_factory=list)
    click: list[Spent] = field(default_factory=list)
    peak: int = 0  # most bytes that a dialogue took beside the weights


@job(BenchConfig)
def bench(config: BenchConfig) -> dict[str, Any]:
    """Time encode and click of every model in turn, round by round, so that all meet the same machine.

    Seconds are medians (p50) and 95th percentiles on the clock, and medians of processor time, which a busy machine
    does not stretch as much; ``spc`` counts encoding as published, ``spc_clicks`` does
    not; ``pie`` is either per pixel of the model's input. ``share_of_peak`` relates operations per second to a
    float32 matrix product measured in the same run. Source: InterFormer, section 4.1 (SPC, PIE).

    >>> row = bench(BenchConfig(size=(64, 96), clicks=2, rounds=1))["rows"][0]
    >>> row["model"], row["click"]["p50"] > 0
    ('nano', True)
    """
    results = [read_result(path) for path in config.noc]
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        runners = [_open(name, config) for name in config.model]
        image = sample_image(config.size)
        peak = matmul_gflops()
        for _ in range(config.rounds + 1):  # the first round warms up
            for runner in runners:
                _dialogue(runner, image, config.clicks)
        for runner in runners:
            del runner.click[: len(runner.click) // len(runner.encode)], runner.encode[:1]
        rows = [_row(runner, image, config, peak) for runner in runners]
    finally:
        torch.set_num_threads(before)
    found = {
        "machine": platform.processor() or platform.machine(),
        "device": str(runners[0].model.device),
        "threads": config.threads or before,
        "peak_gflops": round(peak, 1),
        "size": list(config.size),
        "clicks": config.clicks,
        "rounds": config.rounds,
        "rows": _with_ratios(rows),
    }
    if config.report is not None:
        from segue.evaluation.bench_report import write_bench

        write_bench(config.report, found, results)
    return found


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


def _open(name: str, config: BenchConfig) -> _Runner:
    weights = config.weights
    if weights is None and name in MODELS and not MODELS[name].shipped:
        weights = RANDOM
    model = load(name, weights=weights, adapter=config.adapter, device=config.device)
    return _Runner(name, model, str(weights or "its own"))


def _dialogue(runner: _Runner, image: Image, clicks: int) -> None:
    """One image encoded and a whole dialogue of clicks answered, each part timed."""
    model = runner.model
    prompts = prompts_for(model, image, clicks)
    with torch.inference_mode(), _watched_memory(runner):
        features: list[Features] = []
        runner.encode.append(_timed(model, lambda: features.append(model.encode([image]))))
        memory = NO_MEMORY
        for count in range(1, len(prompts) + 1):
            said: list[Any] = []

            def answer(count: int = count, memory: Any = memory, said: list[Any] = said) -> None:
                said.append(model.decode(features[0], prompts[:count], memory))
                said[0].mask()

            runner.click.append(_timed(model, answer))
            memory = said[0].memory


def _timed(model: Segmenter, run: Any) -> Spent:
    started, worked = time.perf_counter(), time.process_time()
    run()
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return Spent(time.perf_counter() - started, time.process_time() - worked)


def _row(runner: _Runner, image: Image, config: BenchConfig, peak: float) -> dict[str, Any]:
    model = runner.model
    prompts = prompts_for(model, image, 1)
    encode_flops, click_flops, frame = count_flops(model, image, prompts)
    clicks = len(runner.click) // max(1, len(runner.encode))
    encoding, clicking = (sum(spent.clock for spent in part) for part in (runner.encode, runner.click))
    paces = spc(encoding + clicking, len(runner.click)), spc(clicking, len(runner.click))
    return {
        "model": runner.name,
        "weights": runner.weights,
        "parameters": sum(p.numel() for p in model.parameters()),
        "input": list(frame.grid),
        "clicks": clicks,
        "encode": _part(runner.encode, encode_flops, peak),
        "click": _part(runner.click, click_flops, peak),
        "spc": paces[0],
        "spc_clicks": paces[1],
        "pie": pie(paces[0], frame.grid),
        "pie_clicks": pie(paces[1], frame.grid),
        "memory_mib": round((weight_bytes(model) + runner.peak) / 2**20, 1),
    }


def count_flops(model: Segmenter, image: Image, prompts: Sequence[Prompt]) -> tuple[int, int, Frame]:
    """Floating-point operations of one encode and of one first click (convolutions and matrix products, attention
    included), and the click's view."""
    core: Any = unwrapped(model)
    engine = getattr(core, "engine", None)
    if engine is not None:
        core.engine = "torch"  # what runs in ONNX Runtime cannot be counted
    try:
        # the fused attention kernels of some devices are not counted, the plain one is
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
            with FlopCounterMode(display=False) as counter:
                features = model.encode([image])
            encode = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                frame = model.decode(features, prompts).frame
            return encode, counter.get_total_flops(), frame
    finally:
        if engine is not None:
            core.engine = engine


def weight_bytes(model: Segmenter) -> int:
    """Bytes of all parameters and buffers.

    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> weight_bytes(SimpleClick(**TINY)) > 4 * 20_000
    True
    """
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def _part(spent: list[Spent], flops: int, peak: float) -> dict[str, float]:
    seconds = [one.clock for one in spent]
    middle = float(np.median(seconds))
    return {
        "p50": middle,
        "p95": float(np.percentile(seconds, 95)),
        "processor_p50": float(np.median([one.processor for one in spent])),
        "gflops": round(flops / 1e9, 4),
        "share_of_peak": round(flops / middle / 1e9 / peak, 4),
    }


def _with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row with how many times the first one's seconds it takes."""
    first = rows[0]
    for row in rows:
        ratios = {part: row[part]["p50"] / first[part]["p50"] for part in ("encode", "click")}
        row["times_first"] = {name: round(value, 3) for name, value in ratios.items()} | {
            "spc": round(row["spc"] / first["spc"], 3)
        }
    return rows


def resident_bytes() -> int:
    """Bytes of memory this process holds now; 0 where the system does not tell.

    >>> resident_bytes() >= 0
    True
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


@contextlib.contextmanager
def _watched_memory(runner: _Runner) -> Iterator[None]:
    """Note the most memory taken meanwhile: of the GPU where the model lives there, else of the process."""
    device = runner.model.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        runner.peak = max(runner.peak, torch.cuda.max_memory_allocated(device) - before)
        return
    done, before = threading.Event(), resident_bytes()

    def watch() -> None:
        while not done.wait(0.005):
            runner.peak = max(runner.peak, resident_bytes() - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        runner.peak = max(runner.peak, resident_bytes() - before)
