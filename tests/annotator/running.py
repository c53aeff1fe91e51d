"""Servers in processes of their own, which can be killed; they are forked from one that has imported everything."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("fake_model.py")


@functools.cache
def nursery() -> subprocess.Popen[str]:
    """The process that servers are forked from; it ends with this one."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A server on ``folder`` with the database ``db``; ``pause`` seconds an encode."""

    def __init__(self, folder: Path, db: str, port: int | None = None, pause: float = 0.0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        parent = nursery()
        assert parent.stdin is not None and parent.stdout is not None  # noqa: PT018
        parent.stdin.write(f"{folder}\t{db}\t{self.port}\t{pause}\n")
        parent.stdin.flush()
        self.pid = int(parent.stdout.readline())
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            time.sleep(0.03)
        raise AssertionError("the server did not answer")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.01)
        raise AssertionError("the server did not end")
