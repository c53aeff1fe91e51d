"""Answers as InterFormer's figure 6 shows them: the clicks, the logits as a heat map, and the mask with its IoU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segue.core.arrays import logit
from segue.core.geometry import outlines
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask, Probability
from segue.data.record import Annotation, Sample
from segue.evaluation.click_protocol import initial_mask
from segue.evaluation.results import EvaluateResult, MeasuredObject
from segue.metrics.interaction import clicks_needed
from segue.metrics.overlap import iou
from segue.session.session import Session

SHARES = (0.1, 0.5, 0.9)  # of the objects in the order of the clicks they needed: an easy, a middling, a hard one
SURE = 6.0  # logits are drawn up to this, a probability of 0.9975


def answers(
    model: Segmenter, rows: Sequence[MeasuredObject], samples: Sequence[Sample], result: EvaluateResult
) -> Figure:
    """A line for an easy, a middling and a hard object: its clicks until the highest target of ``result`` was reached,
    the logits, the mask. ``model`` answers the clicks of ``rows`` once more. Source: InterFormer, figure 6."""
    chosen, by_id = _spread(rows, result), {sample.id: sample for sample in samples}
    figure = Figure(figsize=(9, 3 * len(chosen)), layout="constrained")
    lines = figure.subplots(len(chosen), 3, squeeze=False)
    for axes, row in zip(lines, chosen, strict=True):
        image, target = by_id[row.image].read()
        annotation = next(a for a in target.annotations if a.id == row.id)
        clicks = [Click(*click) for click in row.clicks[: _used(row, result)]]
        probability, mask = _answered(model, image, annotation, clicks, result)
        _clicks(axes[0], image, clicks, f"{row.id[-28:]}: {len(clicks)} click{'s' * (len(clicks) > 1)}")
        drawn = axes[1].imshow(logit(probability), cmap="jet", vmin=-SURE, vmax=SURE)
        _outlined(axes[2], image, mask, annotation.mask, iou(mask, annotation.mask, target.ignore_mask))
        for one in axes:
            one.set_axis_off()
    lines[0][1].set_title("logits", fontsize=9)
    figure.colorbar(drawn, ax=lines, location="bottom", shrink=0.4, aspect=30)
    return figure


def _used(row: MeasuredObject, result: EvaluateResult) -> int:
    highest = max(float(target) for target in result.noc)
    return min(clicks_needed(row.ious, highest, result.max_clicks), len(row.clicks))


def _spread(rows: Sequence[MeasuredObject], result: EvaluateResult) -> list[MeasuredObject]:
    """Those at ``SHARES`` of the objects, sorted by clicks and last IoU; none twice."""
    ranked = sorted(rows, key=lambda row: (_used(row, result), -row.ious[-1]))
    return [ranked[i] for i in sorted({int(share * len(ranked)) for share in SHARES})]


def _answered(
    model: Segmenter, image: Image, annotation: Annotation, clicks: Sequence[Click], result: EvaluateResult
) -> tuple[Probability, Mask]:
    """Probability (H, W) and mask after all ``clicks``, one by one, as when they were measured."""
    session = Session(model, image, threshold=result.threshold)
    if result.initial is not None:
        session.set_mask(initial_mask(annotation, result.initial))
    for click in clicks:
        mask = session.add(click)
    assert session.prediction is not None
    return session.prediction.probability(), mask


def _clicks(axes: Axes, image: Image, clicks: Sequence[Click], title: str) -> None:
    axes.imshow(image)
    for positive, colour in ((True, "lime"), (False, "red")):
        xs, ys = ([getattr(c, side) + 0.5 for c in clicks if c.positive == positive] for side in "xy")
        axes.scatter(xs, ys, 70, marker="*", color=colour, edgecolors="black", linewidths=0.6)
    axes.set_title(title, fontsize=9)


def _outlined(axes: Axes, image: Image, mask: Mask, target: Mask, reached: float) -> None:
    shade = np.where(mask[..., None], image, image // 4)
    axes.imshow(shade)
    for ring in outlines(target):
        around = np.concatenate([ring[:, 0], ring[:1, 0]])
        axes.plot(around[:, 0], around[:, 1], color="gold", linewidth=0.8)
    axes.set_title(f"IoU {reached:.3f}", fontsize=9)
