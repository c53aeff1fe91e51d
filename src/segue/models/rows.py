"""The tables of models: one row a model. A row earns its contract tests and its heading in docs/models.md.

``MODELS`` names models; ``FOLDERS`` says, for folders in transformers' layout, which function
``from_folder(path) -> Segmenter`` reads a ``model_type``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.core.registry import Registry, Row


@dataclass(frozen=True)
class Card:
    """Where weights come from and under which licence; ``file`` is the name to place by hand.

    ``mean`` and ``std`` are of RGB values in 0..1. ``sha256`` is empty where the publisher gives none.
    """

    source: str
    licence: str
    file: str = ""
    revision: str = ""
    sha256: str = ""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelRow(Row):
    """A model: ``target`` is a class or function called with ``config`` as keywords; ``tiny`` is a configuration
    of the same family small enough for tests; ``shipped`` weights come with the package; ``hub`` is the
    Hugging Face id that ``segue.load`` fetches when no weights are given."""

    config: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    card: Card = field(default=Card("trained here", "Apache-2.0"))
    shipped: bool = False
    hub: str = ""


MODELS: Registry[ModelRow] = Registry("model", {})

FOLDERS: Registry[Row] = Registry("transformers model type", {})
