"""The file that an interrupted run goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segue.core.errors import CheckpointError, MissingFile
from segue.core.files import writing


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) to ``path``, whole or not at all; its folder is made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(Path(folder, "run", "checkpoint.pt"), {"step": 3})
    ...     read_checkpoint(Path(folder, "run", "checkpoint.pt"))
    {'step': 3}
    """
    with writing(path, sync=True) as file:
        torch.save(dict(state), file)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state in ``path``, its tensors on ``device``; ``MissingFile`` or ``CheckpointError`` where there is none."""
    if not path.is_file():
        raise MissingFile(f"no checkpoint {path}", "one left by an earlier run", "leave --resume out to begin anew")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch names no base class of what a damaged file raises
        raise CheckpointError(f"{path}, which is damaged ({error})", "a whole checkpoint", "begin anew") from error
    return state
