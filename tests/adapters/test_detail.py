"""ClickAdapter: its size against the paper's tables, its ablations, and that clicks stay instant where they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segue.adapters.base import attach, disabled
from segue.adapters.detail import ClickAdapter, detail
from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image
from segue.models.registry import MODELS
from segue.models.wrappers import unwrapped
from segue.session.load import build

IMAGE: Image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
# Tables III and IV of the paper, in millions: all parameters, learnable ones where given.
PUBLISHED = {
    "simpleclick-base": (128.65, 32.95),
    "simpleclick-large": (378.30, None),
    "segformer-b0-click": (7.06, None),
    "segformer-b3-click": (58.77, None),
}


def tiny(name: str) -> Segmenter:
    torch.manual_seed(0)
    return build(name, MODELS[name].tiny).eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_papers_within_three_per_cent(name: str) -> None:
    """Not so the learnable part of ViT-L (63.3 M, paper 57.12 M): see docs/adapters.md."""
    total, learnable = PUBLISHED[name]
    with torch.device("meta"):
        model = build(name)
        adapter = ClickAdapter(model)
    everything = sum(p.numel() for p in model.module.parameters()) + adapter.trainable
    assert everything / 1e6 == pytest.approx(total, rel=0.03)
    if learnable is not None:
        assert adapter.trainable / 1e6 == pytest.approx(learnable, rel=0.03)


ABLATIONS: list[dict[str, Any]] = [
    {"early": 0},
    {"early": 2},
    {"early": 3},
    {"sources": "early"},
    {"sources": "prior"},
    {"mixing": "add"},
    {"mixing": "concat"},
    {"mixing": "cross"},
]


@pytest.mark.parametrize("settings", ABLATIONS, ids=str)
def test_every_row_of_the_ablation_runs_by_configuration(settings: dict[str, Any]) -> None:
    model = tiny("simpleclick-xtiny")
    adapter = attach(model, ClickAdapter(model, **settings))
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    net = unwrapped(model).module.net
    points = torch.tensor([[[30.0, 20.0, 0.0], [-1.0, -1.0, -1.0]]])
    torch.autograd.backward(net(torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64), points).square().mean())
    assert all(p.grad is not None and bool(p.grad.any()) for p in adapter.parameters())


@pytest.mark.parametrize("settings", [{"early": 99}, {"sources": "late"}, {"mixing": "stir"}], ids=str)
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ClickAdapter(tiny("simpleclick-xtiny"), **settings)


def test_on_a_two_stage_model_the_branch_belongs_to_encode() -> None:
    """With the encoder's work cached, a click runs the bottlenecks in the decoder alone."""
    model = tiny("nano")
    adapter = attach(model, detail(model))
    ran: set[str] = set()
    for name, layer in adapter.layers.items():
        layer.register_forward_hook(lambda *_, name=name: ran.add(name))
    features = model.encode([IMAGE], [model.frame((60, 80))])
    at_encode = {"features", *(f"backbone/{n}" for n in range(3, 17))}
    assert ran == at_encode
    ran.clear()
    prediction = model.decode(features, [Click(30, 20)])
    model.decode(features, [Click(30, 20), Click(50, 40, positive=False)], prediction.memory)
    assert ran == set(adapter.layers) - at_encode


def test_the_gammas_start_at_zero() -> None:
    for name in ("simpleclick-xtiny", "nano"):
        model = tiny(name)
        gammas = [p for n, p in detail(model).named_parameters() if n.endswith("gamma")]
        assert gammas
        assert not any(bool(g.any()) for g in gammas)


def test_two_passes_in_a_row_do_not_mix() -> None:
    """The layers hand notes to each other within a pass; the next one starts afresh."""
    model = tiny("simpleclick-xtiny")
    adapter = attach(model, ClickAdapter(model))
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        first = model.decode(model.encode([IMAGE]), [Click(30, 20)]).logits
        model.decode(model.encode([255 - IMAGE]), [Click(5, 5)])
        with disabled(model):
            model.decode(model.encode([IMAGE]), [Click(5, 5)])
        again = model.decode(model.encode([IMAGE]), [Click(30, 20)]).logits
    assert np.array_equal(first, again)
