"""Training an adapter of a click model with the training loop's own simulated users, and proving what it gained."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from segue.adapters.base import Adapter, training
from segue.core.errors import CheckpointError, DataError, MissingFile
from segue.core.segmenter import Segmenter
from segue.data.record import AnnotatedImage, Sample
from segue.evaluation.adapt_measure import annotate
from segue.metrics.interaction import clicks_needed
from segue.models.nano.network import PADDING
from segue.training.augment import CutOuts
from segue.training.checkpoint import write_checkpoint
from segue.training.config import ClickConfig, DataConfig, OptimiserConfig, TrainConfig
from segue.training.trainer import Trainer
from segue.training.view_sampler import VOID, Pack, Scene, ViewSampler

RATES: Mapping[str, float] = {"detail": 2e-3, "lora": 1e-3, "head": 3e-4, "full": 2e-4, "prompt": 5e-3}
Clock = Literal["wall", "cpu"]


@dataclass(frozen=True)
class ClickSettings:
    """How long and how to train; sizes suit a CPU.

    ``views`` are the sides of the training views in pixels; every step draws one. The rate falls to zero, as half a
    cosine, over the ``minutes``. A share ``seconds`` of the simulated users looks on instead of clicking again: the
    model then sees the same clicks and its own last answer, as where it looks closer at what a first click meant.
    Every ``look_every`` minutes the robot annotates the validation objects; training ends after ``patience`` looks
    without fewer clicks, or when ``minutes`` are over ("cpu" counts processor time, so that a busy machine changes
    nothing).
    """

    minutes: float = 15.0
    clock: Clock = "wall"
    rate: float | None = None
    batch: int = 6
    objects: int = 2
    views: tuple[int, ...] = (256, 320)
    colour: float = 0.5
    iou_weight: float = 1.5
    seconds: float = 0.3
    average: float = 0.98
    look_every: float = 2.5
    patience: int = 4
    target: float = 0.85
    max_clicks: int = 20


@dataclass
class ClickCourse:
    """A run: a row per look, where it was best and how costly each object was then (``each``)."""

    rows: list[dict[str, float]] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    best: float = math.inf
    best_step: int = 0
    steps: int = 0
    minutes: float = 0.0
    processor_minutes: float = 0.0
    ended: str = ""


def pack_samples(samples: Sequence[Sample], canvas: int = 448) -> Pack:
    """Samples in memory as the training loop's views want them: shrunk to ``canvas``, label maps of 8 bit.

    Overlapping objects: the smaller lies on top. Raises ``DataError`` where no sample has an object.
    """
    images = np.zeros((len(samples), canvas, canvas, 3), np.uint8)
    labels = np.zeros((len(samples), canvas, canvas), np.uint8)
    scenes: list[Scene] = []
    for row, sample in enumerate(samples):
        image, target = sample.read()
        scale = min(1.0, canvas / max(image.shape[:2]))
        h, w = (max(1, round(n * scale)) for n in image.shape[:2])
        images[row, :h, :w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
        labels[row, :h, :w] = cv2.resize(label_map(target, image.shape[:2]), (w, h), interpolation=cv2.INTER_NEAREST)
        objects = {}
        for value in np.unique(labels[row]).tolist():
            if value not in (0, VOID):
                ys, xs = np.nonzero(labels[row] == value)
                objects[value] = (len(xs), int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        scenes.append(Scene("adapt", sample.id, (h, w), objects))
    if not any(s.objects for s in scenes):
        raise DataError("training images without any object", "at least one mask that is not empty")
    return Pack(scenes, images, labels)


def label_map(target: AnnotatedImage, size: Sequence[int]) -> Any:
    """(H, W) uint8 of at most 199 objects, void 255."""
    labels = np.zeros(tuple(size[:2]), np.uint8)
    largest = sorted(target.annotations, key=lambda i: -i.area)
    for value, instance in enumerate(largest[:199], start=1):
        labels[instance.mask] = value
    if target.ignore_mask is not None:
        labels[target.ignore_mask] = VOID
    return labels


class AdaptTrainer(Trainer):
    """The training loop on an adapter: the base stands still, views come from the user's own images."""

    def __init__(
        self, model: Segmenter, adapter: Adapter, samples: Sequence[Sample], settings: ClickSettings, seed: int
    ) -> None:
        rate = settings.rate or RATES.get(adapter.kind, 1e-3)
        self.config = TrainConfig.from_fields(
            steps=10**6,
            batch=settings.batch,
            objects=settings.objects,
            seed=seed,
            output=".",
            iou_weight=settings.iou_weight,
            data=DataConfig.from_fields(
                root=".", folders={"adapt": 1}, sizes=settings.views, paste=0, colour=settings.colour
            ),
            clicks=ClickConfig.from_fields(rounds=(1, 3), centred=0.7, greedy=0.7, boxes=0.0, resumed=0.15),
            optimiser=OptimiserConfig.from_fields(rate=rate, warmup=30, weight_decay=1e-3, ema=settings.average),
        )
        self.device, self.step, self.progress, self.seconds = model.device, 0, 0.0, settings.seconds
        self.generator = torch.Generator().manual_seed(seed)
        self.pack = pack_samples(samples)
        self.sampler = ViewSampler(self.pack, range(len(samples)), {"adapt": 1.0}, self.generator)
        self.cutouts = self.shapes = CutOuts.drawn(0)
        self.adapter = adapter
        # what the loop averages, clips and steps is the adapter; the model is reached through its core
        self.model = adapter
        self.core = model.training_core()
        self.whole = model
        self.average = {k: v.detach().clone() for k, v in adapter.state_dict().items()}
        learned = [p for p in adapter.parameters() if p.requires_grad]
        groups = [[p for p in learned if (p.ndim > 1) == matrices] for matrices in (True, False)]
        rows = [
            {"params": p, "lr": rate, "peak": rate, "weight_decay": d} for p, d in zip(groups, (1e-3, 0.0), strict=True)
        ]
        self.optimiser = torch.optim.AdamW([r for r in rows if r["params"]], foreach=True)

    def update(self) -> dict[str, float]:
        """One step, with the adapter alone in training mode; ``progress`` is the share of the run that is over."""
        with training(self.whole, self.adapter):
            return super().update()

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As the training loop's, turned by quarters: few images have to say much."""
        pixels, rows, targets, ignore_mask = super().batch()
        turns = int(torch.randint(4, (), generator=self.generator))
        pixels, targets, ignore_mask = (x.rot90(turns, (-2, -1)).contiguous() for x in (pixels, targets, ignore_mask))
        return pixels, rows, targets, ignore_mask

    def _schedule(self) -> float:
        warm = (self.step + 1) / self.config.optimiser.warmup
        return min(1.0, warm) * (1 + math.cos(math.pi * min(1.0, self.progress))) / 2

    def _next(self, previous: Tensor, targets: Tensor, ignore_mask: Tensor) -> Tensor:
        clicks = super()._next(previous, targets, ignore_mask)
        if float(torch.rand((), generator=self.generator)) < self.seconds:
            clicks[:, 2] = PADDING
        return clicks


