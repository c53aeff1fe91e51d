"""One-shot evaluation: show a class once, find it in the queries, count."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from segue.core.errors import DataError
from segue.core.files import write_text
from segue.core.geometry import deepest_point, mask_box
from segue.core.types import Box, Click, Image, Mask, Prompt, Reference
from segue.data.io.image import write_labels
from segue.evaluation.one_shot import (
    ClassScore,
    ClassScores,
    Episode,
    OneShotData,
    make_episodes,
    open_one_shot,
    read_episodes,
    write_episodes,
)
from segue.jobs.finding import FinderFields
from segue.jobs.job import job
from segue.jobs.progress import progress
from segue.jobs.reference import reference_clicks, scale_clicks
from segue.metrics.overlap import iou
from segue.oneshot.finder import Finder
from segue.session.config import JobResult, ModelChoice
from segue.session.session import segment


class OneShotConfig(ModelChoice, FinderFields):
    """What one-shot evaluation takes.

    Without ``episodes`` they are made: all queries of every class, the first sample being the reference (PerSeg), or
    ``queries`` drawn with ``seed``. From a ``reference_prompt`` that is a box or a click the model makes the
    reference's mask (PerSAM, Table 6). ``method`` "clicks" is the baseline: the clicks that segment the reference,
    repeated at the same places of the query.
    """

    data: Annotated[Path, Field(description="Folder of the data set.")]
    layout: Annotated[
        str, Field(description="perseg, fss, pascal-part, coco (LVIS-92i, PACO-Part), any data format, or auto.")
    ] = "auto"
    split: Annotated[str | None, Field(description="Part of the data set, where it has parts.")] = None
    episodes: Annotated[Path | None, Field(description="File of JSON lines: class, reference, query.")] = None
    queries: Annotated[
        int | None, Field(description="Queries drawn for each class; without it all are asked.", ge=1)
    ] = None
    seed: Annotated[int, Field(description="Of the drawing.")] = 0
    fold: Annotated[int | None, Field(description="Every tenth class from this one (LVIS-92i).")] = None
    limit: Annotated[int | None, Field(description="Episodes at most.", ge=1)] = None
    reference_prompt: Annotated[
        Literal["mask", "box", "click"], Field(description="What shows the object in the reference.")
    ] = "mask"
    method: Annotated[
        Literal["find", "clicks"], Field(description="find, or the reference's clicks again (the baseline).")
    ] = "find"
    threshold: Annotated[float | None, Field(description="Least score of a find; without it the best is taken.")] = None
    masks: Annotated[Path | None, Field(description="Keep the predicted masks in this folder.")] = None
    output: Annotated[Path | None, Field(description="Folder for results.json and the episodes.")] = None


class QueryResult(JobResult):
    """One query: its class, the samples' ids, the plain IoU in [0, 1] and the model's score."""

    name: str = Field(alias="class")
    reference: str
    query: str
    iou: float
    score: float


class OneShotResult(JobResult):
    """What one-shot evaluation counted, in per cent but for ``per_query``."""

    model: str
    data: Path
    reference_prompt: str
    method: str
    episodes: int
    miou: float
    mboundary_iou: float
    maccuracy: float
    per_class: dict[str, ClassScore]
    mean_query_iou: float
    seconds_per_query: float
    per_query: tuple[QueryResult, ...]


@job(OneShotConfig)
def one_shot(config: OneShotConfig) -> OneShotResult:
    """Measure a model on episodes: IoU, boundary IoU and accuracy per class and overall.

    Per class, intersections and unions of all its queries are added up before dividing, and the mean is over
    classes: PerSeg's ``eval_miou.py`` and the mIoU of few-shot segmentation count so. The reference itself is never a
    query. With ``output`` everything is also written there, the episode list included.

    Source: PerSAM (Zhang et al., 2023), Tables 1, 3, 6; Boundary IoU (Cheng et al., 2021).
    """
    data = open_one_shot(config.data, config.layout, config.split)
    if config.episodes is not None:
        episodes = read_episodes(config.episodes)
    else:
        episodes = make_episodes(data, config.queries, config.seed, config.fold)
    episodes = episodes[: config.limit]
    seeker = config.finder(config.load())
    scores, rows, began = ClassScores(), list[QueryResult](), time.perf_counter()
    for episode in progress(episodes, len(episodes), "one-shot", "queries"):
        mask, score, target = _answered(config, data, episode, seeker)
        scores.add(episode.name, mask, target)
        ids = {"class": episode.name, "reference": episode.reference, "query": episode.query}
        rows.append(QueryResult(**ids, iou=round(iou(mask, target), 4), score=round(score, 4)))
        if config.masks is not None:
            write_labels(config.masks / f"{episode.name}" / f"{Path(episode.query).stem}.png".replace("/", "-"), mask)
    result = OneShotResult(
        model=config.model,
        data=config.data,
        reference_prompt=config.reference_prompt,
        method=config.method,
        episodes=len(episodes),
        **scores.means(),
        per_class=scores.per_class(),
        mean_query_iou=round(100 * float(np.mean([row.iou for row in rows])), 2),
        seconds_per_query=round((time.perf_counter() - began) / max(1, len(episodes)), 3),
        per_query=tuple(rows),
    )
    if config.output is not None:
        write_text(config.output / "results.json", json.dumps(result.to_json(), indent=1))
        write_episodes(config.output / "episodes.jsonl", episodes)
    return result


def _answered(config: OneShotConfig, data: OneShotData, episode: Episode, seeker: Finder) -> tuple[Mask, float, Mask]:
    """(mask, score, true mask) of one query."""
    reference = _reference(data, episode, config.reference_prompt, seeker)
    image, target = data.shot(episode.name, episode.query)
    if config.method == "clicks":
        clicks = scale_clicks(reference_clicks(seeker.inner, reference), reference.mask.shape, target.shape)
        return segment(seeker.inner, image, clicks), 1.0, target
    return *find_mask(seeker, image, reference, config.threshold), target


def find_mask(finder: Finder, image: Image, reference: Reference, threshold: float | None = None) -> tuple[Mask, float]:
    """The mask (H, W) bool of the reference's object in ``image`` and its score; empty below ``threshold``."""
    match = finder.find(finder.encode([image]), reference)
    mask = match.prediction.mask()
    return (mask if threshold is None or match.score >= threshold else np.zeros_like(mask)), match.score


def _reference(data: OneShotData, episode: Episode, kind: str, seeker: Finder) -> Reference:
    image, mask = data.shot(episode.name, episode.reference)
    if not mask.any():
        raise DataError(
            f"no {episode.name} in the reference {episode.reference}", "a mask of the class", "correct the list"
        )
    if kind == "mask":
        return Reference(image, mask)
    rough = segment(seeker.inner, image, rough_prompts(mask, kind))
    return Reference(image, rough if rough.any() else mask)


def rough_prompts(mask: Mask, kind: str) -> Sequence[Prompt]:
    """The box around ``mask``, or a click in its middle.

    >>> rough_prompts(np.eye(5, dtype=bool), "box")
    [Box(x0=0.0, y0=0.0, x1=5.0, y1=5.0)]
    """
    if kind == "box":
        box = mask_box(mask)
        return [] if box is None else [Box(*map(float, box))]
    x, y, _ = deepest_point(mask)
    return [Click(float(x), float(y))]
