"""The robot-click protocol over a data set: how many clicks a model costs, how good and how fast it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from segue.core.errors import DataError
from segue.core.failures import Failures
from segue.core.files import cache_folder
from segue.core.segmenter import Segmenter
from segue.data.formats.registry import open_data
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.data.record import DataSet, Options, Sample
from segue.evaluation.click_protocol import (
    ClickProtocol,
    View,
    described_rule,
    measure_objects,
    summarize,
    with_view,
)
from segue.evaluation.first_clicks import measure_first_clicks
from segue.evaluation.random_clicks import random_clicks_quality
from segue.evaluation.results import EvaluateResult, MeasuredObject, RandomClickCurve, read_result
from segue.evaluation.robot import MASK_THRESHOLD
from segue.jobs.job import job
from segue.jobs.progress import progress
from segue.models.refiners import with_refiner
from segue.models.wrappers import unwrapped
from segue.session.config import CommandLine, ModelChoice

DEFAULT_SEEDS = (0, 1, 2)


class EvaluateConfig(ModelChoice):
    """What ``segue evaluate`` takes; ``with_view`` says what each ``view`` is, and "auto" is the one that
    the model's publication uses."""

    data: Annotated[Path, Field(description="Folder of the data set.")]
    format: Annotated[str, Field(description="Format of the data set; 'auto' recognises it.")] = "auto"
    split: Annotated[str | None, Field(description="Part of the data set, where it has parts.")] = None
    ignore_values: Annotated[
        tuple[int, ...] | None,
        Field(description="Label values that never count; repeatable."),
        CommandLine(names=("--ignore-values", "--void")),
    ] = None
    max_clicks: Annotated[int, Field(description="Clicks an object at most.", ge=1, le=1000)] = 20
    target: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...],
        Field(description="IoU to reach; several: --target 0.8 0.85 0.9.", min_length=1),
    ] = (0.8, 0.85, 0.9)
    strict: Annotated[bool, Field(description="Stop at the first image that fails.")] = False
    limit: Annotated[int | None, Field(description="Objects at most.", ge=1)] = None
    every: Annotated[int, Field(description="Only every K-th image.", ge=1)] = 1
    clicks: Annotated[
        Literal["center", "perturbed"],
        Field(description="Clicks as published, or drawn from the error region, more likely the deeper."),
    ] = "center"
    seed: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        Field(description="Of perturbed and random clicks; repeatable; 0, 1 and 2 without it, 0 for random ones."),
    ] = ()
    stop_at_target: Annotated[
        bool, Field(description="End an object at the highest target; NoC stays, mIoU@k is then a bound.")
    ] = False
    view: Annotated[View, Field(description="Zoom-in and flip averaging as those protocols evaluate.")] = "auto"
    zoom_size: Annotated[int | None, Field(description="Pixels that zoom-in aims at.", ge=16)] = None
    refiner: Annotated[
        str | None, Field(description="Sharpen every mask with the image alone: crf, pamr or local.")
    ] = None
    threshold: Annotated[
        float,
        Field(description="Probability above which a pixel is mask: 0.49, RITM's; 0.5, InterFormer's.", gt=0, lt=1),
    ] = MASK_THRESHOLD
    initial: Annotated[
        str | None, Field(description="Start from the masks of this name that the data set brings: sp or stm.")
    ] = None
    first_click_grid: Annotated[
        int | None, Field(description="Also the first click in each of N x N cells of an object's box.", ge=1, le=50)
    ] = None
    random_clicks: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1000)], ...],
        Field(description="Also mbIoU with K positive and K negative clicks at random places at once: 1 3 5."),
    ] = ()
    report: Annotated[Path | None, Field(description="Folder for a page, plots and the worst objects.")] = None
    compare: Annotated[tuple[Path, ...], Field(description="JSON of an earlier run to draw too; repeatable.")] = ()
    journal: Annotated[
        Path | None, Field(description="Where finished objects are kept until the end; in the user's cache without it.")
    ] = None

    @field_validator("target", "random_clicks", mode="after")
    @classmethod
    def _ascending(cls, numbers: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(numbers)))

    @property
    def protocol(self) -> ClickProtocol:
        """The robot's settings."""
        seeds = (None,) if self.clicks == "center" else self.seed or DEFAULT_SEEDS
        return ClickProtocol(self.max_clicks, self.target, seeds, self.stop_at_target, self.threshold, self.initial)


