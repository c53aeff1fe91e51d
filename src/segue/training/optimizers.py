"""What a step is made of: AdamW and Muon over groups of parameters with their own rates, and mixed precision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from segue.nn.vit import layer_shares
from segue.training.config import OptimizerConfig, Precision

Group: TypeAlias = dict[str, Any]
MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration, and how often it runs
ITERATIONS = 5
EMBEDDINGS = ("cls_token", "pos_embed")  # not decayed, as SimpleClick publishes
LEAST = 16  # rows and columns that make a matrix: depthwise 3 x 3 kernels are none


def parameter_groups(module: nn.Module, config: OptimizerConfig, backbone: Iterable[nn.Module] = ()) -> list[Group]:
    """Trained parameters of ``module`` by learning rate and weight decay; vectors (biases, norms) never
    decay, nor do class token and position embedding unless asked for.

    ``layer_decay`` below 1 rules the rates of a ViT's blocks in place of ``backbone_lr`` (InterFormer: 0.65 for ViT-B,
    0.75 for ViT-L).

    >>> groups = parameter_groups(nn.Linear(2, 2), OptimizerConfig())
    >>> [(len(g["params"]), g["weight_decay"]) for g in groups]
    [(1, 0.01), (1, 0.0)]
    """
    pretrained = {id(p) for part in backbone for p in part.parameters()}
    shares = layer_shares(module, config.layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            lr = config.backbone_lr if config.backbone_lr is not None and id(parameter) in pretrained else config.lr
            lr = config.lr * shares[name] if shares else lr
            kept = parameter.ndim == 1 or (name.endswith(EMBEDDINGS) and not config.decay_embeddings)
            groups.setdefault((lr, 0.0 if kept else config.weight_decay), []).append(parameter)
    return [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]


def build_optimizer(groups: Iterable[Group], kind: str = "adamw") -> torch.optim.Adam:
    """AdamW, Adam or Muon over ``groups``, each of which keeps its rate as ``initial_lr`` for the schedule."""
    rows = [{**g, "initial_lr": g["lr"]} for g in groups]
    if kind == "muon":
        return Muon(rows)
    return torch.optim.Adam(rows, foreach=True) if kind == "adam" else torch.optim.AdamW(rows, foreach=True)


def scale_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to ``factor`` of its initial one."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


class Muon(torch.optim.AdamW):
    """AdamW in which convolutions and linear layers of at least 16 outputs and 16 inputs take Muon's steps.

    Their kernels (out, in, h, w) count as matrices (out, in h w). A step is ``0.2 sqrt(max(rows, columns))`` long for
    each unit of the rate, so that AdamW's rates and weight decay fit. ``torch.optim.Muon`` takes the same steps, but
    only for two-dimensional parameters, and leaves the rest to a second optimiser.

    Source: Jordan et al., "Muon", 2024; the length of a step: Liu et al., "Muon is scalable", 2025, section 2.2.

    >>> layer = torch.nn.Conv2d(16, 16, 1)
    >>> optimiser = Muon([{"params": list(layer.parameters()), "lr": 0.1, "weight_decay": 0.0}])
    >>> before = layer.weight.detach().clone()
    >>> layer(torch.rand(1, 16, 4, 4)).square().sum().backward()
    >>> optimiser.step()
    >>> change = (layer.weight - before).flatten(1) / (0.1 * 0.2 * 4)
    >>> bool(torch.linalg.matrix_norm(change, 2) < 1.3)
    True
    """

    def __init__(self, groups: Iterable[Group]) -> None:
        split = [{**g, "params": [p for p in g["params"] if is_matrix(p) == m]} for g in groups for m in (True, False)]
        super().__init__([g for g in split if g["params"]], foreach=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if is_matrix(parameter) and parameter.grad is not None:
                    self._turn(parameter, parameter.grad, group["lr"], group["weight_decay"])
                    parameter.grad = None  # AdamW passes it over
        super().step(closure)

    def _turn(self, parameter: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            # AdamW looks for a step in every state that it loads
            state.update(step=torch.tensor(0.0), momentum=torch.zeros_like(parameter))
        state["step"] += 1
        momentum: Tensor = state["momentum"]
        momentum.lerp_(gradient, 1 - MOMENTUM)
        change = orthogonalised(gradient.lerp(momentum, MOMENTUM).flatten(1))
        parameter.mul_(1 - rate * decay)
        parameter.add_(change.view_as(parameter), alpha=-0.2 * rate * max(change.shape) ** 0.5)


def is_matrix(parameter: Tensor) -> bool:
    """Whether ``parameter`` has at least 16 outputs and as many inputs."""
    return parameter.ndim > 1 and parameter.shape[0] >= LEAST and parameter[0].numel() >= LEAST


def orthogonalised(matrix: Tensor) -> Tensor:
    """(rows, columns) -> nearly the closest matrix with orthogonal rows or columns: every singular value between 0.7
    and 1.2.

    >>> values = torch.linalg.svdvals(orthogonalised(torch.randn(16, 32, generator=torch.Generator().manual_seed(0))))
    >>> bool(values.min() > 0.6), bool(values.max() < 1.3)
    (True, True)
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.float().T if tall else matrix.float()
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    found: Tensor = x.T if tall else x
    return found


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The forward pass's context on ``device``: ``precision`` where the device computes it natively, else float32.

    >>> with autocast(torch.device("cpu"), "fp32"):
    ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    torch.float32
    """
    if precision == "fp16":
        return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and bf16_pays(device))


def gradient_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Loss scaling for float16 on a GPU; the identity elsewhere."""
    return torch.amp.GradScaler("cuda", enabled=precision == "fp16" and device.type == "cuda")


def bf16_pays(device: torch.device) -> bool:
    """Whether the device computes bf16 natively: a GPU that says so, a CPU with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
