"""The report of an evaluation: a Markdown page, plots of one or several runs, the worst objects to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask
from segue.data.io.drawing import YELLOW, contact_sheet, draw_outlines, overlay
from segue.data.io.image import write_image
from segue.data.record import DataSet
from segue.data.rle import Rle
from segue.evaluation.answers import answers
from segue.evaluation.results import EvaluateResult, FirstClicks, MeasuredObject, ObjectTrace
from segue.metrics.interaction import clicks_needed

AREA_RATIOS = tuple(k / 10 for k in range(9))
WORST = 12
T = TypeVar("T", bound=ObjectTrace)
SIDE = 320


def write_report(
    folder: Path,
    result: EvaluateResult,
    others: Sequence[EvaluateResult],
    rows: Sequence[MeasuredObject],
    data: DataSet,
    model: Segmenter,
) -> None:
    """Write ``report.md``, ``quality.png``, ``histogram.png``, ``area.png``, ``worst.jpg`` and ``answers.png`` into
    ``folder``.

    ``result`` is the run reported on, ``others`` earlier results drawn over it; ``rows`` are the objects of the former
    with their last masks, ``model`` what answered them; ``first_clicks.png`` and ``random_clicks.png`` too where the
    run tried those. Raises ``StorageError`` if the disk refuses.
    Source: InterFormer, figures 4 (NoC by object area), 5 (mIoU after each click) and 6 (answers as heat maps);
    ClickAdapter, figure 5 (clicks at random places).

    >>> Path("report.md").suffix
    '.md'
    """
    runs = dict(zip(_labels([result, *others]), [result, *others], strict=True))
    write_bytes(folder / "quality.png", _png(_quality(runs)))
    write_bytes(folder / "histogram.png", _png(_histogram(runs)))
    write_bytes(folder / "area.png", _png(_area(runs)))
    if result.first_clicks is not None:
        write_bytes(folder / "first_clicks.png", _png(_first_clicks(result.first_clicks)))
    if any(run.random_clicks for run in runs.values()):
        write_bytes(folder / "random_clicks.png", _png(_random_clicks(runs)))
    write_bytes(folder / "answers.png", _png(answers(model, rows, data.samples, result)))
    worst = worst_rows(rows, max(float(t) for t in result.noc), result.max_clicks)
    write_image(folder / "worst.jpg", contact_sheet(_tiles(worst, data, result), columns=3, side=2 * SIDE))
    write_bytes(folder / "report.md", page(runs, worst).encode())


def worst_rows(rows: Sequence[T], target: float, most: int) -> list[T]:
    """The objects that took the most clicks to ``target``; among equals those that ended worst. One row each.

    >>> rows = [ObjectTrace.model_construct(id=name, ious=(iou,)) for name, iou in (("a", 0.9), ("b", 0.1), ("c", 0.5))]
    >>> [row.id for row in worst_rows(rows, 0.9, 1)]
    ['b', 'c', 'a']
    """
    ranked = sorted(rows, key=lambda r: (-clicks_needed(r.ious, target, most), r.ious[-1]))
    worst: dict[str, T] = {}
    for row in ranked:
        worst.setdefault(row.id, row)
    return list(worst.values())[:WORST]


def page(runs: Mapping[str, EvaluateResult], worst: Sequence[ObjectTrace]) -> str:
    """The Markdown of a report on ``runs`` (label -> result), the first of which is the one reported on."""
    label, result = next(iter(runs.items()))
    targets = list(result.noc)
    lines = [
        f"# {label} on {Path(result.data).name}",
        "",
        f"{result.objects} objects, at most {result.max_clicks} clicks each, {result.clicks} clicks; "
        f"format {result.format}. NoC: mean clicks to an IoU, a failure counting as "
        f"{result.max_clicks}. NoF: objects that used all clicks, a success on the last included, as published. "
        "bNoC: NoC of boundary IoU.",
        *(
            f"\n{name} stopped at its highest target: its curves keep the last value from there on."
            for name, run in runs.items()
            if run.stop_at_target
        ),
        "",
        *_table(runs, targets),
        "",
        "Scored as:",
        "",
        *(f"- {name}: {rule_of(run)}" for name, run in runs.items()),
        "",
    ]
    for t, noc in (result.noc_over_seeds or {}).items():
        spread = "" if noc.spread is None else f" ± {noc.spread:.3f}"
        each = ", ".join(f"{v:.2f}" for v in noc.each)
        lines.append(f"NoC{_percent(t)} over seeds {list(noc.seeds)}: {noc.mean:.3f}{spread} ({each})\n")
    lines += [
        "![mIoU and boundary mIoU after each click](quality.png)",
        "",
        "![How many objects needed how many clicks](histogram.png)",
        "",
        "![NoC of objects larger than a share of the image, and how many there are](area.png)",
        "",
        *(["![Clicks needed by the place of the first click](first_clicks.png)", ""] if result.first_clicks else []),
        *_random_page(runs),
        "![Clicks, the answer as a heat map, and the mask](answers.png)",
        "",
        f"## The {len(worst)} worst objects",
        "",
        f"First after one click, then when IoU {targets[-1]} was reached or the clicks were used up. "
        "Blue: the mask. Yellow: the true outline. Green and red: clicks on and off the object, in order.",
        "",
        "![worst objects](worst.jpg)",
        "",
        f"| object | area | clicks to {targets[-1]} | IoU after 1 | last IoU |",
        "|---|---|---|---|---|",
        *(
            f"| {r.id} | {r.area} | {clicks_needed(r.ious, float(targets[-1]), result.max_clicks)} "
            f"| {r.ious[0]:.3f} | {r.ious[-1]:.3f} |"
            for r in worst
        ),
        "",
    ]
    return "\n".join(lines)


def rule_of(run: EvaluateResult) -> str:
    """At which threshold and in which view ``run`` was scored; results of older versions tell only so much."""
    return f"view `{run.view}`, {run.rule or f'probability above {run.threshold:g}'}"


def _random_page(runs: Mapping[str, EvaluateResult]) -> list[str]:
    curves = {label: run.random_clicks for label, run in runs.items() if run.random_clicks}
    if not curves:
        return []
    counts = sorted({k for curve in curves.values() for k in curve.clicks})
    lines = ["Boundary mIoU with that many positive and as many negative clicks at random places, given at once:", ""]
    lines += [f"| run | {' | '.join(map(str, counts))} |", "|---" * (1 + len(counts)) + "|"]
    for label, curve in curves.items():
        at = dict(zip(curve.clicks, curve.mbiou, strict=True))
        lines.append(f"| {label} | {' | '.join(f'{at[k]:.3f}' if k in at else '' for k in counts)} |")
    return [*lines, "", "![Boundary mIoU with random clicks](random_clicks.png)", ""]


def _table(runs: Mapping[str, EvaluateResult], targets: Sequence[str]) -> list[str]:
    heads = [f"NoC{_percent(t)}" for t in targets] + [f"NoF{_percent(t)}" for t in targets[-2:]]
    heads += [f"never {_percent(targets[-1])}"]
    heads += [f"bNoC{_percent(targets[-1])}", "mIoU@1", "mIoU@5", "encode s", "click s", "SPC"]
    lines = [f"| run | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for label, run in runs.items():
        seconds, miou = run.seconds, run.miou_at
        cells = [_cell(run.noc, t) for t in targets] + [_cell(run.nof, t) for t in targets[-2:]]
        cells += [_cell(run.unreached, targets[-1]), _cell(run.noc_boundary, targets[-1])]
        cells += [f"{miou[0]:.3f}", f"{miou[min(4, len(miou) - 1)]:.3f}"]
        cells += [f"{seconds.encode_p50:.3f}", f"{seconds.click_p50:.3f}", f"{seconds.spc:.3f}"]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _cell(figures: Mapping[str, float], target: str) -> str:
    value = figures.get(target)
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def _percent(target: str) -> str:
    return f"{100 * float(target):.0f}"


def _labels(runs: Sequence[EvaluateResult]) -> list[str]:
    """A name for each run: model and adapter, refiner, threshold, clicks or view where those differ, numbered where all
    agree."""
    names = [Path(r.model).name + (f" + {r.adapter.name}" if r.adapter else "") for r in runs]
    for key in ("refiner", "threshold", "clicks", "view", "format"):
        if len(set(names)) < len(names):
            names = [f"{n}, {getattr(r, key)}" for n, r in zip(names, runs, strict=True)]
    return [n if names.count(n) == 1 else f"{n} ({k + 1})" for k, n in enumerate(names)]


def _quality(runs: Mapping[str, EvaluateResult]) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, name in ((left, "miou_at", "mIoU"), (right, "mbiou_at", "boundary mIoU")):
        for label, run in runs.items():
            axes.plot(range(1, len(getattr(run, key)) + 1), getattr(run, key), marker="o", markersize=3, label=label)
        axes.set(xlabel="clicks", ylabel=name, title=f"{name} after each click")
        _tidy(axes)
        _click_ticks(axes, max(run.max_clicks for run in runs.values()))
    return figure


def _histogram(runs: Mapping[str, EvaluateResult]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    target = list(next(iter(runs.values())).noc)[-1]
    for k, (label, run) in enumerate(runs.items()):
        most = run.max_clicks
        needed = [clicks_needed(r.ious, float(target), most) for r in run.per_object]
        shares = np.bincount(needed, minlength=most + 1)[1:] / len(needed)
        width = 0.8 / len(runs)
        axes.bar(np.arange(1, most + 1) - 0.4 + width * (k + 0.5), shares, width, label=label)
    axes.set(
        xlabel=f"clicks to IoU {target} (the last bar: or never)",
        ylabel="share of objects",
        title="How many clicks objects need",
    )
    _tidy(axes)
    _click_ticks(axes, max(run.max_clicks for run in runs.values()))
    return figure


def _area(runs: Mapping[str, EvaluateResult]) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, (label, run) in enumerate(runs.items()):
        targets = list(run.noc)[-2:]
        for target, style in zip(targets, ("--", "-")[-len(targets) :], strict=True):
            points = noc_by_area(run, float(target))
            left.plot(
                [100 * p[0] for p in points],
                [p[1] for p in points],
                style,
                color=f"C{k}",
                marker="o",
                markersize=3,
                label=f"{label}, NoC{_percent(target)}",
            )
        right.plot([100 * p[0] for p in points], [p[2] for p in points], marker="o", markersize=3, label=label)
    left.set(xlabel="objects larger than this share of the image, %", ylabel="NoC", title="NoC by object area")
    right.set(xlabel="objects larger than this share of the image, %", ylabel="objects", title="How many there are")
    for axes in (left, right):
        _tidy(axes)
        axes.xaxis.set_major_locator(MultipleLocator(10))
    return figure


def _first_clicks(first: FirstClicks) -> Figure:
    """The heat map of clicks needed, over the objects' boxes."""
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes, side = figure.subplots(), len(first.noc)
    cells = np.array([[np.nan if v is None else v for v in row] for row in first.noc])
    drawn = axes.imshow(cells, cmap="viridis_r", extent=(0, 100, 100, 0))
    figure.colorbar(drawn, label=f"clicks to IoU {first.target:g}")
    if side <= 10:
        for row, column in np.argwhere(np.isfinite(cells)):
            at = 100 * (column + 0.5) / side, 100 * (row + 0.5) / side
            box = {"boxstyle": "round,pad=0.1", "facecolor": "w", "alpha": 0.6, "linewidth": 0}
            axes.text(*at, f"{cells[row, column]:.1f}", ha="center", va="center", fontsize=8, bbox=box)
    axes.set(xlabel="x in the object's box, %", ylabel="y in the object's box, %", title="Place of the first click")
    return figure


