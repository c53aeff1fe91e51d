"""What ``segue adapt`` writes beside the adapter: a page that says whether it helps, curves, overlays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from segue.adapters.base import disabled
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import Image, Mask, Text
from segue.data.io.drawing import YELLOW, draw_outlines, overlay
from segue.data.io.image import write_image
from segue.data.record import Sample
from segue.evaluation.adapt_measure import Played
from segue.metrics.interaction import clicks_needed
from segue.session.session import Session

SHOWN = 10
CLICK_ROWS = (
    ("noc85", "NoC85", "clicks to an IoU of 0.85"),
    ("noc90", "NoC90", "clicks to an IoU of 0.90"),
    ("bnoc85", "bNoC85", "clicks to a boundary IoU of 0.85"),
    ("miou1", "mIoU@1", "IoU after the first click"),
    ("miou5", "mIoU@5", "IoU after five clicks"),
    ("mbiou1", "mbIoU@1", "boundary IoU after the first click"),
    ("failed85", "RoF85", "share of objects not at 0.85 in time"),
)
TEXT_ROWS = (("dice", "DSC (%)", 100), ("iou", "IoU (%)", 100), ("hd95", "HD95", 1))


def write_click_report(
    folder: Path, result: Mapping[str, Any], model: Segmenter, before: Sequence[Played], after: Sequence[Played]
) -> None:
    """``report.md``, ``curve.png`` and ten overlays: the objects that gained and lost most, first click each."""
    write_bytes(folder / "curve.png", click_curve(result["curve"]))
    write_bytes(folder / "report.md", click_page(result).encode())
    pairs = sorted(zip(before, after, strict=True), key=lambda p: _needed(p[1]) - _needed(p[0]))
    chosen = pairs if len(pairs) <= SHOWN else [*pairs[: SHOWN // 2], *pairs[-SHOWN // 2 :]]
    for i, (old, new) in enumerate(chosen):
        image, target = old.sample.read()
        mask = next(t.mask for t in target.annotations if t.id == old.id)
        with disabled(model):
            first = Session(model, image).add(old.course.clicks[0])
        second = Session(model, image).add(new.course.clicks[0])
        write_image(
            folder / "overlays" / f"{i:02d}_{old.sample.id.replace('/', '__')}.jpg",
            side_by_side(image, (first, second), mask),
        )


def click_page(result: Mapping[str, Any]) -> str:
    """The Markdown of a click adapter's report."""
    images, saved = result["images"], result["clicks_saved_interval"]
    lines = [
        f"# {result['adapter']} for {result['model']} on {Path(result['data']).name}",
        "",
        verdict(result, f"saves {result['clicks_saved']:.2f} clicks an object at an IoU of 0.85", saved),
        "",
        f"Trained on {images['train']} images, stopped by {images['validation']} others, measured on "
        f"{images['held_out']} that took no part. {result['parameters']:,} learned numbers beside "
        f"{result['base_parameters']:,} frozen ones. {result['steps']} steps in {result['minutes']:.1f} minutes "
        f"({result['processor_minutes']:.1f} of processor time), at most {result['peak_memory_mb']} MB; "
        f"ended because {result['ended']}.",
        "",
        "| measure | before | after | change, 95 % interval | |",
        "|---|---|---|---|---|",
        *(_row(result, *row) for row in CLICK_ROWS if row[0] in result["before"]),
        "",
        *_random_page(result),
        "![Validation during training](curve.png)",
        "",
        "`overlays/` shows the objects that gained and lost most: the mask after the first click without the "
        "adapter (left) and with it (right), and the true outline.",
        "",
    ]
    return "\n".join(lines)


def _row(result: Mapping[str, Any], key: str, name: str, meaning: str) -> str:
    low, high = result["change_intervals"][key]
    before, after = result["before"][key], result["after"][key]
    return f"| {name} | {before:.3f} | {after:.3f} | {low:+.3f} to {high:+.3f} | {meaning} |"


def _random_page(result: Mapping[str, Any]) -> list[str]:
    if "mbiou_random" not in result:
        return []
    random = result["mbiou_random"]
    return [
        "Boundary IoU when that many positive and as many negative clicks are given at once, at random places:",
        "",
        f"| clicks of each kind | {' | '.join(str(k) for k in random['clicks'])} |",
        "|---" * (1 + len(random["clicks"])) + "|",
        *(f"| {side} | {' | '.join(f'{v:.3f}' for v in random[side])} |" for side in ("before", "after")),
        "",
    ]


