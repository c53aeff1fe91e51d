"""What a forward pass may do while a graph is traced, and while gradients are wanted."""

from __future__ import annotations

import torch


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
