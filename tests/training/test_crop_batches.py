"""Crops as published: where they lie, what they show, and what their user wants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.record import AnnotatedImage, Annotation, Sample
from segue.training.crop_batches import CropBatches, Geometry, crop_of, recoloured
from segue.training.recipe_config import CropsConfig

PLAIN: dict[str, Any] = {"sources": [{"path": "."}], "colour": "none", "flip": "none", "background": 0, "merge": 0}


def crops(**changes: Any) -> CropsConfig:
    return CropsConfig.from_fields(**{**PLAIN, "size": 64, "scale": (1, 1), "least_area": 1, **changes})


def box(y: int, x: int, side: int, size: tuple[int, int] = (80, 100)) -> Mask:
    mask = np.zeros(size, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def photo(*masks: Mask) -> tuple[np.ndarray, AnnotatedImage]:
    """A black photo whose k-th object is painted in its own grey, the last on top."""
    image = np.zeros((*masks[0].shape, 3), np.uint8)
    for k, mask in enumerate(masks, start=1):
        image[mask] = 50 * k
    return image, AnnotatedImage.from_arrays("a", image, [Annotation.from_mask(m) for m in masks])


def test_masks_lie_where_their_pixels_are_whatever_is_done_to_the_view() -> None:
    config = crops(flip="any", turns=1.0, tilt=1.0, scale=(0.75, 1.4), size=96)
    rng = np.random.default_rng(0)
    for _ in range(30):
        crop = crop_of(*photo(box(10, 20, 40)), config, rng)
        assert crop is not None
        bright = crop.image[..., 0] > 25  # edges are blurred
        assert crop.image.shape == (96, 96, 3)
        assert (bright == crop.scene.target).mean() > 0.97


def test_overlapping_objects_stay_whole() -> None:
    rng, areas = np.random.default_rng(1), set()
    for _ in range(20):
        crop = crop_of(*photo(box(5, 5, 40), box(20, 20, 30)), crops(size=100), rng)
        assert crop is not None
        areas.add(int(crop.scene.target.sum()))
    assert areas == {1600, 900}


def test_small_objects_are_no_targets_but_occupied() -> None:
    crop = crop_of(*photo(box(5, 5, 20), box(50, 50, 9)), crops(least_area=100, size=100), np.random.default_rng(2))
    assert crop is not None
    assert int(crop.scene.target.sum()) == 400
    assert int(crop.scene.occupied.sum()) == 481
    assert crop.scene.objects == 1


def test_two_objects_are_joined_as_often_as_asked() -> None:
    rng, shown = np.random.default_rng(3), photo(box(5, 5, 20), box(40, 40, 20))
    joined = [len(crop_of(*shown, crops(merge=0.15, size=100), rng).scene.parts) for _ in range(1000)]  # type: ignore[union-attr]
    assert set(joined) == {1, 2}
    assert abs(joined.count(2) / 1000 - 0.15) < 5 * (0.15 * 0.85 / 1000) ** 0.5


def test_padding_is_black_around_or_at_the_end() -> None:
    shown = photo(box(0, 0, 40, (40, 40)))
    around, end = (crop_of(*shown, crops(padding=p), np.random.default_rng(4)) for p in ("around", "end"))
    assert around is not None
    assert end is not None
    assert np.argwhere(around.scene.target).min(0).tolist() == [12, 12]
    assert np.argwhere(end.scene.target).min(0).tolist() == [0, 0]
    assert not around.image[~around.scene.target].any()


def test_scales_are_uniform() -> None:
    rng = np.random.default_rng(5)
    heights = [Geometry.drawn((100, 100), crops(scale=(0.5, 2.0)), rng).scaled[0] for _ in range(4000)]
    shares = np.histogram(heights, bins=3, range=(50, 200))[0] / 4000
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)


def test_a_crop_shows_no_more_of_one_segment_than_asked_if_ten_tries_find_one() -> None:
    rng, shown = np.random.default_rng(6), photo(box(0, 0, 60, (400, 400)))
    found = [crop_of(*shown, crops(size=64, most_of_one=most), rng) for most in [0.75] * 40 + [None] * 40]
    shares = [max(c.scene.target.mean(), 1 - c.scene.target.mean()) for c in found if c is not None]
    assert np.mean([s < 0.75 for s in shares[:40]]) > np.mean([s < 0.75 for s in shares[40:]])


def test_views_of_background_are_kept_as_often_as_asked() -> None:
    rng, empty = np.random.default_rng(7), photo(box(0, 0, 0))
    assert crop_of(*empty, crops(), rng) is None
    crop = crop_of(*empty, crops(background=0.5), rng)
    assert crop is not None
    assert crop.scene.parts == ()


@pytest.mark.parametrize("kind", ["ritm", "photometric"])
def test_colours_change_within_the_published_limits(kind: str) -> None:
    rng, grey = np.random.default_rng(8), np.full((4, 4, 3), 100, np.uint8)
    means = [float(recoloured(grey, kind, rng).mean()) for _ in range(400)]
    lowest, highest = (100 * 0.85 - 63.75 - 10, 100 * 1.4 + 63.75 + 10) if kind == "ritm" else (68 * 0.5, 132 * 1.5)
    assert lowest - 2 <= min(means) < 70
    assert 130 < max(means) <= highest + 2


def batches(seed: int, workers: int) -> CropBatches:
    samples = [
        Sample.from_arrays(str(k), photo(box(5 + k, 5, 30))[0], photo(box(5 + k, 5, 30))[1].annotations)
        for k in range(5)
    ]
    config = crops(flip="any", scale=(0.75, 1.4), workers=workers)
    return CropBatches([samples], config, 4, torch.device("cpu"), torch.Generator().manual_seed(seed))


def test_threads_change_nothing() -> None:
    one, four = batches(0, 1).draw(), batches(0, 4).draw()
    assert torch.equal(one.pixels, four.pixels)
    assert torch.equal(one.targets, four.targets)
    assert not torch.equal(one.pixels, batches(1, 1).draw().pixels)


def test_photos_without_an_object_are_one_error() -> None:
    samples = [Sample.from_arrays("a", photo(box(0, 0, 0))[0])]
    with pytest.raises(DataError, match="without an object in view"):
        CropBatches([samples], crops(), 1, torch.device("cpu"), torch.Generator()).draw()
