"""The robot annotator: it clicks where the error is deepest, as every published NoC assumes, and looks again.

The published rule is deterministic down to the last bit: the depth of an error pixel is the exact Euclidean
distance to the nearest pixel without that error (one pixel of margin around the image counts as such),
rounded to float32; among equally deep pixels the first in row-major order is clicked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import InputError
from segue.core.geometry import exact_depths
from segue.core.types import Click, Mask
from segue.metrics.boundary import boundary_iou
from segue.metrics.overlap import check_pair, iou
from segue.session.session import Session

MASK_THRESHOLD = 0.49  # what the published evaluation takes as object; not 0.5


@dataclass
class ClickTrace:
    """What happened to one object: after each click its IoU and boundary IoU, and the seconds it took.

    ``encode_seconds`` is the time until the image's features were there (0 if they already were), each entry
    of ``click_seconds`` the time from a click to its full-size mask.

    >>> ClickTrace([Click(3, 4)], [0.9], [0.7], 0.5, [0.1]).ious
    [0.9]
    """

    clicks: list[Click] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    encode_seconds: float = 0.0
    click_seconds: list[float] = field(default_factory=list)


def simulate_clicks(
    session: Session,
    target: Mask,
    ignore_mask: Mask | None = None,
    *,
    max_clicks: int = 20,
    stop_at: float | None = None,
    threshold: float = MASK_THRESHOLD,
    boundary: bool = True,
    rng: np.random.Generator | None = None,
    on_click: Callable[[ClickTrace, Mask], None] | None = None,
    initial: Mask | None = None,
    first: Click | None = None,
) -> ClickTrace:
    """Click on ``session`` until ``max_clicks``, until no error is left, or until both the IoU and the boundary
    IoU reach ``stop_at``.

    ``target`` and ``ignore_mask`` are (H, W) bool at the image's size; ignored pixels are neither clicked nor counted.
    The session's masks are taken at ``threshold`` from now on.
    Without ``boundary`` no boundary IoU is measured, nor waited for.
    ``rng`` draws perturbed clicks, without it the published centre clicks are made. ``on_click`` is shown
    the trace so far and the (H, W) mask after every click. The first click is on the errors of ``initial`` (H, W),
    which the model is given as its last answer; without it on the object. ``first`` is clicked instead.
    Raises ``InputError`` for an empty target. Source: RITM, section 4; conventions of the robot-click protocol.

    >>> import segue
    >>> image, target = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), bool)
    >>> image[8:40, 16:48], target[8:40, 16:48] = 220, True
    >>> trace = simulate_clicks(Session(segue.load("nano"), image), target, max_clicks=3)
    >>> trace.clicks[0]
    Click(x=31, y=23, positive=True)
    """
    check_pair(target, target, ignore_mask)
    if not (target if ignore_mask is None else target & ~ignore_mask).any():
        raise InputError("an empty true mask", "at least one pixel of the object outside the ignored ones")
    session.threshold, trace = threshold, ClickTrace()
    start = time.perf_counter()
    _ = session.features
    trace.encode_seconds = time.perf_counter() - start
    prediction = np.zeros_like(target) if initial is None else session.set_mask(initial)
    for number in range(max_clicks):
        chosen = first if number == 0 else None
        click = chosen or next_click(prediction, target, ignore_mask, trace.clicks, rng)
        start = time.perf_counter()
        prediction = session.add(click)
        trace.click_seconds.append(time.perf_counter() - start)
        trace.clicks.append(click)
        trace.ious.append(iou(prediction, target, ignore_mask))
        reached = trace.ious[-1]
        if boundary:
            trace.boundary_ious.append(boundary_iou(prediction, target, ignore_mask))
            reached = min(reached, trace.boundary_ious[-1])
        if on_click is not None:
            on_click(trace, prediction)
        if trace.ious[-1] == 1.0 or (stop_at is not None and reached >= stop_at):
            break
    return trace


def next_click(
    prediction: Mask,
    target: Mask,
    ignore_mask: Mask | None = None,
    clicked: Sequence[Click] = (),
    rng: np.random.Generator | None = None,
) -> Click:
    """Where the robot clicks next, given (H, W) masks and the clicks made so far.

    It is positive only if the deepest missed pixel lies strictly deeper than the deepest pixel too many.
    Pixels already clicked are passed over, though they count as error when depths are measured. Where no error
    is left the published robot clicks negatively at (0, 0), and so does this one.

    With ``rng`` the click is drawn from the connected error region around that centre, with probability
    proportional to depth: people aim for the middle and miss it.
    Raises ``InputError`` for masks of different sizes. Source: RITM's ``Clicker``; the perturbed variant is ours.

    >>> target = np.zeros((9, 9), bool)
    >>> target[2:7, 2:7] = True
    >>> next_click(np.zeros_like(target), target)
    Click(x=4, y=4, positive=True)
    >>> next_click(~target, target, clicked=[Click(4, 4)]).positive
    True
    """
    check_pair(prediction, target, ignore_mask)
    counted = True if ignore_mask is None else ~ignore_mask
    pixels = [(int(c.y), int(c.x)) for c in clicked]
    missed, extra = _deepest(target & ~prediction & counted, pixels), _deepest(prediction & ~target & counted, pixels)
    positive = bool(missed.depth > extra.depth)
    error = missed if positive else extra
    y, x = error.at if rng is None else error.draw(rng)
    return Click(x, y, positive)


@dataclass(frozen=True)
class _Error:
    """The deepest pixel ``at`` (row, column) and its region: ``depths`` of the box whose corner is ``origin``."""

    depth: np.float32
    at: tuple[int, int]
    origin: tuple[int, int]
    depths: NDArray[np.float32]

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        weights = self.depths.ravel().astype(np.float64)
        if not weights.any():
            return self.at
        row, column = divmod(int(rng.choice(len(weights), p=weights / weights.sum())), self.depths.shape[1])
        return self.origin[0] + row, self.origin[1] + column


def _deepest(region: Mask, clicked: Sequence[tuple[int, int]]) -> _Error:
    """The deepest pixel of ``region`` (H, W) that is none of ``clicked`` (row, column).

    Depths are measured one 8-connected component at a time, inside its bounding box: the nearest pixel outside
    the region is a neighbour of the pixel's own component, so this equals the transform of the whole image.
    Components too small to hold a deeper pixel are passed over.
    """
    best = _Error(np.float32(0), (0, 0), (0, 0), np.zeros((1, 1), np.float32))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    bounds = (stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].min(axis=1) + 1) // 2
    for label in 1 + np.argsort(-bounds[1:], kind="stable"):
        if bounds[label] < best.depth:
            break
        x, y, width, height = (int(v) for v in stats[label, :4])
        depths = exact_depths(labels[y : y + height, x : x + width] == label).astype(np.float32)
        for row, column in clicked:
            if y <= row < y + height and x <= column < x + width:
                depths[row - y, column - x] = 0
        row, column = divmod(int(depths.argmax()), width)
        depth, at = depths[row, column], (y + row, x + column)
        if depth > best.depth or (depth == best.depth > 0 and at < best.at):
            best = _Error(depth, at, (y, x), depths)
    return best
