"""How long to train where there are few images: several runs, each stopped by images that it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from segue.training.selection import Selection

T = TypeVar("T")
FOLDS = 3


@dataclass(frozen=True)
class FoldValidation:
    """One validation of one fold's run: the ``share`` of the budget that was spent, every object's cost, the row."""

    share: float
    costs: tuple[float, ...]
    row: Mapping[str, float]


def folds(items: Sequence[T], most: int) -> list[tuple[list[T], list[T]]]:
    """(to learn from, to validate by) for each of ``FOLDS`` runs; every item is left out once, and of those that are
    left out at most ``most`` in all validate.

    >>> folds([1, 2, 3, 4], most=3)
    [([2, 3], [1]), ([1, 3, 4], [2]), ([1, 2, 4], [3])]
    """
    parts = [items[k::FOLDS] for k in range(FOLDS)]
    learned = [[item for i, item in enumerate(items) if i % FOLDS != k] for k in range(FOLDS)]
    return [(learn, list(part[: max(1, most // FOLDS)])) for learn, part in zip(learned, parts, strict=True)]


@dataclass(frozen=True)
class Choice:
    """The ``share`` of the budget after which to end (0: do not train), whether the last was the best, and the mean
    ``rows`` of all folds at each share."""

    share: float
    improving: bool
    rows: tuple[dict[str, float], ...]


def choose_share(runs: Sequence[Sequence[FoldValidation]], validations: int) -> Choice:
    """The share of the budget that costs the left-out objects of all ``runs`` least, by ``Selection``'s rule of one
    standard error.

    Source: Stone, "Cross-validatory choice and assessment of statistical predictions", 1974.

    >>> run = [FoldValidation(s, (c, c + 1), {"noc": c}) for s, c in ((0.0, 3.0), (0.5, 1.0), (1.0, 4.0))]
    >>> choose_share([run, run], validations=2)
    Choice(share=0.5, improving=False, rows=({'noc': 3.0}, {'noc': 1.0}, {'noc': 4.0}))
    """
    selection, rows = Selection(patience=validations + 2, one_standard_error=True), []
    for index in range(validations + 1):
        share = index / validations
        nearest = [min(run, key=lambda v: abs(v.share - share)) for run in runs]
        selection.judge([c for v in nearest for c in v.costs], {"share": torch.tensor(share)}, index)
        rows.append({k: float(np.mean([v.row[k] for v in nearest])) for k in nearest[0].row})
    chosen = round(float(selection.weights["share"]), 6)
    return Choice(chosen, selection.best_index == validations, tuple(rows))
