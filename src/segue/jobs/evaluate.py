"""The robot-click protocol over a data set: how many clicks a model costs, how good and how fast it is."""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field, field_validator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segue.core.errors import DataError
from segue.core.segmenter import Segmenter, weights_digest
from segue.core.types import Features, Image, Mask
from segue.data.formats.registry import open_data
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.data.record import AnnotatedImage, Annotation, DataSet, Options, Sample
from segue.data.rle import Rle
from segue.evaluation.robot import ClickTrace, simulate_clicks
from segue.jobs.job import job
from segue.metrics.interaction import clicks_needed, noc, nof, pie, quality_at, rof, spc, unreached
from segue.models.refined import with_refiner
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule, unwrapped
from segue.session.config import CommandLine, ModelChoice
from segue.session.session import Session

Row: TypeAlias = dict[str, Any]
View: TypeAlias = Literal["auto", "own", "whole", "ritm", "simpleclick"]

DEFAULT_SEEDS = (0, 1, 2)
JOURNALS = Path.home() / ".cache" / "segue" / "evaluate"


class EvaluateConfig(ModelChoice):
    """What ``segue evaluate`` takes.

    ``view`` is how the model sees images: "own" as it was loaded, "whole" without zoom-in or flip averaging,
    "ritm" with zoom-in from the second click, target 400 (600 on DAVIS), "simpleclick" from the first click at
    448 x 448 (672 on DAVIS), both with flip averaging; "auto" is "simpleclick" for SimpleClick and "own" for
    every other model. ``zoom_size`` replaces the target.
    """

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
    limit: Annotated[int | None, Field(description="Objects at most.", ge=1)] = None
    every: Annotated[int, Field(description="Only every K-th image.", ge=1)] = 1
    clicks: Annotated[
        Literal["center", "perturbed"],
        Field(description="Clicks as published, or drawn from the error region, more likely the deeper."),
    ] = "center"
    seed: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        Field(description="Of perturbed clicks; repeatable; 0, 1 and 2 without it."),
    ] = ()
    stop_at_target: Annotated[
        bool, Field(description="End an object at the highest target; NoC stays, mIoU@k is then a bound.")
    ] = False
    view: Annotated[View, Field(description="Zoom-in and flip averaging as those protocols evaluate.")] = "auto"
    zoom_size: Annotated[int | None, Field(description="Pixels that zoom-in aims at.", ge=16)] = None
    refiner: Annotated[
        str | None, Field(description="Sharpen every mask with the image alone: crf, pamr or local.")
    ] = None
    report: Annotated[Path | None, Field(description="Folder for a page, plots and the worst objects.")] = None
    compare: Annotated[tuple[Path, ...], Field(description="JSON of an earlier run to draw too; repeatable.")] = ()
    journal: Annotated[
        Path | None, Field(description="Where finished objects are kept until the end; in the user's cache without it.")
    ] = None

    @field_validator("target", mode="after")
    @classmethod
    def _ascending(cls, target: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(target)))

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """One game per entry; None is the published, deterministic one."""
        return (None,) if self.clicks == "center" else self.seed or DEFAULT_SEEDS


@job(EvaluateConfig)
def evaluate(config: EvaluateConfig, model: Segmenter | None = None) -> dict[str, Any]:
    """Let the robot annotate every object of a data set and count what it took; returns the JSON of
    ``segue evaluate``. ``model`` replaces the one that ``config`` names.

    Finished objects are on disk at once, and a run that was killed goes on where it stopped. Qualities after
    an object's last click stay what they were then. ``seconds.spc`` counts reading, encoding and clicking, as
    published; ``encode_p50`` and ``click_p50`` are the parts apart.

    Raises ``DataError`` for a data set without objects or with damaged files, and ``segue.load``'s errors.
    Source: RITM, section 4; SimpleClick, section 4; InterFormer, section 4.1 (SPC, PIE).

    >>> import tempfile
    >>> from segue.data.io.image import write_image, write_labels
    >>> photo, target = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), bool)
    >>> photo[8:40, 16:48], target[8:40, 16:48] = 220, True
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/images/square.png", photo)
    ...     write_labels(f"{folder}/masks/square.png", target)
    ...     found = evaluate(EvaluateConfig(data=folder, max_clicks=2))
    >>> found["objects"], len(found["miou_at"]), found["per_object"][0]["clicks"][0]
    (1, 2, [31, 23, True])
    """
    others = [read_result(path) for path in config.compare]
    data = open_data(config.data, config.format, Options(config.ignore_values, config.split))
    bare = model if model is not None else config.load()
    view = config.view if config.view != "auto" else unwrapped(bare).default_view
    seen_as = with_refiner(with_view(bare, view, config.zoom_size, data.format), config.refiner)
    job = _job(config, bare, view, data)
    with ResumeLog(config.journal or JOURNALS / f"{job}.jsonl", job) as journal:
        rows = list(_annotate(seen_as, data, config, journal))
        if not rows:
            raise DataError(
                f"{config.data} without any object in the images chosen",
                "at least one object",
                "raise the limit, or look whether the masks are empty",
            )
        result = {
            "model": config.model,
            "adapter": str(config.adapter) if config.adapter else None,
            "data": str(config.data),
            "format": data.format,
            "view": view,
            "refiner": config.refiner,
            "clicks": config.clicks,
            "stop_at_target": config.stop_at_target,
            **summary(rows, config),
        }
        if config.report is not None:
            from segue.evaluation.report import write_report

            write_report(config.report, result, others, rows, data)
        journal.remove()
    return result


