"""The side network: its own view of the pixels, joined by the frozen tower's states, in the decoder's place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from segue.adapters.base import attach, disabled
from segue.adapters.side import SideNetwork
from segue.core.errors import ConfigError
from segue.models.clipseg.model import CLIPSeg
from segue.models.registry import MODELS
from segue.session.load import build

SMALL: dict[str, Any] = {"width": 16, "layers": 4, "heads": 2}


def tiny() -> CLIPSeg:
    torch.manual_seed(0)
    model = build("clipseg-rd64", MODELS["clipseg-rd64"].tiny).eval()
    assert isinstance(model, CLIPSeg)
    return model


def side_state(layer: Any, taps: list[Tensor], pixels: Tensor, stem: Tensor) -> Tensor:
    with torch.no_grad():
        state: Tensor = layer(taps, taps, pixels, stem)[-1]
    return state


def test_the_state_depends_on_the_pixels_and_on_every_frozen_state() -> None:
    model = tiny()
    side = SideNetwork(model, **SMALL).layers["vision/side"].eval()
    beside = model.core.beside
    states = torch.randn(len(model.core.extract) + 1, 1, 1 + beside.cells**2, beside.width)
    pixels = torch.randn(1, 3, beside.cells * beside.patch, beside.cells * beside.patch)
    plain = side_state(side, list(states[1:]), pixels, states[0])
    assert not torch.allclose(side_state(side, list(states[1:]), pixels + torch.rand_like(pixels), states[0]), plain)
    for i in range(len(states)):
        moved = states.clone()
        moved[i] += torch.randn_like(moved[i])
        assert not torch.allclose(side_state(side, list(moved[1:]), pixels, moved[0]), plain), i


def test_the_frozen_decoder_rests_while_the_side_network_is_on() -> None:
    model = tiny()
    ran: list[int] = []
    model.core.decoder.film_mul.register_forward_hook(lambda *_: ran.append(1))
    attach(model, SideNetwork(model, **SMALL))
    pixels, ids = torch.zeros(1, 3, 64, 64), torch.tensor([[512, 5, 513]])
    with torch.no_grad():
        taps = model.core.vision(pixels)
        assert model.core.decode(taps, model.core.text(ids), (4, 4)).shape == (1, 1, 64, 64)
        assert len(taps) == len(model.core.extract) + 1
        assert ran == []
        with disabled(model):
            model.core.decode(model.core.vision(pixels), model.core.text(ids), (4, 4))
    assert ran == [1]


def test_other_image_sizes_interpolate_its_positions() -> None:
    model = tiny()
    attach(model, SideNetwork(model, **SMALL))
    with torch.no_grad():
        assert model.core.vision(torch.zeros(1, 3, 96, 64))[-1].shape == (1, 1 + 6 * 4, 16)


def test_its_size_at_the_published_widths() -> None:
    """SAN's own has 8.4 M, with a hundred proposals and the attention bias that this one does without."""
    with torch.device("meta"):
        model = CLIPSeg(**MODELS["clipseg-rd64-refined"].config)
        assert SideNetwork(model).trainable == 7_056_849


def test_fewer_layers_than_frozen_states_are_refused() -> None:
    with pytest.raises(ConfigError, match="tapped states"):
        SideNetwork(tiny(), width=16, layers=1, heads=2)
