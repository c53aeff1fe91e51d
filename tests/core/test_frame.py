"""Frame: the only place where coordinates and pixels change grids."""

import numpy as np
import pytest
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
    point = np.array([[x, y]])
    assert np.allclose(frame.to_image(frame.to_grid(point)), point, rtol=0, atol=1e-9)


@given(frames(), st.integers(0, 89), st.integers(0, 89), st.sampled_from([np.uint8, np.int32, np.int64]))
def test_whole_number_points_are_not_cut_off(frame: Frame, x: int, y: int, kind: type) -> None:
    whole = np.array([[x, y]], kind)
    assert np.array_equal(frame.to_grid(whole), frame.to_grid(whole.astype(np.float32)))
    assert np.array_equal(frame.to_image(whole), frame.to_image(whole.astype(np.float32)))


@given(frames())
def test_a_frame_survives_the_memory_of_a_model(frame: Frame) -> None:
    assert Frame.from_array(frame.to_array()) == frame


@given(frames())
def test_lift_gives_the_image_size_and_marks_what_was_not_seen(frame: Frame) -> None:
    whole = frame.to_image_size(np.ones((1, 2, *frame.grid), np.float32), outside=-5.0)
    x0, y0, x1, y1 = frame.crop
    assert whole.shape == (1, 2, *frame.size)
    assert np.allclose(whole[..., y0:y1, x0:x1], 1)
    assert whole.sum() == pytest.approx(
        float(2 * ((y1 - y0) * (x1 - x0) * 6 - 5 * frame.size[0] * frame.size[1])), rel=1e-4
    )


def test_view_then_lift_at_full_size_is_the_image_bit_for_bit() -> None:
    image = np.random.default_rng(0).random((1, 3, 33, 47), np.float32)
    for frame in (Frame.longest((33, 47), 47, multiple=32), Frame.resize((33, 47), (33, 47)).flipped()):
        assert np.array_equal(frame.to_image_size(frame.view(image)), image)


def test_shrinking_uint8_matches_pillow() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (97, 133, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((40, 29), Image.Resampling.BILINEAR)).astype(int)
    frame = Frame.resize((97, 133), (29, 40))
    ours = frame.view(pixels.transpose(2, 0, 1)).transpose(1, 2, 0).astype(int)
    assert np.abs(ours - expected).max() <= 1


def test_a_click_keeps_its_pixel_when_the_view_is_mirrored() -> None:
    frame = Frame.resize((20, 30), (20, 30))
    image = np.zeros((20, 30), np.float32)
    image[7, 4] = 1
    x, y = frame.flipped().to_grid(np.array([4.0, 7.0])).tolist()
    assert frame.flipped().view(image)[int(y), int(x)] == 1


def test_padding_of_a_small_map_is_left_out() -> None:
    frame = Frame.longest((50, 100), 64, square=True)
    small = np.full((1, 1, 16, 16), 9.0, np.float32)
    small[..., :8, :] = 1.0
    assert frame.resized == (32, 64)
    assert np.array_equal(frame.to_image_size(small), np.ones((1, 1, 50, 100)))


def test_a_crop_outside_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="region inside the image of 30 x 20"):
        Frame.resize((20, 30), (20, 30)).zoomed((0, 0, 31, 20), (20, 30))


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="the frame's image size"):
        Frame.resize((20, 30), (10, 10)).view(np.zeros((3, 30, 20), np.uint8))


@given(frames(), st.integers(0, 99), st.floats(0.2, 0.8))
def test_the_mask_is_where_the_lifted_probability_exceeds_the_threshold(
    frame: Frame, seed: int, threshold: float
) -> None:
    logits = np.random.default_rng(seed).standard_normal((1, 2, *frame.grid), np.float32)
    probability, mask = frame.to_image_probability(logits), frame.to_image_mask(logits, threshold)
    clear = np.abs(probability - threshold) > 1e-5  # rounding may decide nearer ones
    assert np.array_equal(mask[clear], (probability > threshold)[clear])
