"""What texts say of a model on images with masks, before an adapter and after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from segue.adapters.base import disabled
from segue.core.segmenter import Segmenter
from segue.core.types import Mask, Text
from segue.data.record import Sample
from segue.evaluation.adapt_result import TextRun
from segue.evaluation.adapt_verdict import Change, Verdict, verdict
from segue.metrics.distance import hd95
from segue.metrics.overlap import dice, iou

MEASURES: Mapping[str, Callable[[Mask, Mask], float]] = {
    "dice": dice,
    "iou": lambda a, b: iou(a, b, empty=1.0),
    "hd95": hd95,
}


@dataclass(frozen=True)
class TextScore:
    """One object of the held-out images: its text and its measures."""

    id: str
    image: str
    text: str
    dice: float
    iou: float
    hd95: float


BeforeAfter: TypeAlias = tuple[list[TextScore], list[TextScore]]


def score_texts(model: Segmenter, samples: Sequence[Sample], seed: int = 0) -> list[TextScore]:
    """Dice, IoU and HD95 of every object at its image's own size, one text drawn for each by ``seed``.

    Two empty masks agree (Dice and IoU 1); an empty mask against another has Dice and IoU 0 and no HD95 (nan).
    """
    rng = np.random.default_rng(seed)
    scores: list[TextScore] = []
    for sample in samples:
        image, target = sample.read()
        features = model.encode([image])
        for instance in target.annotations:
            text = instance.texts[int(rng.integers(len(instance.texts)))]
            mask = model.decode(features, [Text(text)]).mask()
            measured = {k: measure(mask, instance.mask) for k, measure in MEASURES.items()}
            scores.append(TextScore(instance.id, sample.id, text, **measured))
    return scores


def before_and_after(model: Segmenter, samples: Sequence[Sample], seed: int) -> BeforeAfter:
    """Scores without any adapter and with all of them, on the same texts."""
    with disabled(model):
        before = score_texts(model, samples, seed)
    return before, score_texts(model, samples, seed)


def text_means(scores: Sequence[TextScore]) -> dict[str, float]:
    """Means over objects; HD95 over those that have one."""
    columns = {k: np.array([getattr(s, k) for s in scores], float) for k in MEASURES}
    return {k: float(np.nanmean(v)) if np.isfinite(v).any() else math.nan for k, v in columns.items()}


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and spread (population deviation) of every measure over runs.

    >>> over_seeds([{"dice": 0.5}, {"dice": 0.75}])
    {'dice': {'mean': 0.625, 'spread': 0.125}}
    """
    columns = {k: [r[k] for r in runs] for k in runs[0]}
    return {k: {"mean": float(np.mean(v)), "spread": float(np.std(v))} for k, v in columns.items()}


def text_run_result(
    seed: int, scores: BeforeAfter, rows: Sequence[Mapping[str, float]], best_epoch: int, minutes: float
) -> TextRun:
    """One seed's run: its measures on held-out objects and the course of training."""
    before, after = scores
    dice_change = _change("dice", scores)
    return TextRun(
        seed=seed,
        before=text_means(before),
        after=text_means(after),
        dice_gain_interval=(dice_change.low, dice_change.high),
        epochs=len(rows),
        best_epoch=best_epoch,
        minutes=minutes,
        curve=tuple(dict(row) for row in rows),
    )


def text_verdict(seeds: Sequence[BeforeAfter]) -> Verdict:
    """The verdict by Dice, IoU and HD95 beside it; beyond chance is what is so for every seed."""
    dice_change, *others = (_over_seeds([_change(measure, scores) for scores in seeds]) for measure in MEASURES)
    objects = seeds[0][0]
    return verdict(dice_change, others, len({o.image for o in objects}), len(objects))


def _change(measure: str, scores: BeforeAfter) -> Change:
    sign = -1 if measure == "hd95" else 1
    gains = [sign * (getattr(b, measure) - getattr(a, measure)) for a, b in zip(*scores, strict=True)]
    words = {"dice": ("raises Dice by {}", "lowers Dice by {}"), "iou": ("raises IoU by {}", "lowers IoU by {}")}
    better, worse = words.get(measure, ("lowers HD95 by {} pixels", "raises HD95 by {} pixels"))
    return Change.from_gains(better, worse, gains, [score.image for score in scores[0]])


def _over_seeds(changes: Sequence[Change]) -> Change:
    first, mean = changes[0], float(np.mean([c.mean for c in changes]))
    return Change(first.better, first.worse, mean, min(c.low for c in changes), max(c.high for c in changes))
