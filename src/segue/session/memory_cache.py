"""Features of the last few images, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image


class MemoryCache:
    """The newest ``limit`` images by a key of the caller's, with their features; each is encoded once.

    >>> import numpy as np, segue
    >>> cache = MemoryCache(segue.load("nano"), limit=1)
    >>> cache.get("a", lambda: np.zeros((32, 32, 3), np.uint8))[0].shape, "a" in cache
    ((32, 32, 3), True)
    """

    def __init__(self, model: Segmenter, limit: int) -> None:
        self.model, self.limit = model, limit
        self._rows: OrderedDict[Hashable, tuple[Image, Features]] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def get(self, key: Hashable, read: Callable[[], Image]) -> tuple[Image, Features]:
        """The image (H, W, 3) of ``key``, read if need be, and its features."""
        if key not in self._rows:
            image = read()
            self._rows[key] = image, self.model.encode([image])
        self._rows.move_to_end(key)
        while len(self._rows) > self.limit:
            self._rows.popitem(last=False)
        return self._rows[key]
