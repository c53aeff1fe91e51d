"""What ``segue adapt`` returns and writes to ``report.json``."""

from __future__ import annotations

from segue.core.failures import Failure
from segue.evaluation.adapt_verdict import Kind
from segue.session.config import JobResult

Interval = tuple[float, float]


class ImageCounts(JobResult):
    """How many images an adapter learned from, was stopped by and was measured on."""

    train: int
    validation: int
    held_out: int


class AdaptResult(JobResult):
    """What both ways of adapting report; ``failed`` are images that did not read."""

    model: str
    adapter: str
    data: str
    output: str
    seed: int
    parameters: int
    base_parameters: int
    images: ImageCounts
    objects: int
    verdict: Kind
    sentence: str
    helps: bool
    minutes: float
    peak_memory_mb: int
    finished: str
    failed: tuple[Failure, ...] = ()


class RandomClicks(JobResult):
    """mbIoU when ``clicks`` positive and as many negative clicks are given at random places."""

    clicks: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]


class ClickAdaptResult(AdaptResult):
    """Adapting by clicks: the robot's measures on held-out objects, and the course of training: where it is
    ``cross_validated``, the mean of several runs on images that each of them left out."""

    before: dict[str, float]
    after: dict[str, float]
    clicks_saved: float
    clicks_saved_each: dict[str, float]
    clicks_saved_interval: Interval
    change_intervals: dict[str, Interval]
    mbiou_random: RandomClicks | None = None
    steps: int
    processor_minutes: float
    ended: str
    curve: tuple[dict[str, float], ...]
    cross_validated: bool = False


class TextRun(JobResult):
    """One seed's run: measures on held-out objects, and the course of training."""

    seed: int
    before: dict[str, float]
    after: dict[str, float]
    dice_gain_interval: Interval
    epochs: int
    best_epoch: int
    minutes: float
    curve: tuple[dict[str, float], ...]


class TextAdaptResult(AdaptResult):
    """Adapting by texts: ``mean`` and ``spread`` of every measure over the seeds' runs."""

    before: dict[str, dict[str, float]]
    after: dict[str, dict[str, float]]
    runs: tuple[TextRun, ...]
