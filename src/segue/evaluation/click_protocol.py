"""The robot-click protocol over a data set: every object annotated, each on disk as soon as it is done.

Source: RITM, section 4; SimpleClick, section 4; InterFormer, section 4.1 (SPC, PIE).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from segue.core.errors import DataError
from segue.core.failures import Failures
from segue.core.segmenter import Segmenter
from segue.core.types import Mask
from segue.data.io.image import read_mask
from segue.data.io.resume_log import ResumeLog
from segue.data.record import AnnotatedImage, Annotation, Sample
from segue.data.rle import Rle
from segue.evaluation.results import EvaluateSeconds, MeasuredObject, OverSeeds
from segue.evaluation.robot import MASK_THRESHOLD, ClickTrace, simulate_clicks
from segue.metrics.interaction import clicks_needed, noc, nof, pie, quality_at, rof, spc, unreached
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule, unwrapped
from segue.session.session import Session


@dataclass(frozen=True)
class ClickProtocol:
    """How the robot clicks: at most ``max_clicks`` an object, to the IoU ``targets``, once for each of ``seeds`` (None
    is the published, deterministic robot), ending at the highest target if ``stop_at_target``; masks are probabilities
    above ``threshold``: RITM's 0.49, or 0.5, InterFormer's larger of two logits. ``initial`` names which of an object's
    own masks it starts from."""

    max_clicks: int = 20
    targets: tuple[float, ...] = (0.8, 0.85, 0.9)
    seeds: tuple[int | None, ...] = (None,)
    stop_at_target: bool = False
    threshold: float = MASK_THRESHOLD
    initial: str | None = None

    @property
    def highest(self) -> float:
        """The highest target."""
        return max(self.targets)

    def keys(self, names: Sequence[str]) -> list[str]:
        """The journal's keys of objects, one for each seed."""
        return [f"object {name} {seed}" for name in names for seed in self.seeds]


def measure_objects(
    model: Segmenter,
    samples: Iterable[Sample],
    protocol: ClickProtocol,
    journal: ResumeLog,
    limit: int | None = None,
    failures: Failures | None = None,
) -> Iterator[MeasuredObject]:
    """One row for every object (``limit`` at most) and seed, from the journal where it is there already.

    An image that fails is noted in ``failures``; without it the error is raised.
    """
    failures = failures if failures is not None else Failures(strict=True)
    count = 0
    for sample in samples:
        if limit is not None and count >= limit:
            break
        with failures.guard(sample.id):
            for rows in _one_image(model, sample, protocol, journal, None if limit is None else limit - count):
                count += 1
                yield from rows


def _one_image(
    model: Segmenter, sample: Sample, protocol: ClickProtocol, journal: ResumeLog, room: int | None
) -> Iterator[list[MeasuredObject]]:
    """The rows of each object of one image; an image that is finished is not even read."""
    listed = f"image {sample.id}"
    if listed in journal and all(key in journal for key in protocol.keys(journal[listed]["objects"][:room])):
        for name in journal[listed]["objects"][:room]:
            yield [MeasuredObject.from_json(journal[key]) for key in protocol.keys([name])]
        return
    start = time.perf_counter()
    image, target = sample.read()
    read = time.perf_counter() - start
    ignored = target.ignore_mask
    visible = [i for i in target.annotations if (i.mask if ignored is None else i.mask & ~ignored).any()]
    losses = [loss.what for loss in target.losses]
    journal.add(listed, {"objects": [annotation.id for annotation in visible], "losses": losses})
    features, encode_seconds = None, 0.0  # the objects of an image share them
    for annotation in visible[:room]:
        for seed, key in zip(protocol.seeds, protocol.keys([annotation.id]), strict=True):
            if key not in journal:
                session = Session(model, image, features=features)
                row = _one_object(session, annotation, target, protocol, seed)
                features, encode_seconds = session.features, encode_seconds or row["encode"]
                journal.add(key, {**row, "image": sample.id, "read": read, "encode": encode_seconds})
        yield [MeasuredObject.from_json(journal[key]) for key in protocol.keys([annotation.id])]


def _one_object(
    session: Session, annotation: Annotation, target: AnnotatedImage, protocol: ClickProtocol, seed: int | None
) -> dict[str, Any]:
    """The journal's row of one object, without its image's."""
    masks: dict[str, Mask] = {}

    def on_click(trace: ClickTrace, mask: Mask) -> None:
        """Keep the mask after the first click, and that of the click that reached the highest target or came last."""
        if len(trace.ious) <= clicks_needed(trace.ious, protocol.highest, protocol.max_clicks):
            masks["first" if len(trace.ious) == 1 else "last"] = mask

    trace = simulate_clicks(
        session,
        annotation.mask,
        target.ignore_mask,
        max_clicks=protocol.max_clicks,
        stop_at=protocol.highest if protocol.stop_at_target else None,
        threshold=protocol.threshold,
        rng=None if seed is None else np.random.default_rng([seed, zlib.crc32(annotation.id.encode())]),
        on_click=on_click,
        initial=None if protocol.initial is None else initial_mask(annotation, protocol.initial),
    )
    assert session.prediction is not None
    grid = session.prediction.frame.grid
    return {
        "id": annotation.id,
        "area": annotation.area,
        "size": list(annotation.mask.shape),
        "ious": trace.ious,
        "boundary_ious": trace.boundary_ious,
        "clicks": [[c.x, c.y, c.positive] for c in trace.clicks],
        "seed": seed,
        "encode": trace.encode_seconds,
        "seconds": trace.click_seconds,
        "pixels": grid[0] * grid[1],
        "first": Rle.from_mask(masks["first"]).text,
        "last": Rle.from_mask(masks.get("last", masks["first"])).text,
    }