@job(EvaluateConfig)
def evaluate(config: EvaluateConfig, model: Segmenter | None = None) -> EvaluateResult:
    """Let the robot annotate every object of a data set and count what it took.

    Finished objects are on disk at once, and a run that was killed goes on where it stopped. Qualities after
    an object's last click stay what they were then. ``model`` replaces the one that ``config`` names.

    Raises ``DataError`` for a data set without objects or with damaged files, and ``segue.load``'s errors.
    Source: RITM, section 4; SimpleClick, section 4; InterFormer, section 4.1 (SPC, PIE).

    >>> import tempfile, numpy as np
    >>> from segue.data.io.image import write_image, write_labels
    >>> photo, target = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), bool)
    >>> photo[8:40, 16:48], target[8:40, 16:48] = 220, True
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/images/square.png", photo)
    ...     write_labels(f"{folder}/masks/square.png", target)
    ...     result = evaluate(data=folder, max_clicks=2)
    >>> result.objects, len(result.miou_at), result.per_object[0].clicks[0]
    (1, 2, (31, 23, True))
    """
    others = [read_result(path) for path in config.compare]
    data = open_data(config.data, config.format, Options(config.ignore_values, config.split))
    bare = model if model is not None else config.load()
    view = config.view if config.view != "auto" else unwrapped(bare).default_view
    shown = with_refiner(with_view(bare, view, config.zoom_size, data.format), config.refiner)
    digest = _digest(config, bare, view, data)
    samples = data.samples[:: config.every]
    with ResumeLog(config.journal or cache_folder("evaluate") / f"{digest}.jsonl", digest) as journal:
        watched = progress(samples, len(samples), "evaluate")
        failures = Failures(config.strict)
        rows = list(measure_objects(shown, watched, config.protocol, journal, config.limit, failures))
        failed = failures.check(len(rows))
        if not rows:
            raise DataError(
                f"{config.data} without any object in the images chosen",
                "at least one object",
                "raise the limit, or look whether the masks are empty",
            )
        first_clicks = None
        if config.first_click_grid is not None:
            watched = progress(samples, len(samples), "first clicks")
            first_clicks = measure_first_clicks(shown, watched, rows, config.protocol, config.first_click_grid, journal)
        same = ("model", "adapter", "data", "clicks", "stop_at_target", "refiner", "threshold", "zoom_size", "initial")
        result = EvaluateResult(
            **{name: getattr(config, name) for name in same},
            format=data.format,
            view=view,
            **summarize(rows, config.protocol),
            rule=described_rule(shown, config.threshold, config.refiner),
            first_clicks=first_clicks,
            random_clicks=_random_clicks(config, shown, samples, rows, journal),
            losses=_losses(data, samples, journal),
            per_object=tuple(rows),
            failed=failed,
        )
        if config.report is not None:
            from segue.evaluation.report import write_report  # brings matplotlib

            write_report(config.report, result, others, rows, data, shown)
        journal.remove()
    return result


def _random_clicks(
    config: EvaluateConfig,
    model: Segmenter,
    samples: Sequence[Sample],
    rows: Sequence[MeasuredObject],
    journal: ResumeLog,
) -> RandomClickCurve | None:
    """ClickAdapter's figure 5 on the objects of ``rows``, where it was asked for."""
    counts, seeds = config.random_clicks, config.seed or (0,)
    if not counts:
        return None
    only, found = {row.id for row in rows}, {row.image for row in rows}
    chosen = [sample for sample in samples if sample.id in found]
    each = [
        random_clicks_quality(
            model,
            progress(chosen, len(chosen), "random clicks"),
            counts,
            seed,
            journal,
            threshold=config.threshold,
            only=only,
        )
        for seed in seeds
    ]
    means = tuple(sum(values) / len(each) for values in zip(*each, strict=True))
    return RandomClickCurve(clicks=counts, mbiou=means, seeds=seeds)


def _losses(data: DataSet, samples: Sequence[Sample], journal: ResumeLog) -> dict[str, int]:
    """What the reader could not take up, by reason, in the images that were read."""
    of_images = (journal[key].get("losses", ()) for s in samples if (key := f"image {s.id}") in journal)
    return dict(Counter([*(loss.what for loss in data.losses), *itertools.chain(*of_images)]))


def _digest(config: EvaluateConfig, model: Segmenter, view: str, data: DataSet) -> str:
    """A digest of all that an object's row depends on; which objects and seeds are chosen is not among it."""
    causes: dict[str, Any] = {
        "weights": model.weights_digest(),
        "view": view,
        "zoom": config.zoom_size,
        "refiner": config.refiner,
        "threshold": config.threshold,
        "initial": config.initial,
        "most": config.max_clicks,
        "stop": max(config.target) if config.stop_at_target else None,
        "ignore_values": config.ignore_values,
        "data": str(config.data.resolve()),
        "format": data.format,
        "samples": [s.id for s in data.samples],
    }
    return job_digest(causes)
