import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr

from segue.core.errors import InputError
from segue.core.types import Click
from segue.evaluation.robot import next_click, simulate_clicks


def click_by_whole_transforms(prediction, target, ignore_mask, clicked):
    """The published rule, spelled out on the whole image."""
    depths = []
    for region in (target & ~prediction & ~ignore_mask, prediction & ~target & ~ignore_mask):
        depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1].astype(np.float32)
        for c in clicked:
            depth[int(c.y), int(c.x)] = 0
        depths.append(depth)
    positive = depths[0].max() > depths[1].max()
    depth = depths[0] if positive else depths[1]
    y, x = np.argwhere(depth == depth.max())[0]
    return Click(x, y, bool(positive))


@settings(max_examples=150)
@given(
    arrays(np.bool_, (3, 11, 13), elements=st.sampled_from([True, True, False])),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 10)), max_size=4),
)
def test_the_cropped_search_finds_the_click_of_the_whole_image(masks, points):
    prediction, target, ignore_mask = masks
    clicked = [Click(x, y) for x, y in points]
    assert next_click(prediction, target, ignore_mask & ~target, clicked) == click_by_whole_transforms(
        prediction, target, ignore_mask & ~target, clicked
    )


def test_the_cropped_search_agrees_on_large_ragged_errors():
    rng = np.random.default_rng(0)
    coarse = rng.random((2, 24, 32)) > 0.55
    prediction, target = np.kron(coarse, np.ones((1, 9, 9), bool)) ^ (rng.random((2, 216, 288)) > 0.995)
    clicked = []
    for _ in range(12):
        click = next_click(prediction, target, None, clicked)
        assert click == click_by_whole_transforms(prediction, target, np.zeros_like(target), clicked)
        clicked.append(click)


def test_void_is_never_clicked():
    target, ignore_mask = np.ones((9, 30), bool), np.zeros((9, 30), bool)
    ignore_mask[:, 5:] = True
    click = next_click(np.zeros_like(target), target, ignore_mask)
    assert click.x < 5


def test_perturbed_clicks_prefer_depth_are_seeded_and_stay_in_the_error():
    target = np.zeros((41, 61), bool)
    target[5:36, 10:51] = True
    target[0, 0] = True
    empty = np.zeros_like(target)
    depth = distance_transform_edt(np.pad(target, 1))[1:-1, 1:-1]
    rng = np.random.default_rng(1)
    drawn = [next_click(empty, target, rng=rng) for _ in range(2000)]
    counts = np.zeros(target.shape)
    for click in drawn:
        counts[click.y, click.x] += 1
    assert counts[~target].sum() == 0
    assert counts[0, 0] == 0, "another error region was clicked"
    by_depth = [counts[depth == d].mean() for d in range(1, 16)]
    assert spearmanr(range(15), by_depth).statistic > 0.95
    again = np.random.default_rng(1)
    assert drawn[:20] == [next_click(empty, target, rng=again) for _ in range(20)]
    assert len(set(drawn)) > 500


class Scripted:
    """A session that answers the k-th click with the k-th recorded probability map."""

    def __init__(self, answers):
        self.answers, self.given, self.features, self.threshold = answers, [], None, 0.5

    def add(self, click):
        self.given.append(click)
        return self.answers[min(len(self.given), len(self.answers)) - 1] > self.threshold


def test_play_uses_the_published_threshold_and_stops_when_nothing_is_wrong():
    target = np.zeros((20, 20), bool)
    target[4:16, 4:16] = True
    half = target * np.float32(0.495)
    half[10:] = 0
    session = Scripted([half, target * np.float32(0.495)])
    course = simulate_clicks(session, target)
    assert course.ious == [0.5, 1.0]
    assert course.clicks == session.given
    assert len(course.click_seconds) == 2


def test_play_goes_on_to_the_last_click_and_stops_early_only_when_asked():
    target = np.zeros((20, 20), bool)
    target[4:16, 4:16] = True
    nearly = target.astype(np.float32)
    nearly[4, 4] = 0
    assert len(simulate_clicks(Scripted([nearly]), target, max_clicks=5).ious) == 5
    assert len(simulate_clicks(Scripted([nearly]), target, max_clicks=5, stop_at=0.9).ious) == 1


def test_an_empty_truth_is_refused():
    empty = np.zeros((4, 4), bool)
    with pytest.raises(InputError, match="empty true mask"):
        simulate_clicks(Scripted([empty]), empty)
    with pytest.raises(InputError, match="outside the ignored"):
        simulate_clicks(Scripted([empty]), ~empty, ignore_mask=~empty)
