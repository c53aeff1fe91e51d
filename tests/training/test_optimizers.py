"""Muon: the library's own steps for matrices, AdamW's for everything else."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from segue.training.optimizers import Muon, is_matrix, orthogonalised


def trained(optimiser: torch.optim.Optimizer, network: nn.Module, steps: int = 5) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.randn(128, 24, generator=generator)).square().mean().backward()
        optimiser.step()


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(24, 40)


def test_matrices_take_the_librarys_steps() -> None:
    ours, published = linear(), linear()
    trained(Muon([{"params": [ours.weight], "lr": 0.02, "weight_decay": 0.1}]), ours)
    library = torch.optim.Muon([published.weight], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    trained(library, published)
    moved = (published.weight - linear().weight).norm()
    assert moved > 0.3
    # the library iterates in bfloat16, which tells most where singular values are small
    assert (ours.weight - published.weight).norm() < 0.05 * moved


def test_all_else_takes_adamws_steps() -> None:
    ours, published = linear(), linear()
    trained(Muon([{"params": [ours.bias], "lr": 0.02, "weight_decay": 0.1}]), ours)
    trained(torch.optim.AdamW([published.bias], lr=0.02, weight_decay=0.1), published)
    assert torch.equal(ours.bias, published.bias)
    assert torch.equal(ours.weight, linear().weight)


def test_kernels_are_matrices_and_depthwise_ones_are_not() -> None:
    assert is_matrix(nn.Conv2d(16, 32, 1).weight)
    assert not is_matrix(nn.Conv2d(64, 64, 3, groups=64).weight)
    assert not is_matrix(nn.Linear(64, 1).weight)
    assert not is_matrix(nn.Conv2d(64, 64, 1).get_parameter("bias"))


def test_the_order_of_a_kernels_columns_does_not_matter() -> None:
    matrix = torch.randn(20, 45, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(45, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(orthogonalised(matrix)[:, order], orthogonalised(matrix[:, order]), atol=1e-4)


def test_a_convolution_learns_in_channels_last_and_in_half_of_the_layers() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fixed = nn.Conv2d(16, 16, 1).requires_grad_(False)
    optimiser = Muon([{"params": [*layer.parameters(), *fixed.parameters()], "lr": 0.01, "weight_decay": 0.0}])
    pixels = torch.randn(2, 16, 8, 8)
    losses, before = [], fixed.weight.clone()
    for _ in range(60):
        optimiser.zero_grad()
        loss = F.mse_loss(layer(fixed(pixels)), pixels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert torch.equal(fixed.weight, before)
