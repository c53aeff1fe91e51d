"""Where a model runs: a device that is there, or a clear word that it is not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from segue.core.errors import ConfigError


def choose_device(name: Any = None) -> Any:
    """The device ``name`` (a ``torch.device``, or "cpu"); None is the GPU where there is one, else the CPU.

    PyTorch is loaded only where the answer may be another than the CPU.

    Raises ``ConfigError`` for a name that PyTorch does not know and for a device that is not there.

    >>> choose_device("cpu")
    'cpu'
    >>> choose_device("gpu")
    Traceback (most recent call last):
    segue.core.errors.ConfigError: got the device 'gpu'; expected one that is there: cpu...
    """
    if str(name) == "cpu" or (name is None and not _may_have_gpu()):
        return "cpu"
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    there += ["mps"] * torch.backends.mps.is_available() + ["xpu"] * torch.xpu.is_available()
    try:
        device = torch.device(name)
        known = device.type in {one.partition(":")[0] for one in there}
        if known and (device.type != "cuda" or str(device) in ("cuda", *there)):
            return device
    except RuntimeError:  # no name of a device
        pass
    fix = "" if torch.version.cuda else "this PyTorch is built without CUDA"
    raise ConfigError(f"the device '{name}'", f"one that is there: {', '.join(there)}", fix)


def _may_have_gpu() -> bool:
    """Whether a driver of NVIDIA or AMD is there."""
    return shutil.which("nvidia-smi") is not None or Path("/dev/kfd").exists()
