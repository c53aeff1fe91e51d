"""Training an adapter of a click model with the training loop's own simulated users, and proving what it gained."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from segue.adapters.base import Adapter, training
from segue.core.errors import CheckpointError, DataError, MissingFile
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Mask
from segue.data.augment import CutOuts
from segue.data.sample import Sample, Truth
from segue.data.sampling import VOID, Pack, Scene, ViewSampler
from segue.jobs.config import ClickConfig, DataConfig, OptimiserConfig, TrainConfig
from segue.jobs.cores import training_core
from segue.jobs.trainer import Trainer
from segue.metrics.interaction import clicks_needed, noc
from segue.metrics.overlap import iou
from segue.session.robot import MASK_THRESHOLD, Course, next_click, play
from segue.session.session import Session

RATES: Mapping[str, float] = {"detail": 2e-3, "lora": 1e-3, "head": 3e-4, "full": 2e-4, "prompt": 5e-3}
Clock = Literal["wall", "cpu"]


@dataclass(frozen=True)
class ClickSettings:
    """How long and how to train; sizes suit a CPU.

    ``view`` is the side of the training views in pixels. Every ``look_every`` minutes the robot annotates the
    validation objects; training ends after ``patience`` looks without fewer clicks, or when ``minutes`` are over
    ("cpu" counts processor time, so that a busy machine changes nothing).
    """

    minutes: float = 15.0
    clock: Clock = "wall"
    rate: float | None = None
    batch: int = 6
    objects: int = 2
    view: int = 256
    colour: float = 0.5
    look_every: float = 2.5
    patience: int = 4
    target: float = 0.85
    max_clicks: int = 20


@dataclass(frozen=True)
class Played:
    """One object of the robot's: its id, sample and what happened."""

    id: str
    sample: Sample
    course: Course