def initial_mask(annotation: Annotation, name: str) -> Mask:
    """The mask ``name`` that a data set gives an object to start from. Raises ``DataError`` where it has none."""
    files: Mapping[str, str] = annotation.extra.get("initial", {})
    if name not in files:
        there = f"one of: {', '.join(files)}" if files else "a data set with masks to start from, such as DAVIS-585"
        raise DataError(f"no initial mask '{name}' of {annotation.id}", there, "leave --initial out to start from none")
    return read_mask(files[name], annotation.rle.size)


def summarize(rows: Sequence[MeasuredObject], protocol: ClickProtocol) -> dict[str, Any]:
    """The figures of an ``EvaluateResult`` from the rows of all objects and seeds."""
    most, targets = protocol.max_clicks, protocol.targets
    ious, boundary = [r.ious for r in rows], [r.boundary_ious for r in rows]
    figures: dict[str, Any] = {
        "objects": len({r.id for r in rows}),
        "max_clicks": most,
        "noc_boundary": {f"{t:.2f}": noc(boundary, t, most) for t in targets},
        "miou_at": [round(v, 6) for v in quality_at(ious, most)],
        "mbiou_at": [round(v, 6) for v in quality_at(boundary, most)],
        "seconds": _seconds(rows),
    }
    for metric in (noc, nof, rof, unreached):
        figures[metric.__name__] = {f"{t:.2f}": metric(ious, t, most) for t in targets}
    seeds = [seed for seed in protocol.seeds if seed is not None]
    if seeds:
        figures["noc_over_seeds"] = {f"{t:.2f}": _over_seeds(rows, t, seeds, most) for t in targets}
    return figures


def _seconds(rows: Sequence[MeasuredObject]) -> EvaluateSeconds:
    clicks = [s for r in rows for s in r.seconds]
    pace = spc(sum(r.read + r.encode for r in rows) + sum(clicks), len(clicks))
    return EvaluateSeconds(
        encode_p50=float(np.median([r.encode for r in rows])),
        click_p50=float(np.median(clicks)),
        click_p95=float(np.percentile(clicks, 95)),
        spc=pace,
        pie=pie(pace, (1, round(float(np.mean([r.pixels for r in rows]))))),
    )


def _over_seeds(rows: Sequence[MeasuredObject], target: float, seeds: Sequence[int], most: int) -> OverSeeds:
    each = [noc([r.ious for r in rows if r.seed == seed], target, most) for seed in seeds]
    spread = float(np.std(each, ddof=1)) if len(each) > 1 else None
    return OverSeeds(mean=float(np.mean(each)), spread=spread, each=tuple(each), seeds=tuple(seeds))


def described_rule(model: Segmenter, threshold: float, refiner: str | None = None) -> str:
    """In words: what of an answer is mask, and what the model looked at.

    >>> from segue.models.nano.model import Nano
    >>> described_rule(with_view(Nano(longest=64), "ritm"), 0.49)
    "probability above 0.49 (RITM's rule); the whole image, then regions of its own choice, averaged with its mirror image; zoomed in to 400 pixels from click 2 on"
    """  # noqa: E501
    whose = {0.49: " (RITM's rule)", 0.5: " (the larger of two logits, InterFormer's rule)"}.get(threshold, "")
    behind = f"; refined by {refiner}" if refiner else ""
    return f"probability above {threshold:g}{whose}; {model.described_view}{behind}"


View: TypeAlias = Literal["auto", "own", "whole", "ritm", "simpleclick"]


def with_view(model: Segmenter, view: str, zoom_size: int | None = None, format: str = "") -> Segmenter:
    """``model`` under the named protocol: "own" as it was loaded, "whole" without zoom-in (InterFormer-Tiny's own
    included) or flip averaging, "ritm" with zoom-in from the second click, target 400 (600 on DAVIS), "simpleclick"
    from the first click at 448 x 448 (672 on DAVIS), both with flip averaging. ``zoom_size`` replaces the target.

    Source: RITM, section 4; SimpleClick, section 4.
    """
    shown, davis = model if view == "own" else unwrapped(model), format == "davis"
    if view == "whole" and hasattr(shown, "zoom_in"):
        shown.zoom_in(False)
    if view == "ritm":
        shown = ZoomIn(FlipAverage(shown), ZoomRule(target=zoom_size or (600 if davis else 400)))
    if view == "simpleclick":
        side = zoom_size or (672 if davis else 448)
        shown = ZoomIn(FlipAverage(shown), ZoomRule(target=(side, side), skip_clicks=-1))
    return shown
