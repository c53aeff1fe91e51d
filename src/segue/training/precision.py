"""Mixed precision: when it pays, and how the forward pass and the gradient use it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["bf16", "fp16", "fp32"]


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
