"""How a model's patch features are normalised before they are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array
from segue.core.segmenter import Segmenter
from segue.oneshot.matching import unit


class FeatureNormalizer:
    """(b, C, h, w) raw maps -> (b, C, h, w) unit vectors in which every layer counts alike.

    Channels are standardised by ``mean`` and ``std`` (C,), measured on photos, so that what all images share
    says nothing; then each of the ``layers`` (their channel counts, summing to C) is brought to unit length.
    Without numbers the maps are only brought to unit length.

    >>> FeatureNormalizer()(np.full((1, 4, 1, 1), 2.0)).ravel()
    array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """

    def __init__(
        self, mean: Array | None = None, std: Array | None = None, layers: Sequence[int] | None = None
    ) -> None:
        self.mean, self.std, self.layers = mean, std, list(layers or ())

    @classmethod
    def from_model(cls, model: Segmenter) -> FeatureNormalizer:
        """The normalizer that ``model`` comes with; the plain one for models without."""
        state = model.patch_statistics()
        if state is None:
            return cls()
        return cls(state["mean"].astype(np.float32), state["std"].astype(np.float32), state["layers"].tolist())

    def state(self) -> dict[str, NDArray[Any]]:
        """What ``from_model`` reads."""
        assert self.mean is not None
        assert self.std is not None
        return {"mean": self.mean, "std": self.std, "layers": np.array(self.layers)}

    def __call__(self, raw: NDArray[Any]) -> Array:
        """(b, C, h, w) -> the same, unit vectors."""
        if self.mean is None or self.std is None or raw.shape[1] != len(self.mean):
            return unit(raw)
        standard = (raw - self.mean[:, None, None]) / self.std[:, None, None]
        parts = np.split(standard, np.cumsum(self.layers)[:-1], 1)
        return unit(np.concatenate([unit(part) for part in parts], 1))

    @property
    def digest(self) -> str:
        """Of the numbers, for cache keys."""
        sha = hashlib.sha256()
        for numbers in (self.mean, self.std):
            if numbers is not None:
                sha.update(numbers.tobytes())
        return sha.hexdigest()[:16]
