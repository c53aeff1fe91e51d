"""What interaction costs: clicks to reach a quality, failures, quality after k clicks, seconds.

A *curve* is the list of one object's qualities (IoU or boundary IoU) after click 1, 2, ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segue.core.errors import InputError


def clicks_needed(curve: Sequence[float], target: float, max_clicks: int = 20) -> int:
    """NoC of one object: the first click after which its quality is at least ``target``, else ``max_clicks``.

    Qualities are compared as float32, as the published evaluation stores them. Raises ``InputError`` for an
    empty curve. Source: RITM (Sofiiuk et al. 2021), section 4; a failure counts as ``max_clicks``.

    >>> clicks_needed([0.5, 0.86, 0.91], 0.9), clicks_needed([0.5, 0.86], 0.9)
    (3, 20)
    """
    _check(curve, max_clicks)
    reached = np.asarray(curve[:max_clicks], np.float32) >= target
    return int(reached.argmax()) + 1 if reached.any() else max_clicks


def noc(curves: Sequence[Sequence[float]], target: float, max_clicks: int = 20) -> float:
    """NoC@target: mean number of clicks over objects; ``nan`` without objects.

    Raises ``InputError`` for an empty curve. Source: as ``clicks_needed``.

    >>> noc([[0.92], [0.5, 0.7, 0.95]], 0.9)
    2.0
    """
    return float(np.mean([clicks_needed(c, target, max_clicks) for c in curves])) if curves else math.nan


def noc_spread(curves: Sequence[Sequence[float]], target: float, max_clicks: int = 20) -> float:
    """Standard deviation over objects (not over seeds) of NoC@target; ``nan`` without objects.

    Raises ``InputError`` for an empty curve. Source: RITM's ``compute_noc_metric`` (population deviation).

    >>> noc_spread([[0.92], [0.5, 0.7, 0.95]], 0.9)
    1.0
    """
    return float(np.std([clicks_needed(c, target, max_clicks) for c in curves])) if curves else math.nan


def nof(curves: Sequence[Sequence[float]], target: float, max_clicks: int = 20) -> int:
    """NoF@target: number of failed objects as published, those whose NoC equals ``max_clicks``.

    The published count thereby includes a success on the very last click; ``unreached`` leaves it out.
    Raises ``InputError`` for an empty curve. Source: RITM's ``compute_noc_metric`` ("over 20").

    >>> nof([[0.92], [0.5, 0.7, 0.95], [0.1, 0.2, 0.3]], 0.9, max_clicks=3)
    2
    """
    return sum(clicks_needed(c, target, max_clicks) >= max_clicks for c in curves)


def unreached(curves: Sequence[Sequence[float]], target: float, max_clicks: int = 20) -> int:
    """Number of objects that never reach ``target`` within ``max_clicks`` clicks.

    Raises ``InputError`` for an empty curve. Source: the plain meaning of NoF; compare ``nof``.

    >>> unreached([[0.92], [0.5, 0.7, 0.95], [0.1, 0.2, 0.3]], 0.9, max_clicks=3)
    1
    """
    for curve in curves:
        _check(curve, max_clicks)
    return sum(not (np.asarray(c[:max_clicks], np.float32) >= target).any() for c in curves)


def rof(curves: Sequence[Sequence[float]], target: float, max_clicks: int = 20) -> float:
    """RoF@target: ``nof`` as a share of all objects, in [0, 1]; ``nan`` without objects.

    Raises ``InputError`` for an empty curve. Source: ClickAdapter, table VI (ratio of failed instances).

    >>> rof([[0.92], [0.5, 0.7, 0.95], [0.1, 0.2, 0.3]], 0.9, max_clicks=4)
    0.3333333333333333
    """
    return nof(curves, target, max_clicks) / len(curves) if curves else math.nan


def quality_at(curves: Sequence[Sequence[float]], clicks: int = 20) -> list[float]:
    """mIoU@k (of IoU curves) or mbIoU@k (of boundary curves) for k = 1 ... ``clicks``: means over objects.

    An object that needed no further click keeps its last quality. Undefined (``nan``) qualities are left out
    of their mean. Raises ``InputError`` for an empty curve.
    Source: SimpleClick, section 4 (mIoU@k); ClickAdapter, figure 5 (mbIoU).

    >>> quality_at([[0.5, 0.7], [0.75]], 3)
    [0.625, 0.725, 0.725]
    """
    for curve in curves:
        _check(curve, clicks)
    means = []
    for k in range(clicks):
        values = [c[min(k, len(c) - 1)] for c in curves]
        known = [v for v in values if not math.isnan(v)]
        means.append(float(np.mean(known)) if known else math.nan)
    return means


def spc(seconds: float, clicks: int) -> float:
    """Seconds per click: all the time that ``clicks`` clicks took; encoding and preparation belong to it
    in the published figure. ``nan`` without clicks. Source: InterFormer, section 4.1.

    >>> spc(3.0, 20)
    0.15
    """
    return seconds / clicks if clicks else math.nan


def pie(seconds_per_click: float, size: tuple[int, int]) -> float:
    """Pixel-wise inference efficiency: seconds per click and pixel of the model's input ``size`` (h, w).

    Raises ``InputError`` for a size without pixels. Source: InterFormer, section 4.1 (SPC averaged per pixel).

    >>> f"{pie(0.23, (512, 512)):.2e}"
    '8.77e-07'
    """
    if min(size) < 1:
        raise InputError(f"an input size of {size}", "at least one pixel")
    return seconds_per_click / (size[0] * size[1])


def _check(curve: Sequence[float], max_clicks: int) -> None:
    if not len(curve):
        raise InputError("an object without a single click", "the quality after at least one click")
    if max_clicks < 1:
        raise InputError(f"max_clicks {max_clicks}", "at least 1")
