"""The one protocol of every model: encode an image once, decode each prompt."""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from segue.core.errors import CheckpointError, ConfigError, InputError
from segue.core.frame import Frame, Size
from segue.core.registry import RegistryEntry
from segue.core.types import Features, Image, Memory, Prediction, Prompt, Reference

# Files and the hub belong to the floors above, which are looked up by name when they are asked for, as rows are.
_SAVE = RegistryEntry("segue.models.pretrained:save_pretrained", "writes a model's folder")
_LOAD = RegistryEntry("segue.session.load:load", "opens a model")


@dataclass(frozen=True)
class ExportGraph:
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
    default_view: ClassVar[str] = "own"  # how segue evaluate shows it images unless told
    name: str = ""  # the registry row and the keywords it was built with, set by segue.load
    config: Mapping[str, Any] = MappingProxyType({})

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
    def memory_from_mask(self, features: Features, probability: Tensor) -> Memory:
        """The memory as if ``probability`` (H, W) in [0, 1] had been the previous answer; empty where the
        model has no use for it. Imported masks, flip averaging and text refined by clicks enter here."""

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return next(self.parameters()).device

    def sites(self) -> Mapping[str, str]:
        """Named places where an adapter may attach: site name -> path of the submodule."""
        return {}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """Tensor-only graphs for export and for training, by name."""
        return {}

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take weights by the official keys of the published checkpoints; models whose own names differ
        override this to rename. Raises ``CheckpointError`` when they are another model's."""
        load_strict(self, state)

    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        """Start the encoder from a pretrained backbone's weights; the encoder's keys that these had nothing for.
        Raises ``CheckpointError`` where they are another network's."""
        raise CheckpointError(
            "a pretrained backbone",
            f"the whole weights of {self._described}",
            "choose a model on a plain ViT, or a segformer",
        )

    def training_core(self) -> Any:
        """The ``segue.nn.training_core.TrainingCore`` that training by clicks steps. Raises ``ConfigError`` for a
        model that clicks do not train."""
        raise ConfigError(
            f"model {self._described}", "nano, a SimpleClick or an InterFormer", "adapt others with segue adapt"
        )

    def text_training_core(self) -> Any:
        """The ``segue.nn.training_core.TextTrainingCore`` that training by texts steps. Raises ``ConfigError`` for a
        model that texts do not train."""
        raise ConfigError(f"{self._described} for training with texts", "a CLIPSeg", "choose another model")

    def without_encoder(self) -> Segmenter:
        """The model without its encoder: small, and it reads what the whole model cached. Raises ``InputError`` for
        a model that cannot be parted."""
        raise InputError(
            f"the model {self._described}", "an interformer, the model in two parts", "Leave out --decoder"
        )

    def patch_features(self, images: Sequence[Image], features: Features) -> Tensor:
        """(b, C, h, w): what references are compared in, by default the coarsest map of ``features``."""
        if "embedding" in features.maps:
            return features.maps["embedding"]
        maps = [m for name, m in features.maps.items() if m.ndim == 4 and name not in ("photo", "pixels")]
        return min(maps, key=lambda m: m.shape[-1] * m.shape[-2])

    def patch_statistics(self) -> Mapping[str, Tensor] | None:
        """``mean`` and ``std`` (C,) of the patch features over photos and the ``layers``' channel counts, where a
        model comes with them."""
        return None

    def reference_frames(self, reference: Reference) -> list[Frame]:
        """The views in which a reference is looked at, by default the whole image."""
        height, width = reference.mask.shape
        return [self.frame((height, width))]

    @property
    def _described(self) -> str:
        return self.name or type(self).__name__

    def save_pretrained(self, folder: str | Path, figures: Mapping[str, float | str] | None = None) -> Path:
        """Write ``config.json``, ``model.safetensors`` and a model card with ``figures``, as the hub lays them out.

        Raises ``StorageError`` when the disk is full and ``ConfigError`` while an adapter is on the model.
        """
        written: Path = _SAVE.load()(self, folder, figures=figures)
        return written

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **options: Any) -> Self:
        """``segue.load`` by the name that the hub's libraries use; ``options`` are its own (``revision``,
        ``local_files_only``, ``adapter``, ...). On a model's class it raises ``ConfigError`` for another model.

        >>> Segmenter.from_pretrained("nano").name
        'nano'
        """
        model = _LOAD.load()(name_or_path, **options)
        if not isinstance(model, cls):
            raise ConfigError(
                f"{name_or_path}, which holds a {type(model).__name__}", f"a {cls.__name__}", "open it with segue.load"
            )
        return model

    def fingerprint(self) -> str:
        """A digest of everything that ``encode`` depends on: class, settings (defaults too), weights, adapters.

        It is the model's share of the feature cache's key, so it reads every encoder weight; callers keep it.
        """
        parameters = inspect.signature(type(self)).parameters.items()
        settings = {name: p.default for name, p in parameters if p.default is not p.empty} | dict(self.config)
        return weights_digest(self, type(self).__qualname__, json.dumps(settings, sort_keys=True, default=str))


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