def summary(rows: Sequence[Row], config: EvaluateConfig) -> dict[str, Any]:
    """The figures of ``segue evaluate`` from the rows of all objects (and seeds)."""
    most, targets = config.max_clicks, config.target
    ious, boundary = [r["ious"] for r in rows], [r["boundary_ious"] for r in rows]
    seconds = [s for r in rows for s in r["seconds"]]
    pace = spc(sum(r["read"] + r["encode"] for r in rows) + sum(seconds), len(seconds))
    pixels = float(np.mean([r["pixels"] for r in rows]))
    found = {
        "objects": len({r["id"] for r in rows}),
        "max_clicks": most,
        "noc": {f"{t:.2f}": noc(ious, t, most) for t in targets},
        "nof": {f"{t:.2f}": nof(ious, t, most) for t in targets},
        "rof": {f"{t:.2f}": rof(ious, t, most) for t in targets},
        "unreached": {f"{t:.2f}": unreached(ious, t, most) for t in targets},
        "noc_boundary": {f"{t:.2f}": noc(boundary, t, most) for t in targets},
        "miou_at": [round(v, 6) for v in quality_at(ious, most)],
        "mbiou_at": [round(v, 6) for v in quality_at(boundary, most)],
        "seconds": {
            "encode_p50": float(np.median([r["encode"] for r in rows])),
            "click_p50": float(np.median(seconds)),
            "click_p95": float(np.percentile(seconds, 95)),
            "spc": pace,
            "pie": pie(pace, (1, round(pixels))),
        },
    }
    if config.clicks == "perturbed":
        found["noc_over_seeds"] = {f"{t:.2f}": _over_seeds(rows, t, config) for t in targets}
    shown = ("id", "image", "area", "size", "ious", "boundary_ious", "clicks", "seed")
    return found | {"per_object": [{k: r[k] for k in shown if r[k] is not None} for r in rows]}


def read_result(path: Path) -> dict[str, Any]:
    """The JSON of an earlier ``segue evaluate``. Raises ``DataError`` for anything else.

    >>> read_result(Path("/no/such/file.json"))
    Traceback (most recent call last):
    segue.core.errors.DataError: got /no/such/file.json; expected the JSON that segue evaluate wrote
    """
    try:
        content = json.loads(path.read_text())
        _ = content["miou_at"], content["noc"], content["per_object"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}", "the JSON that segue evaluate wrote") from error
    return dict(content)


def with_view(model: Segmenter, view: str, zoom_size: int | None, form: str) -> Segmenter:
    """``model`` as the named protocol shows it images; see ``EvaluateConfig``."""
    if view == "own":
        return model
    core, davis = unwrapped(model), form == "davis"
    if view == "ritm":
        return ZoomIn(FlipAverage(core), ZoomRule(target=zoom_size or (600 if davis else 400)))
    if view == "simpleclick":
        side = zoom_size or (672 if davis else 448)
        return ZoomIn(FlipAverage(core), ZoomRule(target=(side, side), skip_clicks=-1))
    return core


class _OneImage:
    """Features that the objects of one image share, and the seconds that they took."""

    def __init__(self) -> None:
        self.features: Features | None = None
        self.seconds = 0.0

    def get(self, model: Segmenter, image: Image) -> Features | None:
        return self.features

    def put(self, model: Segmenter, image: Image, features: Features) -> None:
        self.features = features


