"""Segmentation scores by class: pixels of all its images are added up before dividing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from segue.core.types import Mask
from segue.metrics.boundary import band_width, boundary_band
from segue.metrics.overlap import counts
from segue.session.config import JobResult


class ClassScore(JobResult):
    """IoU, accuracy (recall of the object's pixels) and boundary IoU in per cent."""

    iou: float
    accuracy: float
    boundary_iou: float


class ClassScores:
    """The sums behind the scores: per class intersection, union, true pixels; intersection and union of the boundary
    bands (2 % of the diagonal).

    Source: PerSeg's ``eval_miou.py``; Boundary IoU (Cheng et al., 2021).

    >>> scores = ClassScores()
    >>> scores.add("cat", np.ones((4, 4), bool), np.ones((4, 4), bool))
    >>> scores.per_class()["cat"].iou, scores.means()["miou"]
    (100.0, 100.0)
    """

    def __init__(self) -> None:
        self._sums: dict[str, Any] = defaultdict(lambda: np.zeros(5, np.int64))

    def add(self, name: str, mask: Mask, target: Mask) -> None:
        """Count one image of class ``name``."""
        shared, first, second = counts(mask, target)
        width = band_width(target.shape)
        band, edge, true_edge = counts(boundary_band(mask, width), boundary_band(target, width))
        self._sums[name] += (shared, first + second - shared, second, band, edge + true_edge - band)

    def per_class(self) -> dict[str, ClassScore]:
        """The scores of every class."""
        return {
            name: ClassScore(iou=_share(s[0], s[1]), accuracy=_share(s[0], s[2]), boundary_iou=_share(s[3], s[4]))
            for name, s in self._sums.items()
        }

    def means(self) -> dict[str, float]:
        """``miou``, ``mboundary_iou`` and ``maccuracy`` over the classes."""
        rows = self.per_class().values()
        return {
            f"m{key}": round(float(np.mean([getattr(row, key) for row in rows])), 2)
            for key in ("iou", "boundary_iou", "accuracy")
        }


def _share(part: int, whole: int) -> float:
    return round(100 * float(part / max(1, whole)), 2)
