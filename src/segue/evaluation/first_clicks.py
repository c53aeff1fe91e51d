"""How much the place of the first click matters: clicks needed from every cell of a grid over an object's box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from segue.core.errors import InputError
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Mask
from segue.data.io.resume_log import ResumeLog
from segue.data.record import Sample
from segue.evaluation.click_protocol import ClickProtocol
from segue.evaluation.results import FirstClicks, ObjectTrace
from segue.evaluation.robot import simulate_clicks
from segue.metrics.interaction import clicks_needed
from segue.session.session import Session


def grid_clicks(target: Mask, grid: int) -> Iterator[tuple[int, int, Click]]:
    """(row, column, click) of each cell of a ``grid`` x ``grid`` division of the box of ``target`` (H, W) bool.

    The click is on the object's pixel nearest the cell's centre; a cell without such a pixel has none.
    Raises ``InputError`` for an empty target.

    >>> target = np.zeros((9, 9), bool)
    >>> target[0:6, 0:3] = target[3:6, 3:6] = True
    >>> [(row, column, (click.x, click.y)) for row, column, click in grid_clicks(target, 2)]
    [(0, 0, (1, 1)), (1, 0, (1, 4)), (1, 1, (4, 4))]
    """
    ys, xs = np.nonzero(target)
    if not len(ys):
        raise InputError("an empty true mask", "at least one pixel of the object")
    (top, left), (height, width) = (ys.min(), xs.min()), (np.ptp(ys) + 1, np.ptp(xs) + 1)
    rows, columns = (ys - top) * grid // height, (xs - left) * grid // width
    for row in range(grid):
        for column in range(grid):
            here = np.flatnonzero((rows == row) & (columns == column))
            if len(here):
                away_y = ys[here] - top + 0.5 - (row + 0.5) * height / grid
                away_x = xs[here] - left + 0.5 - (column + 0.5) * width / grid
                pick = here[np.argmin(away_y**2 + away_x**2)]
                yield row, column, Click(int(xs[pick]), int(ys[pick]))


def measure_first_clicks(
    model: Segmenter,
    samples: Iterable[Sample],
    objects: Sequence[ObjectTrace],
    protocol: ClickProtocol,
    grid: int,
    journal: ResumeLog,
) -> FirstClicks:
    """Clicks to the protocol's highest target by the cell of the first click, mean over ``objects`` of ``samples``.

    After the first click the robot clicks at centres, as published. Each object is in ``journal`` once it is done.
    """
    wanted, found = {row.id for row in objects}, {row.image for row in objects}
    needed = [
        cells
        for sample in samples
        if sample.id in found
        for cells in _one_image(model, sample, wanted, protocol, grid, journal)
    ]
    stack = np.asarray(needed, np.float64)
    counts = np.isfinite(stack).sum(0)
    means = np.nansum(stack, 0) / np.maximum(counts, 1)
    noc = [[float(m) if c else None for m, c in zip(*row, strict=True)] for row in zip(means, counts, strict=True)]
    return FirstClicks.from_json({"target": protocol.highest, "noc": noc, "objects": counts.tolist()})


def _one_image(
    model: Segmenter, sample: Sample, wanted: set[str], protocol: ClickProtocol, grid: int, journal: ResumeLog
) -> Iterator[list[list[float | None]]]:
    """Clicks needed by (row, column) for each wanted object of one image; None where the object has no pixel."""
    image, target = sample.read()
    features = None
    for annotation in target.annotations:
        if annotation.id not in wanted:
            continue
        key = f"first clicks {grid} {protocol.highest} {annotation.id}"
        if key not in journal:
            visible = annotation.mask if target.ignore_mask is None else annotation.mask & ~target.ignore_mask
            cells: list[list[float | None]] = [[None] * grid for _ in range(grid)]
            for row, column, click in grid_clicks(visible, grid):
                session = Session(model, image, features=features)
                features = session.features
                trace = simulate_clicks(
                    session,
                    annotation.mask,
                    target.ignore_mask,
                    max_clicks=protocol.max_clicks,
                    stop_at=protocol.highest,
                    threshold=protocol.threshold,
                    boundary=False,
                    first=click,
                )
                cells[row][column] = clicks_needed(trace.ious, protocol.highest, protocol.max_clicks)
            journal.add(key, {"cells": cells})
        yield journal[key]["cells"]