def write_text_report(folder: Path, result: Mapping[str, Any], model: Segmenter, test: Sequence[Sample]) -> None:
    """``report.md``, ``curve.png`` and ten overlays of a text adapter."""
    write_bytes(folder / "curve.png", text_curve(result["runs"]))
    write_bytes(folder / "report.md", text_page(result).encode())
    with disabled(model):
        plain = [mask for _, _, mask, _ in _examples(model, test[:SHOWN])]
    for i, (old, (image, target, said, _)) in enumerate(zip(plain, _examples(model, test[:SHOWN]), strict=True)):
        write_image(
            folder / "overlays" / f"{i:02d}_{test[i].id.replace('/', '__')}.jpg",
            side_by_side(image, (old, said), target),
        )


def text_page(result: Mapping[str, Any]) -> str:
    """The Markdown of a text adapter's report: the layout of VLSM-Adapter's table 1."""
    images, runs = result["images"], result["runs"]
    gains = [r["dice_gain_interval"] for r in runs]
    gain = result["after"]["dice"]["mean"] - result["before"]["dice"]["mean"]
    name = Path(result["data"]).name
    lines = [
        f"# {result['adapter']} for {result['model']} on {name}",
        "",
        verdict(
            result, f"raises Dice by {100 * gain:.1f} points", [min(g[0] for g in gains), max(g[1] for g in gains)]
        ),
        "",
        f"Trained on {images['train']} images, stopped by {images['validation']} others, measured on "
        f"{images['held_out']} that took no part; {len(runs)} seed(s), {result['minutes']:.1f} minutes together.",
        "",
        f"| data set | measure | before | {result['adapter']} ({result['parameters'] / 1e6:.2f} M) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {n} | {_spread(result['before'][k], s)} | {_spread(result['after'][k], s)} |"
            for k, n, s in TEXT_ROWS
        ),
        "",
        "Two empty masks agree (Dice and IoU 1). HD95 is in pixels of the original image and leaves out objects "
        "where one of the masks is empty.",
        "",
        "![Validation during training](curve.png)",
        "",
        "`overlays/`: without the adapter (left), with it (right), and the true outline.",
        "",
    ]
    return "\n".join(lines)


def verdict(result: Mapping[str, Any], gain: str, interval: Sequence[float]) -> str:
    """One sentence: recommended or not."""
    bounds = f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
    if result["helps"]:
        return f"**It helps**: it {gain} ({bounds})."
    return f"**It does not help, do not use it**: measured, it {gain} ({bounds}), which may be chance or harm."


def click_curve(rows: Sequence[Mapping[str, float]]) -> bytes:
    """PNG of validation NoC and the first click's IoU over the minutes of training."""
    figure = Figure((7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    minutes = [r["minutes"] for r in rows]
    left.plot(minutes, [r["noc"] for r in rows], "o-")
    left.set(xlabel="minutes", ylabel="validation NoC")
    right.plot(minutes, [r["miou1"] for r in rows], "o-")
    right.set(xlabel="minutes", ylabel="validation mIoU@1")
    return _png(figure)


def text_curve(runs: Sequence[Mapping[str, Any]]) -> bytes:
    """PNG of loss and validation Dice over epochs, a line per seed."""
    figure = Figure((7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in runs:
        left.plot([r["val_loss"] for r in run["curve"]], label=f"seed {run['seed']}")
        right.plot([r["val_dice"] for r in run["curve"]])
    left.set(xlabel="epoch", ylabel="validation loss")
    left.legend()
    right.set(xlabel="epoch", ylabel="validation Dice")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _needed(played: Played) -> float:
    return clicks_needed(played.course.ious, 0.85) - played.course.ious[0]


def _spread(value: Mapping[str, float], scale: float) -> str:
    return f"{scale * value['mean']:.2f} ± {scale * value['spread']:.2f}"


def side_by_side(image: Image, masks: Sequence[Mask], target: Mask) -> Image:
    """The image with each mask, and the outline of the true one in yellow over all.

    >>> side_by_side(np.zeros((4, 6, 3), np.uint8), [np.ones((4, 6), bool)] * 2, np.eye(4, 6, dtype=bool)).shape
    (4, 12, 3)
    """
    return np.concatenate([draw_outlines(overlay(image, mask), target, YELLOW, 1, cv2.LINE_8) for mask in masks], 1)


def _examples(model: Segmenter, samples: Sequence[Sample]) -> Iterator[tuple[Image, Mask, Mask, str]]:
    """(image, truth, mask said, text) of the first object of each sample, for pictures."""
    for sample in samples:
        image, target = sample.read()
        if target.annotations:
            first = target.annotations[0]
            said = model.decode(model.encode([image]), [Text(first.texts[0])]).mask()
            yield image, first.mask, said, first.texts[0]
