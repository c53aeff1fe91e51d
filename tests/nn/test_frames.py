"""The views of tensors are the views of arrays."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from segue.core.frame import Frame
from segue.nn import frames
from tests.core.test_frame import frames as any_frame


@given(any_frame(), st.integers(0, 99))
@example(Frame((2, 2), (0, 0, 1, 1), (1, 1), (1, 1), align_corners=True), 0)
@example(Frame((3, 2), (0, 0, 1, 3), (2, 1), (2, 1)), 0)
def test_an_image_of_bytes_looks_the_same_to_within_a_level(frame: Frame, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (3, *frame.size), np.uint8)
    of_array, of_tensor = frame.view(image), frames.view(frame, torch.from_numpy(image)[None])[0].numpy()
    assert of_array.dtype == of_tensor.dtype
    assert np.abs(of_array.astype(float) - of_tensor).max() <= 1


@given(any_frame(), st.integers(0, 99))
@example(Frame((3, 2), (0, 0, 1, 3), (2, 1), (2, 1)), 0)
@example(Frame((2, 2), (0, 0, 2, 2), (3, 1), (3, 1)), 0)
def test_maps_go_to_the_view_and_back_alike(frame: Frame, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, maps = rng.random((1, 2, *frame.size), np.float32), rng.random((1, 2, *frame.grid), np.float32)
    view, whole = (
        frames.view(frame, torch.from_numpy(image), 0.5),
        frames.to_image_size(frame, torch.from_numpy(maps), -1),
    )
    np.testing.assert_allclose(frame.view(image, 0.5), view.numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(frame.to_image_size(maps, -1), whole.numpy(), rtol=0, atol=1e-4)


def test_a_small_padded_map_is_enlarged_alike() -> None:
    frame = Frame((700, 900), (40, 30, 871, 633), (74, 106), (96, 128))
    maps = np.random.default_rng(0).standard_normal((1, 2, 24, 32), np.float32)
    whole = frames.to_image_size(frame, torch.from_numpy(maps))
    np.testing.assert_allclose(frame.to_image_size(maps), whole.numpy(), rtol=0, atol=1e-4)


def test_bytes_are_resampled_on_other_devices_too() -> None:
    frame = Frame.resize((97, 133), (29, 40))
    assert frames.view(frame, torch.zeros(1, 3, 97, 133, dtype=torch.uint8, device="meta")).dtype == torch.uint8


def test_gradients_flow_back_through_the_enlargement() -> None:
    maps = torch.zeros(1, 1, 4, 4, requires_grad=True)
    frames.to_image_size(Frame.resize((8, 8), (4, 4)), maps).sum().backward()
    assert maps.grad is not None
    assert float(maps.grad.sum()) == pytest.approx(64)
