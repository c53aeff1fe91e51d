"""Frame: the only place where coordinates and pixels change grids."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import InputError
from segue.core.frame import Frame


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    height, width = draw(st.integers(2, 90)), draw(st.integers(2, 90))
    x0, y0 = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    crop = (x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height)))
    resized = draw(st.integers(1, 80)), draw(st.integers(1, 80))
    grid = resized[0] + draw(st.integers(0, 9)), resized[1] + draw(st.integers(0, 9))
    return Frame((height, width), crop, resized, grid, draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))


@given(frames(), st.floats(0, 89), st.floats(0, 89))
def test_points_come_back_where_they_were(frame: Frame, x: float, y: float) -> None:
    point = torch.tensor([[x, y]], dtype=torch.float64)
    assert torch.allclose(frame.to_image(frame.to_grid(point)), point, atol=1e-9)


@given(frames(), st.integers(0, 89), st.integers(0, 89), st.sampled_from([torch.uint8, torch.int32, torch.int64]))
def test_whole_number_points_are_not_cut_off(frame: Frame, x: int, y: int, kind: torch.dtype) -> None:
    whole = torch.tensor([[x, y]], dtype=kind)
    assert torch.equal(frame.to_grid(whole), frame.to_grid(whole.float()))
    assert torch.equal(frame.to_image(whole), frame.to_image(whole.float()))


@given(frames())
def test_a_frame_survives_the_memory_of_a_model(frame: Frame) -> None:
    assert Frame.from_tensor(frame.to_tensor()) == frame


@given(frames())
def test_lift_gives_the_image_size_and_marks_what_was_not_seen(frame: Frame) -> None:
    whole = frame.to_image_size(torch.ones(1, 2, *frame.grid), outside=-5.0)
    x0, y0, x1, y1 = frame.crop
    assert whole.shape == (1, 2, *frame.size)
    assert torch.allclose(whole[..., y0:y1, x0:x1], torch.ones(()))
    assert whole.sum() == pytest.approx(
        float(2 * ((y1 - y0) * (x1 - x0) * 6 - 5 * frame.size[0] * frame.size[1])), rel=1e-4
    )


def test_view_then_lift_at_full_size_is_the_image_bit_for_bit() -> None:
    image = torch.rand(1, 3, 33, 47)
    for frame in (Frame.longest((33, 47), 47, multiple=32), Frame.resize((33, 47), (33, 47)).flipped()):
        assert torch.equal(frame.to_image_size(frame.view(image)), image)


def test_shrinking_uint8_matches_pillow() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (97, 133, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((40, 29), Image.Resampling.BILINEAR)).astype(int)
    frame = Frame.resize((97, 133), (29, 40))
    ours = frame.view(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - expected).max() <= 1


def test_one_map_is_enlarged_as_several_are() -> None:
    maps = torch.randn(1, 2, 37, 53, generator=torch.Generator().manual_seed(0))
    frame = Frame((700, 900), (40, 30, 871, 633), (74, 106), (74, 106))
    for k in range(2):
        torch.testing.assert_close(
            frame.to_image_size(maps[:, k : k + 1]), frame.to_image_size(maps)[:, k : k + 1], atol=2e-5, rtol=0
        )


def test_bytes_are_resampled_on_other_devices_too() -> None:
    frame = Frame.resize((97, 133), (29, 40))
    assert frame.view(torch.zeros(1, 3, 97, 133, dtype=torch.uint8, device="meta")).dtype == torch.uint8


def test_a_click_keeps_its_pixel_when_the_view_is_mirrored() -> None:
    frame = Frame.resize((20, 30), (20, 30))
    image = torch.zeros(1, 1, 20, 30)
    image[0, 0, 7, 4] = 1
    x, y = frame.flipped().to_grid(torch.tensor([4.0, 7.0])).tolist()
    assert frame.flipped().view(image)[0, 0, int(y), int(x)] == 1


def test_padding_of_a_small_map_is_left_out() -> None:
    frame = Frame.longest((50, 100), 64, square=True)
    small = torch.full((1, 1, 16, 16), 9.0)
    small[..., :8, :] = 1.0
    assert frame.resized == (32, 64)
    assert torch.equal(frame.to_image_size(small), torch.ones(1, 1, 50, 100))


def test_a_crop_outside_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="region inside the image of 30 x 20"):
        Frame.resize((20, 30), (20, 30)).zoomed((0, 0, 31, 20), (20, 30))


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="the frame's image size"):
        Frame.resize((20, 30), (10, 10)).view(torch.zeros(1, 3, 30, 20))


@given(frames(), st.integers(0, 99), st.floats(0.2, 0.8))
def test_the_mask_is_where_the_lifted_probability_exceeds_the_threshold(
    frame: Frame, seed: int, threshold: float
) -> None:
    logits = torch.randn(1, 2, *frame.grid, generator=torch.Generator().manual_seed(seed))
    probability, mask = frame.to_image_probability(logits), frame.to_image_mask(logits, threshold)
    clear = (probability - threshold).abs() > 1e-5  # rounding may decide nearer ones
    assert torch.equal(mask[clear], (probability > threshold)[clear])
