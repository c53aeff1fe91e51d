"""``segue train``: train a click-segmentation model from a configuration, resumable at any moment."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from segue.core.segmenter import Segmenter
from segue.core.types import Mask
from segue.evaluation.robot import simulate_clicks
from segue.jobs.job import job
from segue.metrics.interaction import noc, quality_at
from segue.models.pretrained import save_pretrained
from segue.session.load import build
from segue.session.session import Session
from segue.training.config import TrainConfig
from segue.training.trainer import Trainer
from segue.training.view_sampler import VOID, Pack

CHECKPOINT, METRICS, MODEL = "checkpoint.pt", "metrics.jsonl", "model"
Row: TypeAlias = Mapping[str, float]


@job(TrainConfig)
def train(config: TrainConfig, resume: bool = False, show: Callable[[Row], None] | None = None) -> dict[str, Any]:
    """Train as ``config`` says; what is left in its output folder.

    ``metrics.jsonl`` gets a row every ``log_every`` steps, ``show`` sees the same rows; ``checkpoint.pt`` is
    written every few minutes and however the run ends, Ctrl-C and SIGTERM included; ``model`` is the averaged
    model as a folder that ``segue.load`` opens.

    Returns ``{"steps", "seconds", "output", "model", "last"}``.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    trainer = Trainer(config)
    checkpoint, metrics = config.output / CHECKPOINT, config.output / METRICS
    if resume or config.resume:
        trainer.resume(checkpoint)
        _forget_after(metrics, trainer.step)
    config.output.mkdir(parents=True, exist_ok=True)
    began, last = time.monotonic(), {}
    try:
        with _terminated_like_interrupted():
            for row in _rows(trainer, checkpoint):
                last = dict(row)
                with metrics.open("a") as file:
                    file.write(json.dumps(last) + "\n")
                if show:
                    show(last)
    finally:
        trainer.save(checkpoint)
    folder = save_pretrained(averaged(trainer), config.output / MODEL)
    seconds = round(time.monotonic() - began, 1)
    return {
        "steps": trainer.step,
        "seconds": seconds,
        "output": str(config.output),
        "model": str(folder),
        "last": last,
    }


def _rows(trainer: Trainer, checkpoint: Path) -> Iterator[Row]:
    """Step to the end, yielding means over ``log_every`` steps and validations."""
    config, sums = trainer.config, dict[str, list[float]]()
    first, began = trainer.step, time.monotonic()
    saved = began
    while trainer.step < config.steps:
        for key, value in trainer.update().items():
            sums.setdefault(key, []).append(value)
        if trainer.step % config.log_every == 0 or trainer.step == config.steps:
            rate = (trainer.step - first) / (time.monotonic() - began)
            left = (config.steps - trainer.step) / rate / 60
            row = {"step": trainer.step, "steps_per_second": round(rate, 3), "minutes_left": round(left, 1)}
            yield row | {k: round(float(np.mean(v)), 4) for k, v in sorted(sums.items())}
            sums.clear()
        if config.validate_every and trainer.step % config.validate_every == 0:
            yield {"step": trainer.step, **validate(averaged(trainer), trainer.pack, trainer.held_out, config)}
        if time.monotonic() - saved > config.checkpoint_minutes * 60:
            trainer.save(checkpoint)
            saved = time.monotonic()


def averaged(trainer: Trainer) -> Segmenter:
    """A copy of the model with the averaged weights, ready to answer."""
    model = build(trainer.config.model, trainer.config.config)
    model.module.load_state_dict(trainer.average)
    return model.eval().to(trainer.device)


def validate(model: Segmenter, pack: Pack, scenes: list[int], config: TrainConfig) -> dict[str, float]:
    """Let the robot annotate the same held-out objects every time: NoC at 0.85 and 0.90 (a failure counts as 20)
    and the mean IoU after 1, 3 and the last click."""
    most = config.validate_clicks
    courses = [
        simulate_clicks(Session(model, image), target, ignore_mask, max_clicks=most, boundary=False).ious
        for image, target, ignore_mask in _chosen(pack, scenes, config.validate_objects)
    ]
    if not courses:
        return {}
    reached = quality_at(courses, most)
    result = {f"noc{round(100 * target)}": noc(courses, target) for target in (0.85, 0.9)}
    result |= {f"miou{k}": reached[k - 1] for k in sorted({1, min(3, most), most})}
    return {k: round(v, 4) for k, v in result.items()}


def _chosen(pack: Pack, scenes: list[int], count: int) -> Iterator[tuple[np.ndarray[Any, Any], Mask, Mask]]:
    """(image, truth, void) of up to ``count`` held-out objects, one a photo, the same every time."""
    order = np.random.default_rng(0).permutation(len(scenes))[:count]
    for index in (scenes[i] for i in order):
        scene = pack.scenes[index]
        h, w = scene.size
        areas = {label: box[0] for label, box in scene.objects.items() if box[0] > 0.003 * h * w}
        if areas:
            label = sorted(areas)[index % len(areas)]
            labels = np.array(pack.labels[index][:h, :w])
            yield np.array(pack.images[index][:h, :w]), labels == label, labels == VOID


def _forget_after(metrics: Path, step: int) -> None:
    """Drop rows that a killed run wrote after its last checkpoint, so that a resumed curve has none twice."""
    if metrics.is_file():
        rows = [line for line in metrics.read_text().splitlines() if json.loads(line)["step"] <= step]
        metrics.write_text("".join(f"{line}\n" for line in rows))


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM raises ``KeyboardInterrupt``, as Ctrl-C does, so that schedulers get their checkpoint too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {s: signal.signal(s, signal.default_int_handler) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def print_row(row: Row) -> None:
    """One line of progress on standard error."""
    print("  ".join(f"{k} {v:g}" for k, v in row.items()), file=sys.stderr, flush=True)
