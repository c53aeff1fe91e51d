"""What every model of torch has in common: a module that holds weights behind a door that arrays pass."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.core.errors import CheckpointError
from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Maps, Prediction


class ArrayModule(nn.Module):
    """A module that takes arrays and gives arrays, wherever its weights live; on a CPU they are views of tensors."""

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return next(self.parameters()).device

    def tensor(self, array: NDArray[Any] | Tensor) -> Tensor:
        """An array, or a map that a device kept, as a tensor where the weights live."""
        if not isinstance(array, Tensor):
            array = torch.from_numpy(np.require(array, requirements=("C", "W")))
        return array.to(self.device)

    def tensors(self, maps: Maps) -> dict[str, Tensor]:
        """``tensor`` of every map."""
        return {name: self.tensor(value) for name, value in maps.items()}

    def version(self) -> object:
        """Changes whenever a parameter is written or replaced or a module is exchanged; reads no weight."""
        tensors = [*self.named_parameters(), *self.named_buffers()]
        versions = tuple((name, t.data_ptr(), 0 if t.is_inference() else t._version) for name, t in tensors)
        return versions, tuple(id(module) for module in self.modules())


class TorchSegmenter(ArrayModule, Segmenter):
    """A Segmenter whose weights are torch's.

    ``encode``, ``decode`` and ``memory_from_mask`` take and give arrays and run under ``torch.inference_mode``. What
    needs gradients works on the model's tensor core.
    """

    @property
    def module(self) -> TorchSegmenter:
        """Itself."""
        return self

    def running_modules(self) -> Sequence[nn.Module]:
        return list(self.modules())

    def photo(self, image: Image) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, H, W) uint8 where the weights live."""
        return self.tensor(image).permute(2, 0, 1)[None]

    def features(self, maps: Mapping[str, Tensor], frames: tuple[Frame, ...]) -> Features:
        """``maps`` as the features of the images seen through ``frames``."""
        return Features(as_arrays(maps), frames)

    def prediction(self, logits: Tensor, scores: Tensor, memory: Maps, frame: Frame) -> Prediction:
        """Logits (b, k, h, w) and scores (b, k) as a ``Prediction``."""
        return Prediction(as_array(logits.float()), as_array(scores.float()), as_arrays(memory), frame)

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take weights by the official keys of the published checkpoints; models whose own names differ
        override this to rename. Raises ``CheckpointError`` when they are another model's."""
        load_strict(self, state)

    def weights_digest(self) -> str:
        return weights_digest(self)

    def fingerprint(self) -> str:
        parameters = inspect.signature(type(self)).parameters.items()
        settings = {name: p.default for name, p in parameters if p.default is not p.empty} | dict(self.config)
        return weights_digest(self, type(self).__qualname__, json.dumps(settings, sort_keys=True, default=str))


def as_array(tensor: Tensor) -> NDArray[Any]:
    """The numbers of ``tensor``: a view of them where they are on the CPU.

    >>> as_array(torch.ones(2))
    array([1., 1.], dtype=float32)
    """
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def as_arrays(maps: Maps) -> Maps:
    """``maps`` as arrays; tensors of another device stay as they are."""
    return {k: as_array(v) if isinstance(v, Tensor) and v.device.type == "cpu" else v for k, v in maps.items()}


def weights_digest(module: nn.Module, *causes: str, rename: Callable[[str], str] = str) -> str:
    """SHA-256 over ``causes`` and every parameter and buffer of ``module``, bit for bit, by its name or what
    ``rename`` calls it.

    >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> weights_digest(a) == weights_digest(b), weights_digest(a) == weights_digest(a)
    (False, True)
    """
    sha = hashlib.sha256("\0".join(causes).encode())
    for name, tensor in module.state_dict().items():
        sha.update(f"\0{rename(name)}{tensor.dtype}{tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def load_strict(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load ``state`` into ``module``, every key and shape agreeing.

    >>> load_strict(nn.Linear(2, 2), {"weight": torch.zeros(3, 2)})
    Traceback (most recent call last):
    segue.core.errors.CheckpointError: got weights that do not fit Linear: 1 keys missing (bias), 0 unknown, \
1 of another shape (weight (3, 2) for (2, 2)); expected a checkpoint of this very model. \
Check the model's name and size.
    """
    own = module.state_dict()
    missing = [k for k in own if k not in state]
    unknown = [k for k in state if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} for {tuple(v.shape)}"
        for k, v in own.items()
        if k in state and state[k].shape != v.shape
    ]
    if missing or unknown or shapes:
        counts = (
            f"{len(missing)} keys missing{_few(missing)}, {len(unknown)} unknown{_few(unknown)}, "
            f"{len(shapes)} of another shape{_few(shapes)}"
        )
        raise CheckpointError(
            f"weights that do not fit {type(module).__name__}: {counts}",
            "a checkpoint of this very model",
            "check the model's name and size",
        )
    module.load_state_dict(state)


def _few(names: list[str]) -> str:
    more = ", ..." if len(names) > 2 else ""
    return f" ({', '.join(names[:2])}{more})" if names else ""
