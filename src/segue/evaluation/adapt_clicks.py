"""What the robot's clicks say of a model on images with masks: before an adapter, after it, and while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import DataError
from segue.core.files import cache_folder
from segue.core.segmenter import Segmenter
from segue.core.types import Click
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.data.record import Sample
from segue.evaluation.adapt_verdict import Change, Verdict, verdict
from segue.evaluation.random_clicks import image_key
from segue.evaluation.robot import ClickTrace, simulate_clicks
from segue.metrics.interaction import clicks_needed
from segue.nn.module import weights_digest
from segue.session.session import Session


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of the robot's: its id, sample and what happened."""

    id: str
    sample: Sample
    trace: ClickTrace


def annotate(
    model: Segmenter,
    samples: Sequence[Sample],
    max_clicks: int = 20,
    stop_at: float = 0.9,
    boundary: bool = True,
    rows: ResumeLog | None = None,
) -> list[AnnotatedObject]:
    """The robot annotates every object of ``samples``: centre clicks, as published.

    It stops at an IoU of ``stop_at``, with ``boundary`` at that boundary IoU too; without it no boundary is measured.
    What ``rows`` (see ``robot_log``) hold already is not done again. Raises ``DataError`` where there is no object.
    """
    objects: list[AnnotatedObject] = []
    for sample in samples:
        image, target = sample.read()
        features, key = None, image_key(image, target)
        for number, instance in enumerate(target.annotations):
            visible = instance.mask if target.ignore_mask is None else instance.mask & ~target.ignore_mask
            if not visible.any():
                continue
            here = f"{key} {number}"
            if rows is not None and here in rows:
                trace = _trace(rows[here])
            else:
                session = Session(model, image, features=features)
                features = session.features
                trace = simulate_clicks(
                    session,
                    instance.mask,
                    target.ignore_mask,
                    max_clicks=max_clicks,
                    stop_at=stop_at,
                    boundary=boundary,
                )
                if rows is not None:
                    rows.add(here, _row(trace))
            objects.append(AnnotatedObject(instance.id, sample, trace))
    if not objects:
        raise DataError(
            f"{len(samples)} images without any object",
            "at least one mask that is not empty",
            "draw one: segue annotate, or see what the masks hold: segue check",
        )
    return objects


def robot_log(model: Segmenter, folder: Path | None = None, **protocol: Any) -> ResumeLog:
    """The file of what the robot did on ``model`` under ``protocol`` (JSON values), by image, in ``folder`` or the
    user's cache: a base is measured once, however many adapters are compared with it."""
    job = job_digest({"model": weights_digest(model.module, model.fingerprint()), **protocol})
    return ResumeLog((folder or cache_folder("adapt")) / f"{job}.jsonl", job)


def _row(trace: ClickTrace) -> dict[str, Any]:
    clicks = [[c.x, c.y, c.positive] for c in trace.clicks]
    return {"clicks": clicks, "ious": trace.ious, "boundary": trace.boundary_ious}


def _trace(row: Mapping[str, Any]) -> ClickTrace:
    return ClickTrace([Click(*c) for c in row["clicks"]], row["ious"], row["boundary"])


def object_figures(trace: ClickTrace, max_clicks: int) -> dict[str, float]:
    """One object's share in each of ``click_figures``.

    >>> object_figures(ClickTrace([], [0.5, 0.875]), 20)["noc85"]
    2.0
    """
    ious, boundary = trace.ious, trace.boundary_ious
    figures = {
        "noc85": float(clicks_needed(ious, 0.85, max_clicks)),
        "noc90": float(clicks_needed(ious, 0.90, max_clicks)),
        "miou1": ious[0],
        "miou5": ious[:5][-1],
        "failed85": float(clicks_needed(ious, 0.85, max_clicks) >= max_clicks),
    }
    if boundary:
        needed = {f"bnoc{t}": float(clicks_needed(boundary, t / 100, max_clicks)) for t in (85, 90)}
        figures |= {**needed, **{f"mbiou{k}": boundary[:k][-1] for k in (1, 5, 10)}}
    return figures


def click_figures(objects: Sequence[AnnotatedObject], max_clicks: int) -> dict[str, float]:
    """NoC85, NoC90, mIoU@1, mIoU@5 (an object that needed no further click keeps its last) and the share of failures
    at 85 (RoF85); where boundaries were measured, boundary NoC85 and NoC90 and mbIoU@1, 5 and 10."""
    rows = [object_figures(o.trace, max_clicks) for o in objects]
    return {k: float(np.nanmean([r[k] for r in rows])) for k in rows[0]}


@dataclass(frozen=True)
class ClickGain:
    """What an adapter changed on held-out objects, with 95 % intervals over their images."""

    clicks_saved: float
    clicks_saved_each: dict[str, float]
    clicks_saved_interval: tuple[float, float]
    change_intervals: dict[str, tuple[float, float]]
    verdict: Verdict


BETTER = {  # measure -> whether more of it is better, its words
    "noc85": (False, "clicks an object at an IoU of 0.85"),
    "noc90": (False, "clicks an object at an IoU of 0.90"),
    "bnoc85": (False, "clicks an object at a boundary IoU of 0.85"),
    "bnoc90": (False, "clicks an object at a boundary IoU of 0.90"),
    "miou1": (True, "IoU after the first click"),
    "miou5": (True, "IoU after five clicks"),
    "mbiou1": (True, "boundary IoU after the first click"),
    "mbiou5": (True, "boundary IoU after five clicks"),
    "mbiou10": (True, "boundary IoU after ten clicks"),
    "failed85": (False, "of the share that fails at 0.85"),
}


def click_gain(
    before: Sequence[AnnotatedObject], after: Sequence[AnnotatedObject], max_clicks: int, improving: bool = False
) -> ClickGain:
    """Clicks saved per object at an IoU of 0.85, the change of every measure, and the verdict."""
    old, new = ([object_figures(o.trace, max_clicks) for o in objects] for objects in (before, after))
    images = [o.sample.id for o in before]
    changes = {}
    for measure in old[0]:
        more, words = BETTER[measure]
        gains = [(b[measure] - a[measure]) * (1 if more else -1) for a, b in zip(old, new, strict=True)]
        verbs = (
            (f"adds {{}} {words}", f"takes {{}} {words}")
            if more
            else (f"saves {{}} {words}", f"costs {{}} {words} more")
        )
        changes[measure] = Change.from_gains(*verbs, gains, images)
    main = changes["noc85"]
    saved = [a["noc85"] - b["noc85"] for a, b in zip(old, new, strict=True)]
    others = [change for measure, change in changes.items() if measure != "noc85"]
    signed = {m: (c.low, c.high) if BETTER[m][0] else (-c.high, -c.low) for m, c in changes.items()}
    return ClickGain(
        main.mean,
        {o.id: s for o, s in zip(before, saved, strict=True)},
        (main.low, main.high),
        signed,
        verdict(main, others, len(set(images)), len(before), improving),
    )