@dataclass
class ClickCourse:
    """A run: a row per look, and where it was best."""

    rows: list[dict[str, float]] = field(default_factory=list)
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
        image, truth = sample.read()
        scale = min(1.0, canvas / max(image.shape[:2]))
        h, w = (max(1, round(n * scale)) for n in image.shape[:2])
        images[row, :h, :w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
        labels[row, :h, :w] = cv2.resize(label_map(truth, image.shape[:2]), (w, h), interpolation=cv2.INTER_NEAREST)
        objects = {}
        for value in np.unique(labels[row]).tolist():
            if value not in (0, VOID):
                ys, xs = np.nonzero(labels[row] == value)
                objects[value] = (len(xs), int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        scenes.append(Scene("adapt", sample.id, (h, w), objects))
    if not any(s.objects for s in scenes):
        raise DataError("training images without any object", "at least one mask that is not empty")
    return Pack(scenes, images, labels)


def label_map(truth: Truth, size: Sequence[int]) -> Any:
    """(H, W) uint8 of at most 199 objects, void 255."""
    labels = np.zeros(tuple(size[:2]), np.uint8)
    largest = sorted(truth.instances, key=lambda i: -i.area)
    for value, instance in enumerate(largest[:199], start=1):
        labels[instance.mask] = value
    if truth.void is not None:
        labels[truth.void] = VOID
    return labels


class AdaptTrainer(Trainer):
    """The training loop on an adapter: the base stands still, views come from the user's own images."""

    def __init__(
        self, model: Segmenter, adapter: Adapter, samples: Sequence[Sample], settings: ClickSettings, seed: int
    ) -> None:
        rate = settings.rate or RATES.get(adapter.kind, 1e-3)
        self.config = TrainConfig.of(
            steps=10**6, batch=settings.batch, objects=settings.objects, seed=seed, output=".", bf16=False,
            data=DataConfig.of(
                root=".", folders={"adapt": 1}, sizes=(settings.view,), paste=0, colour=settings.colour
            ),
            clicks=ClickConfig.of(rounds=(1, 3), centred=0.7, greedy=0.7, boxes=0.0, resumed=0.15),
            optimiser=OptimiserConfig.of(rate=rate, warmup=30, decay=0.0, weight_decay=1e-3, ema=0.98),
        )  # fmt: skip
        self.device, self.step = model.device, 0
        self.generator = torch.Generator().manual_seed(seed)
        self.pack = pack_samples(samples)
        self.sampler = ViewSampler(self.pack, range(len(samples)), {"adapt": 1.0}, self.generator)
        self.cutouts = CutOuts([])
        self.adapter = adapter
        # what the loop averages, clips and steps is the adapter; the model is reached through its core
        self.model = adapter  # type: ignore[assignment]
        self.core = training_core(model)
        self.whole = model
        self.average = {k: v.detach().clone() for k, v in adapter.state_dict().items()}
        learned = [p for p in adapter.parameters() if p.requires_grad]
        groups = [[p for p in learned if (p.ndim > 1) == matrices] for matrices in (True, False)]
        rows = [
            {"params": p, "lr": rate, "peak": rate, "weight_decay": d}
            for p, d in zip(groups, (1e-3, 0.0), strict=True)
        ]
        self.optimiser = torch.optim.AdamW([r for r in rows if r["params"]], foreach=True)

    def update(self) -> dict[str, float]:
        """One step, with the adapter alone in training mode."""
        with training(self.whole, self.adapter):
            return super().update()


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
        """Train until time is up or validation stands still; the adapter ends at its best look."""
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
            row = self.trainer.update()
            if row:
                self.losses.append(row["loss"])

    def _look(self, watch: Callable[[Mapping[str, float]], None]) -> None:
        c, now = self.settings, copy.deepcopy(self.adapter.state_dict())
        self.adapter.load_state_dict(self.trainer.average)
        ious = [p.course.ious for p in annotate(self.model, self.val, c.max_clicks, c.target, by_iou=True)]
        clicks = noc(ious, c.target, c.max_clicks)
        first = float(np.mean([x[0] for x in ious]))
        row = {"step": self.trainer.step, "minutes": self.clock.minutes, "noc": clicks, "miou1": first}
        losses = getattr(self, "losses", [])
        row |= {"loss": float(np.mean(losses))} if losses else {}
        self.course.rows.append(row)
        watch(row)
        score = clicks - first  # between looks of equal clicks, the better first click decides
        if score < self.course.best:
            self.course.best, self.course.best_step = score, self.trainer.step
            self.best = copy.deepcopy(self.adapter.state_dict())
        self.adapter.load_state_dict(now)
        steps = [r["step"] for r in self.course.rows]
        stale = len(steps) - 1 - max(i for i, s in enumerate(steps) if s <= self.course.best_step)
        if stale >= c.patience:
            self.course.ended = f"no fewer clicks in {c.patience} looks"
        elif self.clock.minutes >= c.minutes:
            self.course.ended = f"{c.minutes:g} minutes are over"

    def _save(self) -> None:
        t = self.trainer
        state = {
            "step": t.step, "adapter": self.adapter.state_dict(), "average": t.average, "best": self.best,
            "optimiser": t.optimiser.state_dict(), "generator": t.generator.get_state(),
            "rows": self.course.rows, "best_score": self.course.best, "best_step": self.course.best_step,
            "wall": self.clock.wall, "processor": self.clock.processor,
        }  # fmt: skip
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

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
        self.course.best_step = state["best_step"]
        self.clock.spent, self.clock.spent_processor = state["wall"], state["processor"]


def annotate(
    model: Segmenter,
    samples: Sequence[Sample],
    max_clicks: int = 20,
    stop_at: float | None = 0.9,
    by_iou: bool = False,
) -> list[Played]:
    """The robot annotates every object of ``samples``: centre clicks, as published. It stops at a quality of
    ``stop_at``, of IoU and boundary IoU both, or of the IoU alone with ``by_iou`` (then no boundary is measured).
    """
    found: list[Played] = []
    for sample in samples:
        image, truth = sample.read()
        session = Session(model, image)
        _ = session.features
        for instance in truth.instances:
            seen = instance.mask if truth.void is None else instance.mask & ~truth.void
            if not seen.any():
                continue
            fresh = Session(model, image, _Kept(session))
            if by_iou:
                course = quick_course(fresh, instance.mask, truth.void, max_clicks, stop_at or 1.0)
            else:
                course = play(fresh, instance.mask, truth.void, max_clicks=max_clicks, stop_at=stop_at)
            found.append(Played(instance.id, sample, course))
    if not found:
        raise DataError("images without any object", "at least one mask that is not empty")
    return found


def quick_course(session: Session, truth: Mask, void: Mask | None, max_clicks: int, target: float) -> Course:
    """As ``play``, but it stops at an IoU of ``target`` and measures nothing else."""
    course, said = Course(), np.zeros_like(truth)
    for _ in range(max_clicks):
        click = next_click(said, truth, void, course.clicks)
        session.add(click)
        assert session.probability is not None
        said = session.probability > MASK_THRESHOLD
        course.clicks.append(click)
        course.ious.append(iou(said, truth, void))
        if course.ious[-1] >= target:
            break
    return course


class _Kept:
    """Features that all objects of an image share."""

    def __init__(self, session: Session) -> None:
        self.features = session.features

    def get(self, model: Segmenter, image: Any) -> Any:
        return self.features

    def put(self, model: Segmenter, image: Any, features: Any) -> None:
        self.features = features


def click_figures(played: Sequence[Played], max_clicks: int) -> dict[str, float]:
    """NoC85, NoC90, boundary NoC85, mIoU@1, mbIoU@1, mIoU@5 and the share of failures at 85."""
    ious, boundary = [p.course.ious for p in played], [p.course.boundary_ious for p in played]
    return {
        "noc85": noc(ious, 0.85, max_clicks),
        "noc90": noc(ious, 0.90, max_clicks),
        "bnoc85": noc(boundary, 0.85, max_clicks),
        "miou1": mean_at(ious, 1),
        "mbiou1": mean_at(boundary, 1),
        "miou5": mean_at(ious, 5),
        "failed85": float(np.mean([clicks_needed(c, 0.85, max_clicks) >= max_clicks for c in ious])),
    }


def mean_at(courses: Sequence[Sequence[float]], clicks: int) -> float:
    """Mean quality after so many clicks; an object that needed no further click keeps its last.

    >>> mean_at([[0.5, 0.75], [1.0]], 2)
    0.875
    """
    return float(np.nanmean([c[min(clicks, len(c)) - 1] for c in courses]))


def random_clicks_quality(
    model: Segmenter, samples: Sequence[Sample], counts: Sequence[int], seed: int = 0
) -> list[float]:
    """mbIoU when k positive and k negative clicks are given at once, at random places, for each k of ``counts``.

    Source: ClickAdapter, figure 5 (after DIOS: positive clicks inside the object, negative ones outside).
    """
    from segue.metrics.boundary import boundary_iou

    rng = np.random.default_rng(seed)
    found: list[list[float]] = [[] for _ in counts]
    for sample in samples:
        image, truth = sample.read()
        kept = _Kept(Session(model, image))
        for instance in truth.instances:
            clicks: list[Click] = []
            outside = ~instance.mask if truth.void is None else ~instance.mask & ~truth.void
            if not instance.mask.any() or not outside.any():
                continue
            for row, k in enumerate(counts):
                while len(clicks) < 2 * k:
                    positive = len(clicks) % 2 == 0
                    ys, xs = np.nonzero(instance.mask if positive else outside)
                    pick = int(rng.integers(len(ys)))
                    clicks.append(Click(int(xs[pick]), int(ys[pick]), positive))
                said = Session(model, image, kept).add(*clicks)
                found[row].append(boundary_iou(said, instance.mask, truth.void))
    return [float(np.nanmean(v)) for v in found]
