"""Users as the papers simulate them: 20,000 draws against closed forms, and the rules on drawn masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from segue.core.types import Mask
from segue.training.click_simulation import (
    Scene,
    candidates,
    count_odds,
    interformer_click,
    negative_places,
    ritm_clicks,
    ritm_next_click,
)
from segue.training.recipe_config import SimulationConfig
from tests.parity.interformer_clicks import click_candidates

DRAWS = 20_000


def block(y: int, x: int, height: int, width: int, size: int = 32) -> Mask:
    mask = np.zeros((size, size), bool)
    mask[y : y + height, x : x + width] = True
    return mask


OBJECT, OTHER = block(8, 4, 10, 10), block(8, 18, 12, 10)
SCENE = Scene((OBJECT,), OBJECT | OTHER, 2)


def close(found: float, expected: float) -> bool:
    """Within five standard errors of a share of ``DRAWS`` draws."""
    return abs(found - expected) < 5 * (max(expected * (1 - expected), 1e-6) / DRAWS) ** 0.5


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [ritm_clicks(SCENE, rng, SimulationConfig()) for _ in range(DRAWS)]


def test_ritm_makes_1_to_24_positive_clicks_that_decay_by_0_8(drawn: list[np.ndarray]) -> None:
    counts = np.bincount([int((c[:, 2] == 1).sum()) for c in drawn], minlength=25) / DRAWS
    expected = [0.0] + [0.8**k * 0.2 / (1 - 0.8**24) for k in range(24)]
    assert all(close(found, share) for found, share in zip(counts, expected, strict=True))


def test_ritm_makes_0_to_24_negative_clicks_that_decay_by_0_8(drawn: list[np.ndarray]) -> None:
    counts = np.bincount([int((c[:, 2] == 0).sum()) for c in drawn], minlength=25) / DRAWS
    expected = [0.8**k * 0.2 / (1 - 0.8**25) for k in range(25)]
    assert all(close(found, share) for found, share in zip(counts, expected, strict=True))


def test_ritm_erodes_nine_objects_of_ten(drawn: list[np.ndarray]) -> None:
    """A 10 x 10 block keeps its inner 4 x 4: outside of that lie a tenth of clicks times 84 of 100 pixels."""
    first = [tuple(int(v) for v in c[0, :2]) for c in drawn]
    inner = sum(7 <= x < 11 and 11 <= y < 15 for x, y in first) / DRAWS
    assert close(inner, 0.9 + 0.1 * 16 / 100)


def test_ritm_clicks_half_on_the_border_two_fifths_on_others_a_tenth_on_background(drawn: list[np.ndarray]) -> None:
    rows = np.concatenate([c[c[:, 2] == 0] for c in drawn]).astype(int)[:DRAWS]
    target, border = OBJECT, block(7, 3, 12, 12) & ~OBJECT  # a tenth of the root of 100 pixels: one pixel wide
    shares = {
        "other": 0.4 + 0.1 * OTHER.sum() / (~target).sum() + 0.5 * (border & OTHER).sum() / border.sum(),
        "border": 0.5 + 0.1 * border.sum() / (~target).sum() + 0.4 * (border & OTHER).sum() / OTHER.sum(),
    }
    assert not target[rows[:, 1], rows[:, 0]].any()
    assert close(OTHER[rows[:, 1], rows[:, 0]].mean(), shares["other"])
    assert close(border[rows[:, 1], rows[:, 0]].mean(), shares["border"])


def test_where_no_other_object_is_the_others_are_the_background() -> None:
    places = negative_places(Scene((OBJECT,), OBJECT, 1), SimulationConfig())
    assert (places[1][0] == ~OBJECT).all()


def test_a_view_of_background_gets_negative_clicks_alone() -> None:
    rng = np.random.default_rng(1)
    clicks = np.concatenate([ritm_clicks(Scene((), OTHER, 0), rng, SimulationConfig()) for _ in range(200)])
    assert (clicks[:, 2] == 0).all()
    assert not OTHER[clicks[:, 1].astype(int), clicks[:, 0].astype(int)].any()


def test_joined_objects_get_a_first_click_each_and_share_the_others() -> None:
    rng, both = np.random.default_rng(2), Scene((OBJECT, OTHER), OBJECT | OTHER, 2)
    counts = []
    for _ in range(2000):
        clicks = ritm_clicks(both, rng, SimulationConfig())
        positive = clicks[clicks[:, 2] == 1].astype(int)
        assert OBJECT[positive[0, 1], positive[0, 0]]
        assert OTHER[positive[1, 1], positive[1, 0]]
        counts.append(len(positive))
    odds = count_odds(25, 0.8)
    mean = 2 + sum(k * p for k, p in enumerate(odds)) - odds[23] - 2 * odds[24]  # no more than 24 in all
    assert abs(np.mean(counts) - mean) < 5 * np.std(counts) / 2000**0.5


def test_ritms_next_click_is_uniform_where_the_worse_error_is_deeper_than_half() -> None:
    target, rng = block(8, 4, 11, 11), np.random.default_rng(3)
    shown = np.where(block(20, 20, 4, 4), 0.9, 0.1).astype(np.float32)  # a smaller error of the other kind
    depth = cv2.distanceTransform(np.pad(target, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    wanted = np.argwhere(depth > depth.max() / 2)
    counts = np.zeros((32, 32))
    for _ in range(DRAWS):
        click = ritm_next_click(shown, target, ~target & False, rng)
        assert click is not None
        assert click[2] == 1
        counts[int(click[1]), int(click[0])] += 1
    assert counts[tuple(wanted.T)].sum() == DRAWS
    assert all(close(n / DRAWS, 1 / len(wanted)) for n in counts[tuple(wanted.T)])


def test_interformers_clicks_are_those_of_its_published_user() -> None:
    rng, made = np.random.default_rng(4), np.random.default_rng(5)
    for _ in range(60):
        target, shown = (cv2.blur(made.random((24, 24)), (7, 7)) > 0.5 for _ in range(2))
        clicked = [(int(y), int(x)) for y, x in made.integers(0, 24, (2, 2))]
        where, positive = click_candidates(torch.from_numpy(shown), torch.from_numpy(target), clicked)
        click = interformer_click(shown, target, target & False, rng, 1.7, clicked)
        assert (click is None) == (positive is None)
        if click is not None:
            assert where[int(click[1]), int(click[0])]
            assert bool(click[2]) == positive


def test_interformers_first_click_is_one_of_the_deepest_pixels() -> None:
    nothing, rng = OBJECT & False, np.random.default_rng(6)
    found = {interformer_click(nothing, OBJECT, nothing, rng, 1.0) for _ in range(100)}
    assert found == {(float(x), float(y), 1.0) for x in (8, 9) for y in (12, 13)}


def test_a_right_answer_gets_no_click() -> None:
    nothing, rng = OBJECT & False, np.random.default_rng(7)
    assert interformer_click(OBJECT, OBJECT, nothing, rng, 1.7) is None
    assert ritm_next_click(OBJECT.astype(np.float32), OBJECT, nothing, rng) is None
    assert ritm_next_click(nothing.astype(np.float32), OBJECT, OBJECT, rng) is None, "ignored pixels are no error"


def test_equally_deep_errors_are_clicked_negatively() -> None:
    depths = np.float32([[1, 0]])
    assert candidates(depths, depths, 0.5)[1] is False
