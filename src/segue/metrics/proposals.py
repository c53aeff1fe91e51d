"""How well proposals cover the objects of an image, whatever their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Overlaps = NDArray[Any]  # (p, t): IoU of every proposal, the surest first, with every target
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


def average_recall(overlaps: Sequence[Overlaps], most: int) -> float:
    """AR@k in [0, 1]: the share of all images' targets that their ``most`` surest proposals find, averaged over IoU
    thresholds 0.5, 0.55 ... 0.95; a proposal finds one target at most. 0 without any target.

    Source: Hosang et al., "What makes for effective detection proposals?" (2015); the matching is COCO's.

    >>> average_recall([np.array([[0.72, 0.0], [0.1, 0.4]])], 10)
    0.25
    """
    targets = sum(ious.shape[1] for ious in overlaps)
    found = sum(_found(ious[:most], least) for ious in overlaps for least in IOU_THRESHOLDS)
    return found / (targets * len(IOU_THRESHOLDS)) if targets else 0.0


def best_overlap(overlaps: Sequence[Overlaps]) -> float:
    """Mean over all images' targets of the IoU of the proposal that fits best, 0 where there is none.

    >>> best_overlap([np.array([[0.75, 0.0], [0.5, 0.25]])])
    0.5
    """
    best = [float(column.max(initial=0.0)) for ious in overlaps for column in ious.T]
    return float(np.mean(best)) if best else 0.0


def _found(ious: Overlaps, least: float) -> int:
    """Targets found at one threshold: each proposal in turn takes the free target that it fits best."""
    free = np.ones(ious.shape[1], bool)
    for row in ious:
        wanted = np.where(free, row, -1.0)
        if wanted.size and wanted.max() >= least:
            free[int(wanted.argmax())] = False
    return int((~free).sum())
