"""``segue train``: train a click-segmentation model from a configuration, resumable at any moment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from segue.core.segmenter import Segmenter
from segue.evaluation.robot import simulate_clicks
from segue.jobs.job import job
from segue.jobs.output import claim_output
from segue.metrics.interaction import noc, quality_at
from segue.session.config import JobResult
from segue.session.load import build
from segue.session.session import Session
from segue.training.config import TrainConfig

if TYPE_CHECKING:
    from segue.training.click_run import HeldOut

CHECKPOINT, METRICS, MODEL = "checkpoint.pt", "metrics.jsonl", "model"
Row: TypeAlias = Mapping[str, float]


class TrainResult(JobResult):
    """What a training run left: its steps, the seconds of this call, folders, and the last row of metrics."""

    steps: int
    seconds: float
    output: Path
    model: Path
    last: dict[str, float]


@job(TrainConfig)
def train(config: TrainConfig, on_row: Callable[[Row], None] | None = None) -> TrainResult:
    """Train as ``config`` says; what is left in its output folder.

    ``metrics.jsonl`` gets a row every ``log_every`` steps, ``on_row`` is shown the same rows; ``checkpoint.pt`` is
    written every few minutes and however the run ends, Ctrl-C and SIGTERM included; ``model`` is the averaged
    model, or adapter, as a folder that ``segue.load`` opens. Raises ``ConfigError`` where the output holds an earlier
    run that is neither resumed nor replaced (``force``).
    """
    import torch  # this module is read for its configuration, which does without

    from segue.adapters.base import save_adapter
    from segue.models.pretrained import save_pretrained
    from segue.training.click_run import TrainRun, train_run
    from segue.training.engine import Validation
    from segue.training.processes import launch
    from segue.training.recipe_run import recipe_run

    # an earlier model stays until the new one takes its place
    claim_output(config.output, [MODEL], resume=config.resume or config.force)
    if config.processes > 1:
        return launch(partial(train, config.model_copy(update={"processes": 1}), on_row), config.processes)
    if config.threads:
        torch.set_num_threads(config.threads)
    metrics, began, last = config.output / METRICS, time.monotonic(), dict[str, float]()

    def validate(run: TrainRun) -> Validation:
        objects = run.held_out(config.validate_objects)
        if run.adapter is None:
            return Validation(validation_row(averaged(run), objects, config.validate_clicks))
        with run.engine.averaged():
            return Validation(validation_row(run.model.eval(), objects, config.validate_clicks))

    def write(row: Row) -> None:
        last.clear()
        last.update(row)
        config.output.mkdir(parents=True, exist_ok=True)
        with metrics.open("a") as file:
            file.write(json.dumps(last) + "\n")
        if on_row:
            on_row(last)

    def averaged(run: TrainRun) -> Segmenter:
        model = build(config.model, config.config)
        model.module.load_state_dict(run.engine.averaged_state())
        model.module.eval().to(run.model.device)
        return model

    run = (train_run if config.crops is None else recipe_run)(config, validate, config.output / CHECKPOINT)
    if run.engine.processes.is_main:
        claim_output(config.output, (CHECKPOINT, METRICS), resume=config.resume, force=config.force)
    if config.resume:
        run.engine.resume()
    if config.resume and run.engine.processes.is_main:
        _forget_after(metrics, run.engine.steps)
    run.engine.run(write)
    folder = config.output / MODEL
    if run.engine.processes.is_main and run.adapter is not None:
        run.adapter.load_state_dict(run.engine.averaged_state())
        save_adapter(run.model, run.adapter, folder)
    elif run.engine.processes.is_main:
        save_pretrained(averaged(run), folder)
    seconds = round(time.monotonic() - began, 1)
    return TrainResult(steps=run.engine.steps, seconds=seconds, output=config.output, model=folder, last=last)


def validation_row(model: Segmenter, objects: Iterable[HeldOut], most: int) -> dict[str, float]:
    """Let the robot annotate the same held-out objects every time: NoC at 0.85 and 0.90 (a failure counts as 20)
    and the mean IoU after 1, 3 and the last click."""
    curves = [
        simulate_clicks(Session(model, image), target, ignore_mask, max_clicks=most, boundary=False).ious
        for image, target, ignore_mask in objects
    ]
    if not curves:
        return {}
    reached = quality_at(curves, most)
    row = {f"noc{round(100 * target)}": noc(curves, target) for target in (0.85, 0.9)}
    row |= {f"miou{k}": reached[k - 1] for k in sorted({1, min(3, most), most})}
    return {k: round(v, 4) for k, v in row.items()}


def _forget_after(metrics: Path, step: int) -> None:
    """Drop rows that a killed run wrote after its last checkpoint, so that a resumed curve has none twice."""
    if metrics.is_file():
        rows = [line for line in metrics.read_text().splitlines() if json.loads(line)["step"] <= step]
        metrics.write_text("".join(f"{line}\n" for line in rows))
