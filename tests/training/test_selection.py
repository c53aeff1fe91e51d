"""Which weights are kept, and what chance alone does not end."""

from __future__ import annotations

import numpy as np
import torch

from segue.training.selection import Selection


def kept(selection: Selection, costs: list[list[float]]) -> float:
    for step, each in enumerate(costs):
        selection.judge(each, {"step": torch.tensor(float(step))}, step)
    return float(selection.weights["step"])


def test_the_last_weights_are_kept_unless_worse_beyond_chance() -> None:
    """The base costs three clicks; training halves that, wavers, and at last goes astray."""
    selection = Selection(4, one_standard_error=True)
    costs = [[3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 1.0, 2.0], [2.0, 1.0, 1.0, 2.1], [4.0, 4.0, 5.0, 4.0]]
    assert kept(selection, costs) == 2
    assert selection.best_step == 1


def test_the_base_stays_where_nothing_is_better() -> None:
    assert kept(Selection(4, one_standard_error=True), [[1.0, 2.0], [1.0, 2.1], [1.5, 1.6]]) == 0


def test_chance_alone_ends_no_run_with_few_objects() -> None:
    rng = np.random.default_rng(0)
    ended = []
    for strict in (False, True):
        runs = [Selection(4, one_standard_error=not strict) for _ in range(200)]
        for selection in runs:
            kept(selection, [list(5 + rng.normal(0, 1, 17)) for _ in range(6)])
        ended.append(sum(bool(s.ended) for s in runs))
    assert ended[1] > 40
    assert ended[0] < 10


def test_a_run_that_goes_astray_ends() -> None:
    selection = Selection(3, one_standard_error=True)
    kept(selection, [[5.0, 5.0, 5.0], [3.0, 3.1, 3.2], *([[6.0, 6.1, 6.4]] * 3)])
    assert selection.ended == "no better in 3 validations"


def test_a_copy_is_kept_not_the_weights_themselves() -> None:
    selection, weights = Selection(2), {"w": torch.zeros(1)}
    selection.judge([1.0], weights, 0)
    weights["w"].add_(1)
    assert float(selection.weights["w"]) == 0
