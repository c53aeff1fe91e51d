"""What every job's configuration shares: validated once, the same from Python and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter
from segue.session.load import load

J = TypeVar("J", bound="JobConfig")


class JobConfig(BaseModel):
    """Base of every job's configuration: unknown keys are errors, values are fixed once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_fields(cls: type[J], **values: Any) -> J:
        """Validate ``values``; a mistake becomes a ``ConfigError`` that names the field.

        >>> ModelChoice.from_fields(modle="nano")
        Traceback (most recent call last):
        segue.core.errors.ConfigError: got modle='nano': extra inputs are not permitted; expected a valid...
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "configuration"
            message = str(first["msg"]).removeprefix("Value error, ")
            raise ConfigError(
                f"{where}={first['input']!r}: {message[:1].lower()}{message[1:]}",
                f"a valid {cls.__name__}",
                f"Fields: {', '.join(cls.model_fields)}",
            ) from error


class ModelChoice(JobConfig):
    """Which model does the job: a registry name, folder or hub id, with weights and an adapter.

    >>> ModelChoice().model
    'nano'
    """

    model: str = "nano"
    weights: Path | str | None = None
    adapter: Path | None = None
    device: str | None = None

    def load(self) -> Segmenter:
        """The model, ready to answer; errors are ``segue.load``'s."""
        return load(self.model, weights=self.weights, adapter=self.adapter, device=self.device)
