"""Several examples of one object, and what is not it though it looks alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from segue.core.types import Reference

ALIKE = ("near_forward", "near_backward", "near_likeness", "colors")  # of ``appearance.compare``, each about 0 to 1


@dataclass(frozen=True, eq=False)
class Examples(Reference):
    """A reference with ``more`` examples of the same object and ``negatives``, objects that are not it.

    The finder compares an image with the patches of all examples, and what it finds with the example that is most like
    it; what is more like a negative than like any example is ``denied``.

    >>> import numpy as np
    >>> one, other = (Reference(np.full((4, 4, 3), k, np.uint8), np.eye(4, dtype=bool)) for k in (0, 9))
    >>> several = Examples(one.image, one.mask, more=(other,))
    >>> examples_of(several) == (one, other), several == one, negatives_of(one)
    (True, False, ())
    """

    more: tuple[Reference, ...] = ()
    negatives: tuple[Reference, ...] = ()

    @cached_property
    def each(self) -> tuple[Reference, ...]:
        """All examples, each on its own."""
        return (Reference(self.image, self.mask), *self.more)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content of all examples and negatives."""
        parts = [[r.digest for r in several] for several in (self.each, self.negatives)]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def examples_of(reference: Reference) -> tuple[Reference, ...]:
    """Every example that a reference holds, each on its own; itself for a plain one."""
    return reference.each if isinstance(reference, Examples) else (reference,)


def negatives_of(reference: Reference) -> tuple[Reference, ...]:
    """What the reference says is not meant."""
    return reference.negatives if isinstance(reference, Examples) else ()


def closeness(evidence: Mapping[str, float]) -> float:
    """How alike two objects are from near, about 0 to 1: the mean of ``appearance.compare``'s likenesses.

    >>> closeness({"near_forward": 1.0, "near_backward": 0.5, "near_likeness": 1.0, "colors": 0.5, "color_spread": 9.0})
    0.75
    """
    return sum(evidence[name] for name in ALIKE) / len(ALIKE)
