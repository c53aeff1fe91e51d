"""``segue calibrate``: how sure a find is, measured on one's own photos, for the model that will search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.arrays import resize
from segue.core.errors import DataError
from segue.core.geometry import mask_box
from segue.core.types import Box, Image, Mask, Reference
from segue.data.formats.registry import open_data
from segue.data.record import Annotation, Options, Sample
from segue.jobs.job import job
from segue.jobs.output import Force, claim_output
from segue.jobs.progress import progress
from segue.metrics.overlap import iou
from segue.oneshot.calibration import (
    Calibration,
    ReliabilityBin,
    evidence_table,
    fit_logistic,
    reliability,
    threshold_for,
)
from segue.oneshot.finder import Choose, Finder
from segue.oneshot.pasted import pasted
from segue.oneshot.search import finder
from segue.session.config import CommandLine, JobResult, ModelChoice
from segue.session.session import segment

AREA = 0.04, 0.6  # of a subject, of its photo
LONGEST = 640  # pixels of a photo's longer side
FOLDS = 5
Scores: TypeAlias = NDArray[np.float64]


class CalibrateConfig(ModelChoice):
    """What ``segue calibrate`` takes: data sets with masks and class names, of which it draws subjects by itself.

    Each subject is shown by a box, and looked for in photos into which it is pasted, turned and in another light, in
    other photos of its class where a class is one object (``same_class``), and in photos without its class.
    """

    data: Annotated[
        tuple[Path, ...],
        Field(description="Data sets with masks and class names.", min_length=1),
        CommandLine(positional=True),
    ]
    format: Annotated[str, Field(description="Their format, or auto.")] = "auto"
    output: Annotated[Path, Field(description="The file to write, .json; segue find reads it as --calibration.")]
    subjects: Annotated[int, Field(description="Objects that are shown.", ge=FOLDS)] = 60
    own: Annotated[int, Field(description="Photos with each of them.", ge=1)] = 2
    others: Annotated[int, Field(description="Photos without it.", ge=1)] = 8
    same_class: Annotated[
        tuple[str, ...], Field(description="A class whose objects all look alike: its photos are photos of the object.")
    ] = ()
    false_rate: Annotated[float, Field(description="Share of false finds that the threshold allows.", gt=0, lt=1)] = (
        0.02
    )
    near: Annotated[bool, Field(description="Look again, from near, at what was found: one more encoding a find.")] = (
        True
    )
    fit_scale: Annotated[bool, Field(description="For PerSAM-F over a SAM.")] = False
    choose: Annotated[Choose | None, Field(description="What chooses among candidate masks, as in segue find.")] = None
    seed: Annotated[int, Field(description="Of everything that is drawn.")] = 0
    force: Force = False


class CalibrateResult(JobResult):
    """What a calibration is worth on subjects and photos that were held out in turn (``FOLDS`` folds): the share of
    the subjects' own photos that are found (``recall``) and of other photos in which something is (``false_finds``) at
    the ``threshold``, the reliability curve and its ``calibration_error``; ``located`` is the recall without a
    threshold."""

    model: str
    output: Path
    subjects: int
    photos: int
    threshold: float
    recall: float
    located: float
    false_finds: float
    calibration_error: float
    reliability: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class Trial:
    """One search: whether the photo shows the subject, whether the mask found lies on it, its evidence by name, and
    which ``fold`` holds it out."""

    fold: int
    own: bool
    right: bool
    evidence: dict[str, float]


@job(CalibrateConfig)
def calibrate(config: CalibrateConfig) -> CalibrateResult:
    """Search for subjects where they are and where they are not; fit, from the evidence, the probability of a find.

    Every subject and every photo belongs to one of ``FOLDS`` folds and is judged by what was fitted on the others; the
    threshold is chosen on those judgements, the weights that are written are fitted on all. Raises ``DataError`` where
    the data sets have too few objects or photos.
    """
    claim_output(config.output.parent, (config.output.name,), force=config.force)
    seeker = finder(config.load(), fit_scale=config.fit_scale, choose=config.choose)
    seeker.calibration = None
    samples = [s for folder in config.data for s in open_data(folder, config.format, Options()).samples]
    total = config.subjects * (config.own + config.others)
    trials = list(progress(run_trials(config, seeker, samples), total, "calibrate", "searches"))
    calibration, result = fit_calibration(config, trials)
    calibration.save(config.output)
    return result


def fit_calibration(config: CalibrateConfig, trials: Sequence[Trial]) -> tuple[Calibration, CalibrateResult]:
    """The calibration of all ``trials``, and its worth where they were held out."""
    names = sorted(trials[0].evidence)
    table = evidence_table([t.evidence for t in trials], names)
    own, right, folds = (np.array([getattr(t, field) for t in trials]) for field in ("own", "right", "fold"))
    log_odds = np.zeros(len(trials))
    for fold in range(FOLDS):
        weights, bias = fit_logistic(table[folds != fold], right[folds != fold])
        log_odds[folds == fold] = table[folds == fold] @ weights + bias
    (stretch,), shift = fit_logistic(log_odds[:, None], right, ridge=1e-3)  # what the ridge took from the odds
    said = _probability(stretch * log_odds + shift)
    threshold = threshold_for(said[~own], config.false_rate)
    curve, error = reliability(said, right)
    result = CalibrateResult(
        model=config.model,
        output=config.output,
        subjects=config.subjects,
        photos=len(trials),
        threshold=round(threshold, 4),
        recall=round(float((right & (said >= threshold)).sum() / own.sum()), 4),
        located=round(float(right.sum() / own.sum()), 4),
        false_finds=round(float((said[~own] >= threshold).mean()), 4),
        calibration_error=round(error, 4),
        reliability=tuple(_row(b) for b in curve),
    )
    weights, bias = fit_logistic(table, right)
    weights, bias = stretch * weights, stretch * bias + shift
    figures = result.model_dump(mode="json", exclude={"output", "model", "threshold"})
    named = dict(zip(names, np.round(weights, 4).tolist(), strict=True))
    return Calibration(config.model, named, round(bias, 4), result.threshold, figures), result


def _row(row: ReliabilityBin) -> tuple[float, float, int]:
    return row.said, row.seen, row.count


def _probability(log_odds: Scores) -> Scores:
    return np.asarray(1 / (1 + np.exp(-log_odds)), np.float64)


def run_trials(config: CalibrateConfig, seeker: Finder, samples: Sequence[Sample]) -> Iterator[Trial]:
    """The searches for ``config.subjects`` objects drawn from ``samples``."""
    chance = np.random.default_rng(config.seed)
    order = [samples[i] for i in chance.permutation(len(samples))]
    parts = [order[fold::FOLDS] for fold in range(FOLDS)]
    shown = 0

    @cache
    def names(sample: Sample) -> frozenset[str]:
        return frozenset(a.name for a in sample.load().annotations)

    for count, sample in enumerate(order):
        if shown == config.subjects:
            return
        fold = count % FOLDS
        image, annotations = photo(sample)
        subject = _subject(image, annotations)
        if subject is None:
            continue
        mask = segment(seeker.inner, image, [Box(*map(float, mask_box(subject.mask) or ()))])
        photos = [part for i in chance.permutation(len(parts[fold])) if (part := parts[fold][i]) is not sample]
        drawn = list(islice((p for p in photos if subject.name not in names(p)), config.others + config.own))
        if not mask.any() or len(drawn) < config.others + config.own:
            continue
        same = (p for p in photos if subject.name in names(p)) if subject.name in config.same_class else iter(())
        real = list(islice(same, config.own))
        reference = Reference(image, mask)
        for other in drawn[: config.others]:
            yield _trial(config, seeker, fold, reference, photo(other)[0], [])
        grounds = drawn[config.others + len(real) :]
        for own, targets in _own(chance, subject, image, real, grounds):
            yield _trial(config, seeker, fold, reference, own, targets)
        shown += 1
    raise DataError(
        f"{shown} subjects of a fit size", f"{config.subjects}", "name more data, or ask for fewer subjects"
    )


def _own(
    chance: np.random.Generator, subject: Annotation, image: Image, real: Sequence[Sample], grounds: Sequence[Sample]
) -> Iterator[tuple[Image, list[Mask]]]:
    """Photos of the subject, ``real`` ones and ``grounds`` with it pasted in; the masks of all that may be meant."""
    for sample in real:
        pixels, annotations = photo(sample)
        yield pixels, [a.mask for a in annotations if a.name == subject.name]
    for ground in grounds:
        pixels, mask = pasted(photo(ground)[0], image, subject.mask, chance)
        yield pixels, [mask]


def _trial(
    config: CalibrateConfig, seeker: Finder, fold: int, reference: Reference, image: Image, targets: Sequence[Mask]
) -> Trial:
    features = seeker.encode([image])
    match = seeker.find(features, reference)
    mask, evidence = match.prediction.mask(), dict(match.evidence)
    if config.near:
        evidence |= seeker.look_closer(features, reference, mask if mask.any() else np.ones_like(mask))
    return Trial(fold, bool(targets), any(iou(mask, target) > 0.5 for target in targets), evidence)


def _subject(image: Image, annotations: Sequence[Annotation]) -> Annotation | None:
    """The largest object of a fit size."""
    fit = [a for a in annotations if AREA[0] < a.area / (image.shape[0] * image.shape[1]) < AREA[1]]
    return max(fit, key=lambda a: a.area, default=None)


def photo(sample: Sample) -> tuple[Image, list[Annotation]]:
    """The image and its objects, the longer side at most ``LONGEST`` pixels."""
    image, annotated = sample.read()
    scale = LONGEST / max(image.shape[:2])
    if scale >= 1:
        return image, list(annotated.annotations)
    size = round(image.shape[0] * scale), round(image.shape[1] * scale)
    small = np.ascontiguousarray(resize(image.transpose(2, 0, 1), size, antialias=True).transpose(1, 2, 0))
    masks = [(a, resize(a.mask.astype(np.float32), size, antialias=True) > 0.5) for a in annotated.annotations]
    return small, [Annotation.from_mask(mask, a.name, a.id) for a, mask in masks]
