"""What a forward pass may do while a graph is traced, and while gradients are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def tracing() -> bool:
    """Whether a graph is being traced, for ONNX: then sizes are tensors, and no branch may depend on them.

    >>> tracing()
    False
    """
    return bool(torch.jit.is_tracing())  # type: ignore[no-untyped-call,attr-defined]


def may_overwrite() -> bool:
    """Whether a fresh intermediate result may be written over: no gradient wants it, no graph is being traced.

    >>> may_overwrite()
    False
    """
    return not torch.is_grad_enabled() and not tracing()


class Traced(nn.Module):
    """A function ``run`` of tensors as a module that holds the ``net`` it uses: what a graph is traced from.

    >>> layer = nn.Linear(2, 3)
    >>> Traced(layer, lambda x: layer(x).relu())(torch.zeros(1, 2)).shape
    torch.Size([1, 3])
    """

    def __init__(self, net: nn.Module, run: Callable[..., Any]) -> None:
        super().__init__()
        self.net, self.run = net, run

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(*inputs)
