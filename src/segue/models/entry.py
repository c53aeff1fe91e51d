"""What a family of models says of itself: its models and what shapes them, the folders and files that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from segue.core.errors import ConfigError
from segue.core.registry import RegistryEntry


@dataclass(frozen=True)
class Card:
    """Where weights come from and under which licence; ``file`` is the name to place by hand, ``url`` a plain download
    of it where the publisher has one; a ``backbone`` is only the encoder to start from.

    ``mean`` and ``std`` are of RGB values in 0..1. ``sha256`` is that of ``file``, empty where none is known.
    """

    source: str
    licence: str
    file: str = ""
    revision: str = ""
    sha256: str = ""
    url: str = ""
    backbone: bool = False
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelEntry(RegistryEntry):
    """A model: ``target`` is a class or function called with ``config`` as keywords; ``tiny`` is a configuration
    of the same family small enough for tests; ``shipped`` weights come with the package; ``hub`` is the
    Hugging Face id that ``segue.load`` fetches when no weights are given, ``beside`` what its folder needs beside
    ``config.json`` and ``model.safetensors``."""

    config: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    card: Card = field(default=Card("trained here", "Apache-2.0"))
    shipped: bool = False
    hub: str = ""
    beside: tuple[str, ...] = ()

    @property
    def placed(self) -> bool:
        """Whether the published file is looked for where ``segue get`` and people place it."""
        own = bool(self.card.url) or not self.hub
        return own and not self.shipped and bool(self.card.file) and not self.card.backbone


@dataclass(frozen=True)
class CheckpointEntry(RegistryEntry):
    """The layout of a published file, told by a key that begins with ``key``.

    ``summary`` says in words what such a file is, ``describe`` names a function (state) -> words where the file
    tells more. ``target`` names a function (state, stored configuration) -> (model's name, keywords) where the
    keys tell them; a ``backbone`` is an encoder for a model to start from.
    """

    key: str = ""
    describe: str = ""
    backbone: bool = False


class ModelConfig(BaseModel):
    """What shapes a model; immutable, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Self:
        """Validated ``values``; ``ConfigError`` says in one line what is wrong."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "field"
            raise ConfigError(f"a {cls.__name__} whose {field} is wrong", str(first["msg"])) from error
