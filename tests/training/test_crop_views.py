"""Views for training lie where nano's own frames would put them, and are chosen as nano chooses."""

from __future__ import annotations

import pytest
import torch

from segue.core.frame import Frame
from segue.core.types import Box, Click
from segue.models.nano.model import Nano
from segue.models.nano.views import bounding_box
from segue.nn import frames
from segue.training.click_dialogue import Prompts
from segue.training.crop_views import CropViews, choose_crop_views, close_views, extents

SIDE = 512
CROP = (100, 60, 260, 180)  # 160 x 120, shown twice as large


def framed(crop: tuple[int, int, int, int], size: int) -> Frame:
    span = crop[2] - crop[0], crop[3] - crop[1]
    resized = (size * span[1] // max(span), size * span[0] // max(span))
    return Frame((SIDE, SIDE), crop, resized, (size, size))


def test_prompts_and_pixels_lie_where_a_frame_puts_them() -> None:
    views, frame = CropViews(torch.tensor([CROP]).float(), SIDE, 320), framed(CROP, 320)
    points = torch.tensor([[110.0, 70.0], [201.0, 99.0]])
    clicks = torch.cat([points, torch.tensor([[1.0], [0.0]])], 1)[None]
    on_grid = torch.as_tensor(frame.to_grid(points.numpy()), dtype=torch.float32)
    assert torch.allclose(views.clicks(clicks)[0, :, :2], on_grid, atol=1e-4)
    assert torch.allclose(views.boxes(torch.tensor([[110.0, 70, 201, 99]])).view(2, 2), on_grid, atol=1e-4)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    difference = (views.pixels(smooth) - frames.view(frame, smooth, 0.5)).abs()
    assert difference[..., 1:239, 1:319].max() < 1e-3
    assert bool((views.pixels(smooth)[..., 240:, :] == 0.5).all())


def test_what_was_seen_is_put_back_where_it_was() -> None:
    views = CropViews(torch.tensor([CROP]).float(), SIDE, 320)
    mask = torch.zeros(1, 1, SIDE // 2, SIDE // 2)
    mask[..., 40:80, 60:110] = 1.0
    back = views.to_photos(views.masks(mask))
    assert (back - mask).abs().mean() < 2e-3
    assert bool(((back > 0.5) == (mask > 0.5)).all())


@pytest.mark.parametrize(
    ("place", "boxed"),
    [
        ((200, 100, 260, 190), False),
        ((30, 40, 460, 300), False),
        ((5, 5, 40, 30), False),
        ((210, 120, 300, 200), True),
    ],
)
def test_the_view_is_the_one_that_nano_turns_to(place: tuple[int, int, int, int], boxed: bool) -> None:
    """One photo of 512 x 340 pixels, upper left in its square."""
    model, size = Nano(), (340, SIDE)
    x0, y0, x1, y1 = (v - v % 2 for v in place)
    coarse = torch.zeros(1, 1, SIDE // 2, SIDE // 2, dtype=torch.bool)
    coarse[..., y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = True
    photo = torch.zeros(1, 1, SIDE, SIDE)
    photo[..., : size[0], :] = 1
    prompt = Box(x0, y0, x1, y1) if boxed else Click((x0 + x1) // 2, (y0 + y1) // 2)
    clicks = torch.full((1, 1, 3), -1.0) if boxed else torch.tensor([[[prompt.x, prompt.y, 1.0]]])
    box = torch.tensor([[x0, y0, x1, y1]]).float() if boxed else torch.zeros(1, 4)
    ((rows, views),) = choose_crop_views(model, coarse, extents(photo), clicks, box, SIDE)
    whole = model.frame(size)
    full = Frame(size, (0, 0, SIDE, size[0]), size, size)
    masked = bounding_box(coarse[0, 0, : size[0] // 2].numpy(), full)
    prompted = (x0, y0, x1, y1) if boxed else (prompt.x, prompt.y, prompt.x + 1, prompt.y + 1)
    wanted = model.region(whole, [masked, prompted] if masked else [prompted])
    assert rows.tolist() == [0]
    assert views.size == (model.longest if wanted.is_whole_image else model.zoom.longest)
    assert torch.allclose(views.crops[0], torch.tensor(wanted.crop).float(), atol=1)


def test_what_a_coarse_pass_finds_beside_the_photo_is_passed_over() -> None:
    model = Nano()
    photo, coarse = torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE // 2, SIDE // 2, dtype=torch.bool)
    photo[..., 150:480, :] = 1
    coarse[..., 5:40, 100:160] = True  # above it
    clicks = torch.tensor([[[200.0, 300.0, 1.0]]])
    ((rows, views),) = choose_crop_views(model, coarse, extents(photo), clicks, torch.zeros(1, 4), SIDE)
    x0, y0, x1, y1 = views.crops[0].tolist()
    assert rows.tolist() == [0]
    assert 0 <= x0 < 200 < x1 <= SIDE
    assert 150 <= y0 < 300 < y1 <= 480


@pytest.mark.parametrize("place", [(0.0, 500.0), (511.0, 260.0)])
def test_a_click_on_what_was_pasted_beside_the_photo_is_answered_at_its_edge(place: tuple[float, float]) -> None:
    photo, coarse = torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE // 2, SIDE // 2, dtype=torch.bool)
    photo[..., :254, :] = 1
    clicks = torch.tensor([[[*place, 1.0]]])
    ((rows, views),) = choose_crop_views(Nano(), coarse, extents(photo), clicks, torch.zeros(1, 4), SIDE)
    x0, y0, x1, y1 = views.crops[0].tolist()
    assert rows.tolist() == [0]
    assert 0 <= x0 < x1 <= SIDE
    assert 0 <= y0 < y1 == 254


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
