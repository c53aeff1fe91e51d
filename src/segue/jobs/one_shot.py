"""One-shot evaluation: show a class once, find it in the queries, count."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from segue.core.errors import DataError
from segue.core.files import write_bytes
from segue.core.geometry import deepest_point, mask_box
from segue.core.types import Box, Click, Image, Mask, Prompt, Reference
from segue.data.formats.episodes import (
    Episode,
    OneShotData,
    make_episodes,
    open_one_shot,
    read_episodes,
    write_episodes,
)
from segue.data.io.image import write_labels
from segue.jobs.find import moved, same_clicks
from segue.jobs.job import job
from segue.metrics.boundary import band_width, boundary_band
from segue.metrics.overlap import counts
from segue.oneshot.finder import Finder, finder
from segue.session.config import ModelChoice
from segue.session.session import segment


class OneShotConfig(ModelChoice):
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
    fit_scale: Annotated[bool, Field(description="PerSAM-F's two weights.")] = False
    threshold: Annotated[float | None, Field(description="Least score of a find; without it the best is taken.")] = None
    masks: Annotated[Path | None, Field(description="Keep the predicted masks in this folder.")] = None
    output: Annotated[Path | None, Field(description="Folder for results.json and the episodes.")] = None


@job(OneShotConfig)
def one_shot(config: OneShotConfig) -> dict[str, Any]:
    """Measure a model on episodes: IoU, boundary IoU and accuracy per class and overall, in per cent.

    Per class, intersections and unions of all its queries are added up before dividing, and the mean is over
    classes: PerSeg's ``eval_miou.py`` and the mIoU of few-shot segmentation count so. Boundary IoU is counted
    alike over the boundary bands (2 % of the diagonal). The reference itself is never a query. ``per_query`` has
    the plain IoU of every query. With ``output`` everything is also written there, the episode list included.

    Source: PerSAM (Zhang et al., 2023), Tables 1, 3, 6; Boundary IoU (Cheng et al., 2021).
    """
    data = open_one_shot(config.data, config.layout, config.split)
    if config.episodes is not None:
        episodes = read_episodes(config.episodes)
    else:
        episodes = make_episodes(data, config.queries, config.seed, config.fold)
    episodes = episodes[: config.limit]
    seeker = finder(config.load(), fit_scale=config.fit_scale)
    sums: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = defaultdict(lambda: np.zeros(5, np.int64))
    rows, began = [], time.perf_counter()
    for episode in episodes:
        reference = _reference(data, episode, config.reference_prompt, seeker)
        image, target = data.shot(episode.name, episode.query)
        if config.method == "clicks":
            clicks = moved(same_clicks(seeker.model, reference), reference.mask.shape, target.shape)
            mask, score = segment(seeker.model, image, clicks), 1.0
        else:
            mask, score = answer(seeker, image, reference, config.threshold)
        sums[episode.name] += tally(mask, target)
        shared, first, second = counts(mask, target)
        union = first + second - shared
        rows.append(
            {
                "class": episode.name,
                "reference": episode.reference,
                "query": episode.query,
                "iou": round(shared / union, 4) if union else 1.0,
                "score": round(score, 4),
            }
        )
        if config.masks is not None:
            write_labels(config.masks / f"{episode.name}" / f"{Path(episode.query).stem}.png".replace("/", "-"), mask)
    result = {
        "model": config.model,
        "data": str(config.data),
        "reference_prompt": config.reference_prompt,
        "method": config.method,
        "episodes": len(episodes),
        **overall(sums),
        "mean_query_iou": round(100 * float(np.mean([r["iou"] for r in rows])), 2),
        "seconds_per_query": round((time.perf_counter() - began) / max(1, len(episodes)), 3),
        "per_query": rows,
    }
    if config.output is not None:
        write_bytes(config.output / "results.json", json.dumps(result, indent=1).encode())
        write_episodes(config.output / "episodes.jsonl", episodes)
    return result


def answer(seeker: Finder, image: Image, reference: Reference, threshold: float | None = None) -> tuple[Mask, float]:
    """The mask (H, W) bool of the reference's object in ``image`` and its score; empty below ``threshold``."""
    with torch.inference_mode():
        found = seeker.find(seeker.encode([image]), reference)[0]
        mask: Mask = found.prediction.mask().cpu().numpy()
    return (mask if threshold is None or found.score >= threshold else np.zeros_like(mask)), found.score


def tally(mask: Mask, target: Mask) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(5,) intersection, union, true pixels; intersection and union of the boundary bands.

    >>> tally(np.ones((4, 4), bool), np.ones((4, 4), bool)).tolist()
    [16, 16, 16, 12, 12]
    """
    shared, first, second = counts(mask, target)
    width = band_width(target.shape)
    band, edge, true_edge = counts(boundary_band(mask, width), boundary_band(target, width))
    return np.array([shared, first + second - shared, second, band, edge + true_edge - band])


def overall(sums: dict[str, np.ndarray[Any, np.dtype[np.int64]]]) -> dict[str, Any]:
    """``per_class`` and the means over classes, in per cent."""
    per_class = {
        name: {
            "iou": round(100 * float(s[0] / max(1, s[1])), 2),
            "accuracy": round(100 * float(s[0] / max(1, s[2])), 2),
            "boundary_iou": round(100 * float(s[3] / max(1, s[4])), 2),
        }
        for name, s in sums.items()
    }
    means = {
        f"m{k}": round(float(np.mean([c[k] for c in per_class.values()])), 2)
        for k in ("iou", "boundary_iou", "accuracy")
    }
    return {**means, "per_class": per_class}


def _reference(data: OneShotData, episode: Episode, kind: str, seeker: Finder) -> Reference:
    image, mask = data.shot(episode.name, episode.reference)
    if not mask.any():
        raise DataError(
            f"no {episode.name} in the reference {episode.reference}", "a mask of the class", "correct the list"
        )
    if kind == "mask":
        return Reference(image, mask)
    rough = segment(seeker.model, image, rough_prompts(mask, kind))
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
