"""The space that a model's patch features are compared in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.core.segmenter import Segmenter
from segue.oneshot.matching import unit


class Space(nn.Module):
    """(b, C, h, w) raw maps -> (b, C, h, w) unit vectors in which every layer counts alike.

    Channels are standardised by ``mean`` and ``std`` (C,), measured on photos, so that what all images share
    says nothing; then each of the ``layers`` (their channel counts, summing to C) is brought to unit length.
    Without numbers the maps are only brought to unit length.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self, mean: Tensor | None = None, std: Tensor | None = None, layers: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.layers = list(layers or ())

    @classmethod
    def from_model(cls, model: Segmenter) -> Space:
        """The space that ``model`` comes with; the plain one for models without."""
        state = model.patch_statistics()
        if state is None:
            return cls()
        return cls(state["mean"].float(), state["std"].float(), state["layers"].tolist())

    @classmethod
    def measured(cls, raw: Sequence[Tensor], layers: Sequence[int]) -> Space:
        """The space of many images' raw cells, each (C, n)."""
        every = torch.cat(list(raw), 1).double()
        return cls(every.mean(1).float(), every.std(1).float() + 1e-3, layers)

    def state(self) -> dict[str, Tensor]:
        """What ``of`` reads."""
        assert self.mean is not None
        assert self.std is not None
        return {"mean": self.mean, "std": self.std, "layers": torch.tensor(self.layers)}

    def forward(self, raw: Tensor) -> Tensor:
        """(b, C, h, w) -> the same, unit vectors."""
        if self.mean is None or self.std is None or raw.shape[1] != len(self.mean):
            return unit(raw)
        standard = (raw - self.mean[:, None, None]) / self.std[:, None, None]
        return unit(torch.cat([unit(part) for part in torch.split(standard, self.layers, 1)], 1))

    @property
    def digest(self) -> str:
        """Of the numbers, for cache keys."""
        sha = hashlib.sha256()
        for buffer in (self.mean, self.std):
            if buffer is not None:
                sha.update(buffer.cpu().numpy().tobytes())
        return sha.hexdigest()[:16]
