"""A correction is looked at where its click changed the mask."""

from __future__ import annotations

import torch

from segue.training.click_dialogue import Prompts
from segue.training.close_views import close_views

SIDE, CELLS = 640, 160


def answer(box: tuple[int, int, int, int], x: float, y: float) -> tuple[torch.Tensor, Prompts]:
    """Logits (1, 1, 160, 160) that add a box of cells (x0 y0 x1 y1) to an empty mask, and the click (in pixels of the
    320-pixel view) that they answer."""
    logits = torch.full((1, 1, CELLS, CELLS), -4.0)
    logits[..., box[1] : box[3], box[0] : box[2]] = 4.0
    logits[..., 150:155, 2:6] = 4.0  # far away
    clicks = torch.tensor([[[9.0, 9.0, 1.0], [x, y, 1.0], [0.0, 0.0, -1.0]]])
    return logits, Prompts(clicks, torch.zeros(1, 4), torch.zeros(1, 1, CELLS, CELLS))


def test_the_view_holds_the_connected_change_and_little_more() -> None:
    for seed in range(20):
        logits, prompts = answer((40, 50, 100, 80), 120, 130)
        ((x0, y0, x1, y1),) = close_views(
            logits, prompts, SIDE, 256, torch.Generator().manual_seed(seed)
        ).crops.tolist()
        assert x0 <= 160
        assert y0 <= 200
        assert x1 >= 400
        assert y1 >= 320
        assert x1 - x0 <= 1.8 * 240 + 8


def test_without_a_change_it_lies_around_the_newest_click_inside_the_photo() -> None:
    logits, prompts = answer((0, 0, 0, 0), 316, 10)
    for seed in range(20):
        ((x0, y0, x1, y1),) = close_views(
            logits, prompts, SIDE, 256, torch.Generator().manual_seed(seed)
        ).crops.tolist()
        assert 0 <= x0 <= 632 < x1 <= SIDE
        assert 0 <= y0 <= 20 < y1 <= SIDE
        assert 0.11 * SIDE < x1 - x0 <= 0.52 * SIDE + 8
