"""ClickAdapter as printed: its equations with plain arithmetic, gamma's first step, the early block, its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segue.adapters.base import attach, disabled
from segue.adapters.detail import ClickAdapter
from segue.adapters.detail_network import Attention, Injector
from segue.core.types import Click
from segue.evaluation.benchmark import count_flops
from segue.jobs.train import train
from segue.models.registry import MODELS
from segue.models.wrappers import unwrapped
from segue.session.load import build
from tests.training.toys import tiny_config, write_blocks


def normed(x: Tensor, layer: Any) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def attended(layer: Attention, query: Tensor, source: Tensor) -> Tensor:
    q, k, v = (x @ m.weight.T + m.bias for x, m in ((query, layer.query), (source, layer.key), (source, layer.value)))
    out, width = torch.zeros_like(q), q.shape[-1] // layer.heads
    for head in range(layer.heads):
        part = slice(head * width, (head + 1) * width)
        weights = torch.exp(q[..., part] @ k[..., part].transpose(1, 2) / width**0.5)
        out[..., part] = weights / weights.sum(-1, keepdim=True) @ v[..., part]
    return out @ layer.out.weight.T + layer.out.bias


def test_equations_one_to_three() -> None:
    torch.manual_seed(0)
    injector, early, prior = Injector(128), torch.randn(2, 6, 128), torch.randn(2, 6, 128)
    with torch.no_grad():
        for parameter in injector.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        n, feed = injector.norms, injector.feed
        mixed = early + injector.gamma * attended(injector.inject, normed(early, n[3]), normed(prior, n[4]))  # (1)
        inside = normed(prior, n[0]) @ feed[0].weight.T + feed[0].bias
        inside = inside * 0.5 * (1 + torch.erf(inside / 2**0.5))
        fed = prior + inside @ feed[2].weight.T + feed[2].bias  # (2)
        expected = fed + attended(injector.back, normed(fed, n[1]), normed(mixed, n[2]))  # (3)
        assert torch.allclose(injector(early, prior), expected, atol=1e-5)


@pytest.mark.parametrize(("identity", "moves"), [(True, False), (False, True)])
def test_gamma_moves_at_the_first_step_unless_the_adapter_begins_as_the_identity(identity: bool, moves: bool) -> None:
    torch.manual_seed(0)
    model: Any = build("simpleclick-xtiny", MODELS["simpleclick-xtiny"].tiny).eval()
    adapter = attach(model, ClickAdapter(model, identity=identity))
    net, points = unwrapped(model).module.net, torch.tensor([[[30.0, 20.0, 0.0], [-1.0, -1.0, -1.0]]])
    image, previous = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    logits = net(image, previous, points)
    logits.square().mean().backward()
    gamma = next(p for name, p in adapter.named_parameters() if name.endswith("gamma"))
    assert not gamma.any()
    assert bool(gamma.grad is not None and gamma.grad.any()) == moves
    with disabled(model, adapter):
        assert torch.equal(net(image, previous, points), logits) == identity


@pytest.mark.parametrize(("depth", "block"), [(12, 2), (24, 3), (32, 7)])
def test_the_early_features_are_those_of_the_papers_block(depth: int, block: int) -> None:
    model = build("simpleclick-xtiny", {**MODELS["simpleclick-xtiny"].tiny, "depth": depth})
    assert any(path.endswith(f"blocks.{block}") for path in ClickAdapter(model).links)


@pytest.mark.parametrize("name", ["simpleclick-xtiny", "segformer-b0-click"])
def test_the_cost_of_a_click_counts_the_adapter(name: str) -> None:
    model = build(name, MODELS[name].tiny).eval()
    image, prompts = np.zeros((48, 64, 3), np.uint8), [Click(20, 20)]
    bare = count_flops(model, image, prompts)[1]
    attach(model, ClickAdapter(model))
    assert count_flops(model, image, prompts)[1] > bare > 0


def test_a_segformer_starts_from_an_imagenet_encoder(tmp_path: Path) -> None:
    tiny = MODELS["segformer-b0-click"].tiny
    encoder = build("segformer-b0-click", tiny).module.net.backbone.state_dict()
    torch.save(
        {**encoder, "head.weight": torch.zeros(1000, 64), "head.bias": torch.zeros(1000)}, tmp_path / "mit_b0.pth"
    )
    config = tiny_config(
        write_blocks(tmp_path / "data"),
        tmp_path / "out",
        "segformer-b0-click",
        steps=1,
        frozen=4,
        pretrained_backbone=tmp_path / "mit_b0.pth",
        ema=0,
    )
    train(config)
    left = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["model"]
    name = "net.backbone.block1.0.attn.q.weight"
    assert torch.equal(left[name], encoder[name.removeprefix("net.backbone.")])
