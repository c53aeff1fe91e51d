"""What this machine gives: its speed and the memory that is taken, measured here and now."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

SIDE = 1024  # of the square matrices whose product is timed


def matmul_gflops(multiply: Callable[[], object], seconds: float = 0.3) -> float:
    """GFLOP/s of ``multiply``, a product of two square matrices of ``SIDE``: the machine's measured peak for ratios.

    >>> import numpy as np
    >>> a = np.ones((SIDE, SIDE), np.float32)
    >>> matmul_gflops(lambda: a @ a, seconds=0.01) > 0
    True
    """
    multiply()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best / 1e9


def resident_bytes() -> int:
    """Bytes of memory this process holds now; 0 where the system does not tell.

    >>> resident_bytes() >= 0
    True
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """Meanwhile another process keeps one core busy, as a person's other programs do.

    >>> with busy_process():
    ...     pass
    """
    loop = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", loop], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs now
        try:
            yield
        finally:
            process.kill()


class ProcessMemory:
    """The most bytes that this process takes within the ``with``, beside those it had before.

    >>> with ProcessMemory() as memory:
    ...     block = bytearray(1000)
    >>> memory.peak >= 0
    True
    """

    def __init__(self) -> None:
        self.peak = 0
        self._done, self._before = threading.Event(), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessMemory:
        self._before = resident_bytes()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, resident_bytes() - self._before)
        self.peak = max(self.peak, resident_bytes() - self._before)