def _random_clicks(runs: Mapping[str, EvaluateResult]) -> Figure:
    """ClickAdapter's figure 5: boundary mIoU by the number of random clicks."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, run in runs.items():
        if run.random_clicks:
            axes.plot(run.random_clicks.clicks, run.random_clicks.mbiou, marker="o", markersize=3, label=label)
    axes.set(xlabel="positive clicks, and as many negative ones", ylabel="boundary mIoU", title="Random clicks at once")
    _tidy(axes)
    return figure


def noc_by_area(run: EvaluateResult, target: float) -> list[tuple[float, float, int]]:
    """(threshold, NoC, objects) of the objects whose share of the image exceeds each of ``AREA_RATIOS``.

    Thresholds that no object exceeds are left out. Source: InterFormer, figure 4.

    >>> small = ObjectTrace.model_construct(area=30, size=(10, 10), ious=(0.95,))
    >>> run = EvaluateResult.model_construct(max_clicks=20, per_object=(small,))
    >>> noc_by_area(run, 0.9)
    [(0.0, 1.0, 1), (0.1, 1.0, 1), (0.2, 1.0, 1)]
    """
    points = []
    for ratio in AREA_RATIOS:
        larger = [r for r in run.per_object if r.area > ratio * r.size[0] * r.size[1]]
        if larger:
            clicks = [clicks_needed(r.ious, target, run.max_clicks) for r in larger]
            points.append((ratio, float(np.mean(clicks)), len(larger)))
    return points


def _tiles(worst: Sequence[MeasuredObject], data: DataSet, result: EvaluateResult) -> list[Image]:
    samples = {s.id: s for s in data.samples}
    highest, tiles = list(result.noc)[-1], []
    for row in worst:
        image, target = samples[row.image].read()
        outline = next(i.mask for i in target.annotations if i.id == row.id)
        clicks = [Click(x, y, positive) for x, y, positive in row.clicks]
        used = min(clicks_needed(row.ious, float(highest), result.max_clicks), len(clicks))
        pair = []
        for which, count in (("first", 1), ("last", used)):
            mask = Rle.from_coco({"size": row.size, "counts": getattr(row, which)}).mask()
            drawn = overlay(image, mask, clicks[:count])
            caption = f"{row.id[-24:]}: {count} click{'s' * (count > 1)}, IoU {row.ious[count - 1]:.2f}"
            pair.append(_tile(drawn, outline, clicks[:count], caption))
        tiles.append(np.concatenate(pair, axis=int(image.shape[0] > image.shape[1])))  # nearly square
    return tiles


def _tile(drawn: Image, target: Mask, clicks: Sequence[Click], caption: str) -> Image:
    """The overlay at sheet size with the true outline, the clicks' numbers and a caption."""
    draw_outlines(drawn, target, YELLOW, max(1, round(max(target.shape) / 400)))
    scale = (SIDE - 10) / max(target.shape)
    size = max(1, round(target.shape[1] * scale)), max(1, round(target.shape[0] * scale))
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for number, click in enumerate(clicks, start=1):
        at = (int(click.x * scale) + 4, int(click.y * scale) - 4)
        _write(small, str(number), at, 0.36)
    strip = np.zeros((18, small.shape[1], 3), np.uint8)
    _write(strip, caption, (4, 13), 0.38)
    return np.concatenate((small, strip))


def _write(image: Image, text: str, at: tuple[int, int], scale: float) -> None:
    for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, width, cv2.LINE_AA)


def _click_ticks(axes: Axes, most: int) -> None:
    """A mark at the first click, then at every fifth, or at every one where there are few."""
    axes.set_xticks([1, *range(5, most + 1, 5)] if most > 10 else range(1, most + 1))


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    return buffer.getvalue()
