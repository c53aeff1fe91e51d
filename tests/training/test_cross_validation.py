"""Where there are few images, all of them say how long to train."""

from __future__ import annotations

import numpy as np

from segue.training.cross_validation import FOLDS, FoldValidation, choose_share, folds

COURSE = (6.0, 4.0, 3.2, 3.6, 4.6, 5.6)  # true clicks an object: best after two fifths of the time
SHARES = [i / 5 for i in range(6)]


def noisy_runs(rng: np.random.Generator, images: int, runs: int) -> list[list[FoldValidation]]:
    """Each object is as hard as it is, and beside that every validation of it wavers."""
    found = []
    for _ in range(runs):
        hard = rng.normal(0, 3, images)
        costs = [hard + cost + rng.normal(0, 2, images) for cost in COURSE]
        found.append(
            [FoldValidation(s, tuple(c), {"noc": float(c.mean())}) for s, c in zip(SHARES, costs, strict=True)]
        )
    return found


def test_every_image_is_left_out_once_and_never_learned_from_there() -> None:
    items = list(range(14))
    parts = folds(items, most=24)
    assert sorted(i for _, val in parts for i in val) == items
    assert all(sorted(learn + val) == items for learn, val in parts)
    assert [len(val) for _, val in folds(items, most=6)] == [2] * FOLDS


def test_seventeen_images_choose_nearer_to_the_best_than_one_split_of_three() -> None:
    rng = np.random.default_rng(0)
    lost = {"one split": 0.0, "cross-validation": 0.0}
    for _ in range(300):
        for name, images, runs in (("one split", 3, 1), ("cross-validation", 6, FOLDS)):
            share = choose_share(noisy_runs(rng, images, runs), 5).share
            lost[name] += COURSE[round(share * 5)] - min(COURSE)
    assert lost["cross-validation"] < 0.75 * lost["one split"]


def test_training_that_only_harms_is_not_chosen() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(5, 2, 6)
    run = [FoldValidation(s, tuple(hard + 4 * s + rng.normal(0, 0.1, 6)), {"noc": 5 + 4 * s}) for s in SHARES]
    assert choose_share([run] * FOLDS, 5).share == 0
    better = [FoldValidation(s, tuple(hard - 4 * s), {"noc": 5 - 4 * s}) for s in SHARES]
    assert choose_share([better] * FOLDS, 5).share == 1
    assert choose_share([better] * FOLDS, 5).improving