@dataclass
class _Clock:
    kind: Clock
    began: float = 0.0
    began_processor: float = 0.0
    spent: float = 0.0
    spent_processor: float = 0.0

    def start(self) -> None:
        self.began, self.began_processor = time.monotonic(), time.process_time()

    @property
    def wall(self) -> float:
        """Minutes by the clock on the wall, those before a resume included."""
        return self.spent + (time.monotonic() - self.began) / 60

    @property
    def processor(self) -> float:
        """Minutes of processor time."""
        return self.spent_processor + (time.process_time() - self.began_processor) / 60

    @property
    def minutes(self) -> float:
        """Minutes that count against the budget."""
        return self.processor if self.kind == "cpu" else self.wall


class ClickAdapting:
    """A run that looks up now and then: trains, lets the robot judge, keeps the best, can be resumed."""

    def __init__(
        self,
        model: Segmenter,
        adapter: Adapter,
        train: Sequence[Sample],
        val: Sequence[Sample],
        settings: ClickSettings,
        checkpoint: Path,
        seed: int = 0,
    ) -> None:
        self.model, self.adapter, self.val, self.settings = model, adapter, val, settings
        self.trainer = AdaptTrainer(model, adapter, train, settings, seed)
        self.checkpoint = checkpoint
        self.course = ClickCourse()
        self.clock = _Clock(settings.clock)
        self.best = copy.deepcopy(adapter.state_dict())

    def run(self, watch: Callable[[Mapping[str, float]], None] = lambda row: None) -> ClickCourse:
        """Train until time is up or validation stands still; the adapter ends at the last good look."""
        self.clock.start()
        try:
            if not self.course.rows:
                self._look(watch)
            while not self.course.ended:
                self._stretch()
                self._look(watch)
                self._save()
        except KeyboardInterrupt:
            self.course.ended = "interrupted"
            self._save()
            raise
        self.adapter.load_state_dict(self.best)
        self.course.steps = self.trainer.step
        self.course.minutes, self.course.processor_minutes = self.clock.wall, self.clock.processor
        return self.course

    def _stretch(self) -> None:
        until = self.clock.minutes + self.settings.look_every
        self.losses = []
        while self.clock.minutes < min(until, self.settings.minutes):
            self.trainer.progress = self.clock.minutes / self.settings.minutes
            row = self.trainer.update()
            if row:
                self.losses.append(row["loss"])

    def _look(self, watch: Callable[[Mapping[str, float]], None]) -> None:
        c, now = self.settings, copy.deepcopy(self.adapter.state_dict())
        self.adapter.load_state_dict(self.trainer.average)
        ious = [p.course.ious for p in annotate(self.model, self.val, c.max_clicks, c.target, boundary=False)]
        clicks = [float(clicks_needed(x, c.target, c.max_clicks)) for x in ious]
        row = {"step": self.trainer.step, "minutes": self.clock.minutes, "noc": float(np.mean(clicks))}
        row |= {"miou1": float(np.mean([x[0] for x in ious]))}
        losses = getattr(self, "losses", [])
        row |= {"loss": float(np.mean(losses))} if losses else {}
        self.course.rows.append(row)
        watch(row)
        self._judge([n - x[0] for n, x in zip(clicks, ious, strict=True)])
        self.adapter.load_state_dict(now)
        steps = [r["step"] for r in self.course.rows]
        stale = len(steps) - 1 - max(i for i, s in enumerate(steps) if s <= self.course.best_step)
        if stale >= c.patience:
            self.course.ended = f"no fewer clicks in {c.patience} looks"
        elif self.clock.minutes >= c.minutes:
            self.course.ended = f"{c.minutes:g} minutes are over"

    def _judge(self, each: list[float]) -> None:
        """Keep the weights as they are if they are the best so far, or worse than the best by no more than a standard
        error: the latest have learned longest. ``each`` object costs its clicks, less the IoU of the first."""
        course, score = self.course, float(np.mean(each))
        kept = score < course.best
        if not kept and course.best_step > 0:
            worse = np.subtract(each, course.each)
            kept = bool(worse.mean() <= worse.std() / math.sqrt(len(worse)))
        if kept:
            self.best = copy.deepcopy(self.adapter.state_dict())
        if score < course.best:
            course.best, course.best_step, course.each = score, self.trainer.step, each

    def _save(self) -> None:
        t = self.trainer
        state = {
            "step": t.step,
            "adapter": self.adapter.state_dict(),
            "average": t.average,
            "best": self.best,
            "optimiser": t.optimiser.state_dict(),
            "generator": t.generator.get_state(),
            "rows": self.course.rows,
            "best_score": self.course.best,
            "best_step": self.course.best_step,
            "each": self.course.each,
            "wall": self.clock.wall,
            "processor": self.clock.processor,
        }
        write_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        """Go on from the checkpoint of an interrupted run; its minutes count."""
        if not self.checkpoint.is_file():
            raise MissingFile(f"no checkpoint {self.checkpoint}", "one left by an earlier run", "leave --resume out")
        state = torch.load(self.checkpoint, map_location=self.trainer.device, weights_only=True)
        t = self.trainer
        try:
            self.adapter.load_state_dict(state["adapter"])
            t.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.checkpoint}, which is of another adapter",
                "the same model and adapter",
                "choose another folder",
            ) from error
        t.step, t.average, self.best = state["step"], state["average"], state["best"]
        t.generator.set_state(state["generator"].cpu())
        self.course.rows, self.course.best = state["rows"], state["best_score"]
        self.course.best_step, self.course.each = state["best_step"], state["each"]
        self.clock.spent, self.clock.spent_processor = state["wall"], state["processor"]
