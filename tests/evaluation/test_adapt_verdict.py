"""The verdict on an adapter: what a statistician would sign."""

from __future__ import annotations

import math

import numpy as np

from segue.core.types import Click
from segue.data.record import Sample
from segue.evaluation.adapt_clicks import AnnotatedObject, click_gain
from segue.evaluation.adapt_verdict import Change, bootstrap_interval, verdict
from segue.evaluation.robot import ClickTrace


def test_nineteen_of_twenty_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        low, high = bootstrap_interval(list(rng.normal(3.0, 2.0, 60)), draws=400, seed=i)
        covered += low < 3.0 < high
    assert 0.88 < covered / 200 < 0.99


def test_more_objects_make_it_narrower() -> None:
    values = list(np.random.default_rng(0).normal(0, 1, 400))
    few, many = bootstrap_interval(values[:25]), bootstrap_interval(values)
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_undefined_values_are_left_out_and_nothing_gives_nothing() -> None:
    assert bootstrap_interval([1.0, math.nan, 1.0]) == (1.0, 1.0)
    assert all(math.isnan(v) for v in bootstrap_interval([math.nan]))


def annotated(image: int, *ious: float) -> AnnotatedObject:
    sample = Sample.from_arrays(str(image), np.zeros((1, 1, 3), np.uint8))
    return AnnotatedObject(f"{image}", sample, ClickTrace([Click(0, 0)] * len(ious), list(ious), list(ious)))


def several(images: int, *ious: float) -> list[AnnotatedObject]:
    return [annotated(i, *ious) for i in range(images)]


def test_a_gain_beyond_chance_is_proven() -> None:
    gain = click_gain(several(20, 0.5, 0.9), several(20, 0.9), 20)
    assert gain.clicks_saved == 1
    assert gain.verdict.helps
    assert gain.verdict.sentence == (
        "**Gain proven**: on 20 objects of 20 held-out images, it saves 1 clicks an object at an IoU of 0.85 "
        "(95 % interval 1 to 1)."
    )


def test_an_even_change_proves_nothing_and_says_what_would() -> None:
    mixed = [annotated(i, *((0.9,) if i % 2 else (0.5, 0.9))) for i in range(20)]
    swapped = [annotated(i, *((0.5, 0.9) if i % 2 else (0.9,))) for i in range(20)]
    found = click_gain(mixed, swapped, 20).verdict
    assert found.kind == "not proven"
    assert "too small to be settled" in found.sentence


def test_a_loss_beyond_chance_is_harm() -> None:
    found = click_gain(several(20, 0.9), several(20, 0.5, 0.9), 20).verdict
    assert found.kind == "harmful"
    assert "costs 1 clicks an object at an IoU of 0.85 more" in found.sentence


def test_a_few_images_prove_nothing() -> None:
    found = click_gain(several(5, 0.5, 0.9), several(5, 0.9), 20).verdict
    assert found.kind == "not proven"
    assert "About 6 held-out images would settle a gain of this size" in found.sentence


def test_the_needed_images_shrink_the_interval_to_the_change() -> None:
    found = verdict(Change("saves {}", "costs {}", 0.5, -0.5, 1.5), [], 10, 12, improving=True).sentence
    assert "About 40 held-out images" in found
    assert "more minutes may help" in found


def test_other_measures_are_told_where_they_are_beyond_chance() -> None:
    main, lost = Change("saves {}", "costs {}", 1.0, 0.5, 1.5), Change("adds {} IoU", "takes {} IoU", -0.1, -0.2, -0.05)
    assert verdict(main, [lost], 10, 12).sentence.endswith(
        "At a price beyond chance: takes 0.1 IoU (95 % interval 0.05 to 0.2)."
    )
    open_one = Change("saves {}", "costs {}", 0.1, -0.5, 0.7)
    assert "Beyond chance, though: takes 0.1 IoU" in verdict(open_one, [lost], 10, 12).sentence


def test_objects_of_one_image_are_one_witness() -> None:
    values = [0.0] * 10 + [1.0] * 10
    apart = bootstrap_interval(values)
    together = bootstrap_interval(values, groups=[0] * 10 + [1] * 10)
    assert together == (0.0, 1.0)
    assert apart[0] > 0.2
    assert bootstrap_interval(values, groups=range(20)) == apart
