"""The one protocol of every model: encode an image once, decode each prompt."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from segue.core.frame import Frame, Size
from segue.core.types import Features, Image, Memory, Prediction, Prompt


@dataclass(frozen=True)
class ExportPart:
    """A tensor-only graph of a model: ``module`` takes ``inputs`` (example tensors by name, in order) and
    returns ``outputs``; ``dynamic`` maps an input's name to its axes of free size, {axis: name}.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


class Segmenter(nn.Module, ABC):
    """A promptable segmentation model: weights, and how images and prompts become logits.

    It holds no session, loop or image. ``torch.no_grad`` belongs to the caller.
    """

    accepts: ClassVar[frozenset[type]] = frozenset()

    @abstractmethod
    def frame(self, size: Size) -> Frame:
        """The view of a whole image of ``size`` (H, W) that this model was made for."""

    @abstractmethod
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """b images (H, W, 3) uint8 RGB -> what the model knows of them before any prompt.

        ``frames`` chooses the views, for instance a zoom crop or a mirror image; all must share one grid.
        The default is each image's own ``frame(size)``.
        """

    @abstractmethod
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """One image's features, the whole list of prompts so far and the last prediction's memory ->
        k candidate masks. The same arguments give the same prediction."""

    @abstractmethod
    def remember(self, features: Features, probability: Tensor) -> Memory:
        """The memory as if ``probability`` (H, W) in [0, 1] had been the previous answer; empty where the
        model has no use for it. Imported masks, flip averaging and text refined by clicks enter here."""

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return next(self.parameters()).device

    def sites(self) -> Mapping[str, str]:
        """Named places where an adapter may attach: site name -> path of the submodule."""
        return {}

    def parts(self) -> Mapping[str, ExportPart]:
        """Tensor-only graphs for export and for training, by name."""
        return {}

    def fingerprint(self) -> str:
        """A digest of everything that ``encode`` depends on: class, configuration, weights, adapters.

        It is the model's share of the feature cache's key, so it reads every encoder weight; callers keep it.
        """
        return weights_digest(self, type(self).__qualname__)


def weights_digest(module: nn.Module, *causes: str) -> str:
    """SHA-256 over ``causes`` and every named parameter and buffer of ``module``, bit for bit.

    >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> weights_digest(a) == weights_digest(b), weights_digest(a) == weights_digest(a)
    (False, True)
    """
    sha = hashlib.sha256("\0".join(causes).encode())
    for name, tensor in module.state_dict().items():
        sha.update(f"\0{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
