"""What the robot's clicks say of a model on images with masks: before an adapter, after it, and while it trains."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import DataError
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Features, Image, digest
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.data.record import AnnotatedImage, Sample
from segue.evaluation.robot import ClickTrace, simulate_clicks
from segue.metrics.boundary import boundary_iou
from segue.metrics.interaction import clicks_needed
from segue.nn.module import weights_digest
from segue.session.session import Session

KEPT = Path.home() / ".cache" / "segue" / "adapt"


@dataclass(frozen=True)
class Played:
    """One object of the robot's: its id, sample and what happened."""

    id: str
    sample: Sample
    course: ClickTrace


def annotate(
    model: Segmenter,
    samples: Sequence[Sample],
    max_clicks: int = 20,
    stop_at: float = 0.9,
    boundary: bool = True,
    rows: ResumeLog | None = None,
) -> list[Played]:
    """The robot annotates every object of ``samples``: centre clicks, as published.

    It stops at an IoU of ``stop_at``, with ``boundary`` at that boundary IoU too; without it no boundary is measured.
    What ``rows`` (see ``kept_rows``) hold already is not done again. Raises ``DataError`` where there is no object.
    """
    found: list[Played] = []
    for sample in samples:
        image, target = sample.read()
        shared, key = _Shared(), _key(image, target)
        for number, instance in enumerate(target.annotations):
            seen = instance.mask if target.ignore_mask is None else instance.mask & ~target.ignore_mask
            if not seen.any():
                continue
            here = f"{key} {number}"
            if rows is not None and here in rows:
                course = _course(rows[here])
            else:
                course = simulate_clicks(
                    Session(model, image, shared),
                    instance.mask,
                    target.ignore_mask,
                    max_clicks=max_clicks,
                    stop_at=stop_at,
                    boundary=boundary,
                )
                if rows is not None:
                    rows.add(here, _row(course))
            found.append(Played(instance.id, sample, course))
    if not found:
        raise DataError("images without any object", "at least one mask that is not empty")
    return found


def kept_rows(model: Segmenter, folder: Path | None = None, **protocol: Any) -> ResumeLog:
    """The file of what the robot did on ``model`` under ``protocol`` (JSON values), by image, in ``folder`` or the
    user's cache: a base is measured once, however many adapters are compared with it."""
    job = job_digest({"model": weights_digest(model.module, model.fingerprint()), **protocol})
    return ResumeLog((folder or KEPT) / f"{job}.jsonl", job)


class _Shared:
    """Features that all objects of an image share."""

    def __init__(self) -> None:
        self.features: Features | None = None

    def get(self, model: Segmenter, image: Image) -> Features | None:
        return self.features

    def put(self, model: Segmenter, image: Image, features: Features) -> None:
        self.features = features


def _key(image: Image, target: AnnotatedImage) -> str:
    """A digest of an image and its masks."""
    ignore_mask = np.zeros(0, bool) if target.ignore_mask is None else target.ignore_mask
    return digest(image, ignore_mask, *(i.mask for i in target.annotations))[:32]


def _row(course: ClickTrace) -> dict[str, Any]:
    clicks = [[c.x, c.y, c.positive] for c in course.clicks]
    return {"clicks": clicks, "ious": course.ious, "boundary": course.boundary_ious}


def _course(row: Mapping[str, Any]) -> ClickTrace:
    return ClickTrace([Click(*c) for c in row["clicks"]], row["ious"], row["boundary"])


def object_figures(course: ClickTrace, max_clicks: int) -> dict[str, float]:
    """One object's share in each of ``click_figures``.

    >>> object_figures(ClickTrace([], [0.5, 0.875]), 20)["noc85"]
    2.0
    """
    ious, boundary = course.ious, course.boundary_ious
    found = {
        "noc85": float(clicks_needed(ious, 0.85, max_clicks)),
        "noc90": float(clicks_needed(ious, 0.90, max_clicks)),
        "miou1": ious[0],
        "miou5": ious[:5][-1],
        "failed85": float(clicks_needed(ious, 0.85, max_clicks) >= max_clicks),
    }
    if boundary:
        found |= {"bnoc85": float(clicks_needed(boundary, 0.85, max_clicks)), "mbiou1": boundary[0]}
    return found


def click_figures(played: Sequence[Played], max_clicks: int) -> dict[str, float]:
    """NoC85, NoC90, mIoU@1, mIoU@5 (an object that needed no further click keeps its last) and the share of failures
    at 85; where boundaries were measured, boundary NoC85 and mbIoU@1."""
    rows = [object_figures(p.course, max_clicks) for p in played]
    return {k: float(np.nanmean([r[k] for r in rows])) for k in rows[0]}


def random_clicks_quality(
    model: Segmenter, samples: Sequence[Sample], counts: Sequence[int], seed: int = 0, rows: ResumeLog | None = None
) -> list[float]:
    """mbIoU when k positive and k negative clicks are given at once, at random places, for each k of ``counts``.

    ``rows`` as in ``annotate``. Source: ClickAdapter, figure 5 (after DIOS: positive clicks inside the object,
    negative ones outside).
    """
    found: list[list[float]] = []
    for sample in samples:
        image, target = sample.read()
        key = f"{_key(image, target)} random {seed} {list(counts)}"
        if rows is not None and key in rows:
            found += rows[key]["objects"]
            continue
        here = list(
            _random_clicks(model, image, target, counts, np.random.default_rng([seed, zlib.crc32(key.encode())]))
        )
        if rows is not None:
            rows.add(key, {"objects": here})
        found += here
    return [float(v) for v in np.nanmean(np.asarray(found), 0)]


def _random_clicks(
    model: Segmenter, image: Image, target: AnnotatedImage, counts: Sequence[int], rng: np.random.Generator
) -> Iterator[list[float]]:
    """For each object, its boundary IoU at each of ``counts``; the next count's clicks include those of the last."""
    shared = _Shared()
    for instance in target.annotations:
        clicks: list[Click] = []
        outside = ~instance.mask if target.ignore_mask is None else ~instance.mask & ~target.ignore_mask
        if not instance.mask.any() or not outside.any():
            continue
        found = []
        for k in counts:
            while len(clicks) < 2 * k:
                positive = len(clicks) % 2 == 0
                ys, xs = np.nonzero(instance.mask if positive else outside)
                pick = int(rng.integers(len(ys)))
                clicks.append(Click(int(xs[pick]), int(ys[pick]), positive))
            said = Session(model, image, shared).add(*clicks)
            found.append(boundary_iou(said, instance.mask, target.ignore_mask))
        yield found
