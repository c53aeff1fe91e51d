"""What an export wrote, and masks as the overlap policy leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Exported:
    """What an export wrote and left out: ``images``, objects that were ``empty``, and photos that were ``replaced``
    since their masks were made."""

    images: int = 0
    empty: int = 0
    replaced: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{self.images} {'image' if self.images == 1 else 'images'} exported."]
        if self.empty:
            objects = "object without a pixel was" if self.empty == 1 else "objects without a pixel were"
            parts.append(f"{self.empty} {objects} left out.")
        if self.replaced:
            parts.append(f"Masks of the old file, as it was replaced since: {', '.join(self.replaced[:5])}.")
        return " ".join(parts)


def resolved(masks: Sequence[Any], policy: str) -> list[Any]:
    """``masks`` (H, W) bool, bottom first, after the overlap policy: kept ("allow"), the upper one wins ("new")
    or the lower one wins ("old").

    >>> a, b = np.array([[True, True, False]]), np.array([[False, True, True]])
    >>> [m.astype(int).tolist() for m in resolved([a, b], "new")]
    [[[1, 0, 0]], [[0, 1, 1]]]
    """
    if policy == "allow" or not masks:
        return list(masks)
    order = range(len(masks)) if policy == "old" else reversed(range(len(masks)))
    taken = np.zeros_like(masks[0])
    left = list(masks)
    for k in order:
        left[k] = masks[k] & ~taken
        taken |= masks[k]
    return left
