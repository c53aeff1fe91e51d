"""The file that an interrupted run goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segue.core.files import writing


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) to ``path``, whole or not at all; its folder is made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(Path(folder, "run", "checkpoint.pt"), {"step": 3})
    ...     torch.load(Path(folder, "run", "checkpoint.pt"), weights_only=True)
    {'step': 3}
    """
    with writing(path, sync=True) as file:
        torch.save(dict(state), file)
