"""``segue bench``: how long, how much memory and how many operations a model takes here, models side by side."""

from __future__ import annotations

import platform
from contextlib import nullcontext
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from segue.adapters.base import attach
from segue.adapters.registry import ADAPTERS
from segue.evaluation.benchmark import BenchResult, Runner, sample_image
from segue.evaluation.machine import SIDE, busy_process, matmul_gflops
from segue.evaluation.results import read_result
from segue.jobs.job import job
from segue.models.pretrained import RANDOM
from segue.models.registry import MODELS
from segue.session.config import CommandLine, JobConfig
from segue.session.load import load


class BenchConfig(JobConfig):
    """What ``segue bench`` takes.

    Models whose weights are not shipped run with random ones: timing does not depend on them.
    """

    model: Annotated[
        tuple[str, ...],
        Field(description="Registry name, id or folder; repeatable, ratios to the first.", min_length=1),
    ] = ("nano",)
    weights: Annotated[Path | str | None, Field(description="File in the published format, or 'random'.")] = None
    adapter: Annotated[
        Path | str | None,
        Field(description="Folder of an adapter that the models wear, or the kind of a fresh one, such as detail."),
    ] = None
    device: Annotated[str | None, Field(description="cpu, cuda ...; without it a GPU if there is one.")] = None
    size: Annotated[
        tuple[int, int], Field(description="The photograph's height and width."), CommandLine(metavar="H,W")
    ] = (512, 512)
    clicks: Annotated[int, Field(description="Clicks of one dialogue.", ge=1)] = 20
    rounds: Annotated[int, Field(description="Dialogues per model, models in turn.", ge=1)] = 5
    threads: Annotated[int | None, Field(description="CPU threads; without it PyTorch's own number.", ge=1)] = None
    disturbed: Annotated[
        bool, Field(description="Also measure beside a process that keeps one core busy, as a ratio.")
    ] = False
    noc: Annotated[
        tuple[Path, ...], Field(description="JSON of segue evaluate, drawn against PIE in the report; repeatable.")
    ] = ()
    report: Annotated[Path | None, Field(description="Folder for Markdown, JSON and plot.")] = None


@job(BenchConfig)
def bench(config: BenchConfig) -> BenchResult:
    """Time encode and click of every model in turn, round by round, so that all meet the same machine.

    Source: InterFormer, section 4.1 (SPC, PIE).

    >>> row = bench(size=(64, 96), clicks=2, rounds=1).rows[0]
    >>> row.model, row.click.p50 > 0
    ('nano', True)
    """
    results = [read_result(path) for path in config.noc]
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        runners = [_open(name, config) for name in config.model]
        image, matrix = sample_image(config.size), torch.randn(SIDE, SIDE)
        peak = matmul_gflops(lambda: matrix @ matrix)
        disturbed = [replace(runner, encode=[], click=[]) for runner in runners if config.disturbed]
        for _ in range(config.rounds + 1):  # the first round warms up
            for runner in runners:
                runner.run_dialogue(image, config.clicks)
            with busy_process() if disturbed else nullcontext():
                for runner in disturbed:
                    runner.run_dialogue(image, config.clicks)
        for runner in (*runners, *disturbed):
            runner.forget_first_dialogue()
        pairs = zip_longest(runners, disturbed)
        rows = tuple(runner.figures(image, peak, runners[0], beside) for runner, beside in pairs)
    finally:
        torch.set_num_threads(before)
    result = BenchResult(
        machine=platform.processor() or platform.machine(),
        device=str(runners[0].model.device),
        threads=config.threads or before,
        peak_gflops=round(peak, 1),
        size=config.size,
        clicks=config.clicks,
        rounds=config.rounds,
        rows=rows,
    )
    if config.report is not None:
        from segue.evaluation.bench_report import write_bench  # brings matplotlib

        write_bench(config.report, result, results)
    return result


def _open(name: str, config: BenchConfig) -> Runner:
    weights = config.weights
    if weights is None and name in MODELS and not MODELS[name].shipped:
        weights = RANDOM
    kind = str(config.adapter)
    fresh = kind in ADAPTERS and not Path(kind).is_dir()
    model = load(name, weights=weights, adapter=None if fresh else config.adapter, device=config.device)
    if fresh:
        attach(model, ADAPTERS.load(kind)(model)).eval()
    return Runner(name, model, str(weights or "its own"))
