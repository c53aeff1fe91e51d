"""What ``segue adapt`` writes beside the adapter: a page that says whether it helps, curves, overlays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from segue.adapters.base import disabled
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask, Text
from segue.data.io.drawing import YELLOW, captioned, contrasting, draw_outlines, in_rows, overlay
from segue.data.io.image import write_image
from segue.data.record import Sample
from segue.evaluation.adapt_clicks import AnnotatedObject
from segue.evaluation.adapt_result import AdaptResult, ClickAdaptResult, TextAdaptResult, TextRun
from segue.metrics.interaction import clicks_needed
from segue.metrics.overlap import iou
from segue.session.session import Session

SHOWN, SIDE, SIDES = 10, 480, ("without the adapter", "with it")
CLICK_ROWS = (
    ("noc85", "NoC85", "clicks to an IoU of 0.85"),
    ("noc90", "NoC90", "clicks to an IoU of 0.90"),
    ("bnoc85", "bNoC85", "clicks to a boundary IoU of 0.85"),
    ("bnoc90", "bNoC90", "clicks to a boundary IoU of 0.90"),
    ("miou1", "mIoU@1", "IoU after the first click"),
    ("miou5", "mIoU@5", "IoU after five clicks"),
    ("mbiou1", "mbIoU@1", "boundary IoU after the first click"),
    ("mbiou5", "mbIoU@5", "boundary IoU after five clicks"),
    ("mbiou10", "mbIoU@10", "boundary IoU after ten clicks"),
    ("failed85", "RoF85", "share of objects not at 0.85 in time"),
)
TEXT_ROWS = (("dice", "DSC (%)", 100), ("iou", "IoU (%)", 100), ("hd95", "HD95", 1))


def write_click_report(
    folder: Path,
    result: ClickAdaptResult,
    model: Segmenter,
    before: Sequence[AnnotatedObject],
    after: Sequence[AnnotatedObject],
) -> None:
    """``report.md``, ``curve.png`` and ten overlays: the objects that gained and lost most, first click each."""
    write_bytes(folder / "curve.png", click_curve(result.curve))
    write_bytes(folder / "report.md", click_page(result).encode())
    pairs = sorted(zip(before, after, strict=True), key=lambda p: _needed(p[1]) - _needed(p[0]))
    chosen = pairs if len(pairs) <= SHOWN else [*pairs[: SHOWN // 2], *pairs[-SHOWN // 2 :]]
    for i, (old, new) in enumerate(chosen):
        image, target = old.sample.read()
        mask = next(t.mask for t in target.annotations if t.id == old.id)
        with disabled(model):
            first = Session(model, image).add(old.trace.clicks[0])
        second = Session(model, image).add(new.trace.clicks[0])
        clicks = old.trace.clicks[0], new.trace.clicks[0]
        write_image(_overlay_path(folder, i, old.sample), strip(image, (first, second), mask, clicks, SIDES))


def _overlay_path(folder: Path, number: int, sample: Sample) -> Path:
    return folder / "overlays" / f"{number:02d}_{sample.id.replace('/', '__')}.jpg"


def click_page(result: ClickAdaptResult) -> str:
    """The Markdown of a click adapter's report."""
    lines = [
        *_head(result),
        f"Trained on {result.images.train} images, {_stopped(result)}, measured on "
        f"{result.images.held_out} that took no part. {result.parameters:,} learned numbers beside "
        f"{result.base_parameters:,} frozen ones. {result.steps} steps in {result.minutes:.1f} minutes "
        f"({result.processor_minutes:.1f} of processor time), at most {result.peak_memory_mb} MB; "
        f"ended because {result.ended}.",
        "",
        "| measure | before | after | change, 95 % interval | |",
        "|---|---|---|---|---|",
        *(_row(result, *row) for row in CLICK_ROWS if row[0] in result.before),
        "",
        *_random_page(result),
        "![Validation during training](curve.png)",
        "",
        "`overlays/` shows the objects that gained and lost most: the mask after the first click without the "
        "adapter (left) and with it (right), the click, and the true outline in yellow.",
        "",
    ]
    return "\n".join(lines)


def _stopped(result: ClickAdaptResult) -> str:
    if result.cross_validated:
        return f"for as long as runs on parts of them got better on the {result.images.validation} they left out"
    return f"stopped by {result.images.validation} others"


def _head(result: AdaptResult) -> list[str]:
    name = Path(result.data).name
    return [f"# {result.adapter} for {result.model} on {name}", "", result.sentence, ""]


