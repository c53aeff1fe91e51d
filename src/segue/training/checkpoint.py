"""The file that an interrupted run goes on from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) to ``path``, whole or not at all; its folder is made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(Path(folder, "run", "checkpoint.pt"), {"step": 3})
    ...     torch.load(Path(folder, "run", "checkpoint.pt"), weights_only=True), len(os.listdir(Path(folder, "run")))
    ({'step': 3}, 1)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(dict(state), partial)
    os.replace(partial, path)
