"""What every job's configuration shares: validated once, the same from Python and from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segue.core.errors import ConfigError, MissingFile
from segue.core.segmenter import Segmenter
from segue.session.load import load

J = TypeVar("J", bound="JobConfig")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm"})


class JobConfig(BaseModel):
    """Base of every job's configuration: unknown keys are errors, values are fixed once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls: type[J], **values: Any) -> J:
        """Validate ``values``; a mistake becomes a ``ConfigError`` that names the field.

        >>> ModelChoice.of(modle="nano")
        Traceback (most recent call last):
        segue.core.errors.ConfigError: got modle='nano': extra inputs are not permitted; expected a valid ModelChoice...
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


def find_images(sources: Iterable[Path | str]) -> list[Path]:
    """Image files named by files, folders (not recursive) and globs, sorted, each once.

    Raises ``MissingFile`` for a source that names nothing.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            matches = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
        elif path.is_file():
            matches = [path]
        else:
            anchor = Path(path.anchor or ".")
            pattern = str(path.relative_to(path.anchor)) if path.anchor else str(path)
            matches = [p for p in anchor.glob(pattern) if p.suffix.lower() in IMAGE_SUFFIXES]
        if not matches:
            raise MissingFile(
                f"{source}, which holds no image",
                f"files ending in {', '.join(sorted(IMAGE_SUFFIXES))}",
                "check the path",
            )
        found.update(dict.fromkeys(sorted(matches)))
    return list(found)
