"""Interruption of a run between two steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
