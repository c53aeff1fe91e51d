"""How a run is interrupted, between two steps, and the file that it goes on from."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
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


class Interruption:
    """Ctrl-C and SIGTERM, as schedulers send it: noted during a step, ``KeyboardInterrupt`` at any other time.

    >>> interruption = Interruption()
    >>> with interruption.watched(), interruption.step():
    ...     signal.raise_signal(signal.SIGTERM)
    >>> interruption.asked
    True
    """

    def __init__(self) -> None:
        self.asked = False
        self._stepping = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take both signals for the length of a ``with``; outside the main thread they are left alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def step(self) -> Iterator[None]:
        """What must not be cut in two."""
        self._stepping = True
        try:
            yield
        finally:
            self._stepping = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._stepping or self.asked:
            raise KeyboardInterrupt
        self.asked = True
