"""What a family of models says of itself: its models, the folders and the published files that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.core.registry import RegistryEntry


@dataclass(frozen=True)
class Card:
    """Where weights come from and under which licence; ``file`` is the name to place by hand.

    ``mean`` and ``std`` are of RGB values in 0..1. ``sha256`` is that of ``file``, empty where none is known.
    """

    source: str
    licence: str
    file: str = ""
    revision: str = ""
    sha256: str = ""
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
