"""Validated configurations of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from segue.core.errors import ConfigError


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