def _annotate(model: Segmenter, data: DataSet, config: EvaluateConfig, journal: ResumeLog) -> Iterator[Row]:
    """One row for every object and seed, from the journal where it is there already."""
    chosen, count = data.samples[:: config.every], 0
    with _progress() as progress:
        bar = progress.add_task(data.folder.name, total=len(chosen))
        for sample in chosen:
            if config.limit is not None and count >= config.limit:
                break
            room = None if config.limit is None else config.limit - count
            for rows in _one_image(model, sample, config, journal, room):
                count += 1
                yield from rows
            progress.advance(bar)


def _one_image(
    model: Segmenter, sample: Sample, config: EvaluateConfig, journal: ResumeLog, room: int | None
) -> Iterator[list[Row]]:
    """The rows of each object of one image; an image that is finished is not even read."""
    listed = f"image {sample.id}"
    if listed in journal and all(k in journal for k in _keys(journal[listed]["objects"][:room], config)):
        for name in journal[listed]["objects"][:room]:
            yield [journal[key] for key in _keys([name], config)]
        return
    start = time.perf_counter()
    image, target = sample.read()
    read = time.perf_counter() - start
    visible = [
        i for i in target.annotations if (i.mask if target.ignore_mask is None else i.mask & ~target.ignore_mask).any()
    ]
    journal.add(listed, {"objects": [i.id for i in visible]})
    shared = _OneImage()
    for instance in visible[:room]:
        rows = []
        for seed, key in zip(config.seeds, _keys([instance.id], config), strict=True):
            if key not in journal:
                row = _one_object(Session(model, image, shared), instance, target, config, seed)
                shared.seconds = shared.seconds or row["encode"]
                journal.add(key, {**row, "image": sample.id, "read": read, "encode": shared.seconds})
            rows.append(journal[key])
        yield rows


def _one_object(
    session: Session, instance: Annotation, target: AnnotatedImage, config: EvaluateConfig, seed: int | None
) -> Row:
    rng = None if seed is None else np.random.default_rng([seed, zlib.crc32(instance.id.encode())])
    highest = max(config.target)
    stop_at = highest if config.stop_at_target else None
    pictures: dict[int, Mask] = {}

    def watch(course: ClickTrace, mask: Mask) -> None:
        """Keep the mask after the first click, and that of the click that reached the highest target or came last."""
        if len(course.ious) <= clicks_needed(course.ious, highest, config.max_clicks):
            pictures.update({min(len(course.ious), 2): mask})

    course = simulate_clicks(
        session, instance.mask, target.ignore_mask, max_clicks=config.max_clicks, stop_at=stop_at, rng=rng, watch=watch
    )
    assert session.prediction is not None
    frame = session.prediction.frame
    return {
        "id": instance.id,
        "area": instance.area,
        "size": list(instance.mask.shape),
        "ious": course.ious,
        "boundary_ious": course.boundary_ious,
        "clicks": [[c.x, c.y, c.positive] for c in course.clicks],
        "seed": seed,
        "encode": course.encode_seconds,
        "seconds": course.click_seconds,
        "pixels": frame.grid[0] * frame.grid[1],
        "first": Rle.from_mask(pictures[1]).text,
        "last": Rle.from_mask(pictures.get(2, pictures[1])).text,
    }


def _job(config: EvaluateConfig, model: Segmenter, view: str, data: DataSet) -> str:
    """A digest of all that an object's row depends on; which objects and seeds are chosen is not among it."""
    causes: dict[str, Any] = {
        "weights": weights_digest(model),
        "view": view,
        "zoom": config.zoom_size,
        "refiner": config.refiner,
        "most": config.max_clicks,
        "stop": max(config.target) if config.stop_at_target else None,
        "ignore_values": config.ignore_values,
        "data": str(config.data.resolve()),
        "format": data.format,
        "samples": [s.id for s in data.samples],
    }
    return job_digest(causes)


def _keys(names: Sequence[str], config: EvaluateConfig) -> list[str]:
    return [f"object {name} {seed}" for name in names for seed in config.seeds]


def _over_seeds(rows: Sequence[Row], target: float, config: EvaluateConfig) -> dict[str, Any]:
    each = [noc([r["ious"] for r in rows if r["seed"] == s], target, config.max_clicks) for s in config.seeds]
    spread = float(np.std(each, ddof=1)) if len(each) > 1 else None
    return {"mean": float(np.mean(each)), "spread": spread, "each": each, "seeds": list(config.seeds)}


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
