"""One bound for the memory of a server: photos while they are decoded, and what is kept of them."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator

DECODED = 8  # bytes a pixel at most while a photo is decoded: as the file has it, and as (H, W, 3)
LARGE = 8_000_000  # pixels of a photo whose memory is worth giving back


class MemoryBudget:
    """At most ``limit`` bytes. Decoding comes first: ``shrink`` is told how many bytes may be kept meanwhile.

    >>> budget = MemoryBudget(100)
    >>> with budget.decoding(5):
    ...     budget.left
    60
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.shrink: Callable[[int], None] = lambda left: None
        self._taken = 0
        self._freed = threading.Condition()

    @property
    def left(self) -> int:
        """Bytes that may be kept now."""
        return self.limit - self._taken

    @contextlib.contextmanager
    def decoding(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for a photo of so many pixels; one larger than the whole waits to be alone."""
        size = min(DECODED * pixels, self.limit)
        with self._freed:
            self._freed.wait_for(lambda: self._taken + size <= self.limit)
            self._taken += size
        try:
            self.shrink(self.left)
            yield
        finally:
            give_back(pixels)
            with self._freed:
                self._taken -= size
                self._freed.notify_all()


def give_back(pixels: int) -> None:
    """Memory that decoding so many pixels has freed goes back to the system: the allocator of Linux would keep it, for
    every thread."""
    if pixels > LARGE and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
