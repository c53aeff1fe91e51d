"""The canvas shows what the views showed, and a correction changes what it is connected to and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segue.core.frame import Frame
from segue.core.types import Click
from segue.models.nano.canvas import (
    CANVAS,
    OUTSIDE,
    canvas_frame,
    canvas_of,
    corrected,
    empty_canvas,
    in_view,
    on_canvas,
    spot,
    window,
)

SIZE = (300, 400)


def disk(h: int, w: int, x: float, y: float, radius: float) -> NDArray[np.float32]:
    """Logits (h, w) of a disk: how far inside a cell is."""
    rows, columns = np.mgrid[:h, :w].astype(np.float32) + 0.5
    return (radius - np.hypot(columns - x, rows - y)).astype(np.float32)


@pytest.mark.parametrize("size", [SIZE, (1500, 2000)])
@pytest.mark.parametrize("crop", [(0, 0, 400, 300), (100, 40, 260, 200), (300, 10, 400, 290)])
def test_a_mask_goes_from_a_view_to_the_canvas_and_back(size: tuple[int, int], crop: tuple[int, int, int, int]) -> None:
    larger = size[0] // 300
    x0, y0, x1, y1 = (c * larger for c in crop)
    whole = Frame.longest(size, 384, multiple=64)
    scale = 256 / max(x1 - x0, y1 - y0)
    view = whole.zoomed((x0, y0, x1, y1), (round((y1 - y0) * scale), round((x1 - x0) * scale)), multiple=64)
    h, w = view.grid[0] // 2, view.grid[1] // 2
    logits = disk(h, w, view.resized[1] / 4, view.resized[0] / 4, min(view.resized) / 6)
    canvas = empty_canvas(size)
    canvas[window(view)] = on_canvas(logits, view)
    back = in_view(canvas, view) > 0.5
    assert (back & (logits > 0)).sum() > 0.97 * (back | (logits > 0)).sum()
    true = view.to_image_mask(logits[None, None])[0, 0]
    shown = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_LINEAR) > 0
    assert (true & shown).sum() > 0.98 * (true | shown).sum()


def test_a_mask_brought_from_elsewhere_is_shown_as_it_is() -> None:
    mask = np.random.default_rng(0).random(SIZE) > 0.5
    assert np.array_equal(canvas_of(mask.astype(np.float32)) > 0, mask)


def test_a_correction_changes_what_it_is_connected_to_and_nothing_else() -> None:
    whole = Frame.longest(SIZE, 384, multiple=64)
    view = whole.zoomed((100, 50, 300, 250), (256, 256), multiple=64)
    rng, canvas = np.random.default_rng(1), empty_canvas(SIZE)
    canvas[:] = np.where(disk(*SIZE, 150, 150, 40) > 0, 3.0, -3.0)
    for _ in range(20):
        logits = cv2.GaussianBlur(rng.normal(0, 8, (128, 128)).astype(np.float32), (0, 0), 6)
        click = Click(int(rng.integers(110, 290)), int(rng.integers(60, 240)), bool(rng.integers(2)))
        result, _ = corrected(canvas, on_canvas(logits, view), window(view), click, SIZE)
        changed = (result > 0) != (canvas > 0)
        _, parts = cv2.connectedComponents(changed.astype(np.uint8), connectivity=8)
        assert parts.max() <= 1, "one connected change"
        if changed.any():
            assert parts[int(click.y), int(click.x)] == 1
        assert (result != canvas).sum() <= changed.sum() + 1, "at most the click itself beside it"
        assert bool(result[int(click.y), int(click.x)] > 0) == click.positive


def test_a_clicked_pixel_of_a_large_photo_has_its_label() -> None:
    size, rng = (2400, 3200), np.random.default_rng(2)
    assert max(canvas_frame(size).grid) == CANVAS
    whole = Frame.longest(size, 384, multiple=64)
    for _ in range(20):
        click = Click(int(rng.integers(600, 2600)), int(rng.integers(400, 2000)), bool(rng.integers(2)))
        view = whole.zoomed((500, 300, 2700, 2100), (209, 256), multiple=64)
        start = np.full(canvas_frame(size).grid, OUTSIDE if click.positive else -OUTSIDE, np.float32)
        logits = np.full((view.grid[0] // 2, view.grid[1] // 2), -5.0 if click.positive else 5.0, np.float32)
        result, _ = corrected(start, on_canvas(logits, view), window(view), click, size)
        shown = cv2.resize(result, size[::-1], interpolation=cv2.INTER_LINEAR)
        assert bool(shown[int(click.y), int(click.x)] > 0) == click.positive
        assert spot(click, size)[0].stop - spot(click, size)[0].start <= 2
