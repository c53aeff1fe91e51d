"""Proposals compared with the objects that are annotated in an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.data.record import AnnotatedImage
from segue.data.rle import Rle, overlap


def overlaps(proposals: Sequence[Rle], target: AnnotatedImage) -> NDArray[np.float64]:
    """(p, t) IoU of every proposal with every annotated object that has a pixel outside the ignored ones, which count
    nowhere.

    >>> from segue.data.record import Annotation
    >>> left = np.array([[True, True, False]])
    >>> image = AnnotatedImage("a", (1, 3), (Annotation.from_mask(left),))
    >>> overlaps([Rle.from_mask(left), Rle.from_mask(~left)], image).tolist()
    [[1.0], [0.0]]
    """
    targets, answers = [a.rle for a in target.annotations], list(proposals)
    ignored = target.ignore_mask
    if ignored is not None:
        targets, answers = ([Rle.from_mask(r.mask() & ~ignored) for r in rles] for rles in (targets, answers))
    targets = [t for t in targets if t.area]
    rows = [[overlap(answer, t) if _meet(answer, t) else 0.0 for t in targets] for answer in answers]
    return np.array(rows, np.float64).reshape(len(answers), len(targets))


def _meet(a: Rle, b: Rle) -> bool:
    """Whether the boxes of two masks share a pixel."""
    return all(max(a.box[i], b.box[i]) < min(a.box[i + 2], b.box[i + 2]) for i in (0, 1))