def _row(result: ClickAdaptResult, key: str, name: str, meaning: str) -> str:
    low, high = result.change_intervals[key]
    return f"| {name} | {result.before[key]:.3f} | {result.after[key]:.3f} | {low:+.3f} to {high:+.3f} | {meaning} |"


def _random_page(result: ClickAdaptResult) -> list[str]:
    random = result.mbiou_random
    if random is None:
        return []
    sides = {"before": random.before, "after": random.after}
    return [
        "Boundary IoU when that many positive and as many negative clicks are given at once, at random places:",
        "",
        f"| clicks of each kind | {' | '.join(str(k) for k in random.clicks)} |",
        "|---" * (1 + len(random.clicks)) + "|",
        *(f"| {side} | {' | '.join(f'{v:.3f}' for v in values)} |" for side, values in sides.items()),
        "",
    ]


def write_text_report(folder: Path, result: TextAdaptResult, model: Segmenter, test: Sequence[Sample]) -> None:
    """``report.md``, ``curve.png`` and ten overlays of a text adapter."""
    write_bytes(folder / "curve.png", text_curve(result.runs))
    write_bytes(folder / "report.md", text_page(result).encode())
    with disabled(model):
        plain = [mask for _, _, mask, _ in _examples(model, test[:SHOWN])]
    for i, (old, (image, target, new, _)) in enumerate(zip(plain, _examples(model, test[:SHOWN]), strict=True)):
        write_image(_overlay_path(folder, i, test[i]), strip(image, (old, new), target, (), SIDES))


def text_page(result: TextAdaptResult) -> str:
    """The Markdown of a text adapter's report: the layout of VLSM-Adapter's table 1."""
    name = Path(result.data).name
    lines = [
        *_head(result),
        f"Trained on {result.images.train} images, stopped by {result.images.validation} others, measured on "
        f"{result.images.held_out} that took no part; {len(result.runs)} seed(s), "
        f"{result.minutes:.1f} minutes together.",
        "",
        f"| data set | measure | before | {result.adapter} ({result.parameters / 1e6:.2f} M) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {n} | {_spread(result.before[k], s)} | {_spread(result.after[k], s)} |"
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


def text_curve(runs: Sequence[TextRun]) -> bytes:
    """PNG of loss and validation Dice over epochs, a line per seed."""
    figure = Figure((7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in runs:
        left.plot([r["val_loss"] for r in run.curve], label=f"seed {run.seed}")
        right.plot([r["val_dice"] for r in run.curve])
    left.set(xlabel="epoch", ylabel="validation loss")
    left.legend()
    right.set(xlabel="epoch", ylabel="validation Dice")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _needed(annotated: AnnotatedObject) -> float:
    return clicks_needed(annotated.trace.ious, 0.85) - annotated.trace.ious[0]


def _spread(value: Mapping[str, float], scale: float) -> str:
    return f"{scale * value['mean']:.2f} ± {scale * value['spread']:.2f}"


def strip(image: Image, masks: Sequence[Mask], target: Mask, clicks: Sequence[Click], names: Sequence[str]) -> Image:
    """The image with each mask and its click, the true outline in yellow over all; below, name and IoU.

    >>> import numpy as np
    >>> strip(np.zeros((4, 6, 3), np.uint8), [np.ones((4, 6), bool)] * 2, np.eye(4, 6, dtype=bool), (), SIDES).shape
    (534, 972, 3)
    """
    tiles = []
    for k, (mask, name) in enumerate(zip(masks, names, strict=True)):
        drawn = overlay(image, mask, clicks[k : k + 1], contrasting(image, target))
        draw_outlines(drawn, target, YELLOW, max(1, round(max(target.shape) / 400)))
        tiles.append(captioned(drawn, name, f"IoU {iou(mask, target):.2f}", SIDE))
    return in_rows(tiles, tiles[0].shape[:2], columns=len(tiles), gap=4)


def _examples(model: Segmenter, samples: Sequence[Sample]) -> Iterator[tuple[Image, Mask, Mask, str]]:
    """(image, truth, predicted mask, text) of the first object of each sample, for pictures."""
    for sample in samples:
        image, target = sample.read()
        if target.annotations:
            first = target.annotations[0]
            predicted = model.decode(model.encode([image]), [Text(first.texts[0])]).mask()
            yield image, first.mask, predicted, first.texts[0]
