"""What every command's configuration and result share: the same names from Python, the command line, YAML and JSON."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segue.core.errors import ConfigError, MissingFile, SegueError
from segue.core.files import read_text
from segue.core.segmenter import Segmenter
from segue.core.types import Click
from segue.models.words import WordsThenClicks
from segue.session.load import load

J = TypeVar("J", bound="JobConfig")
R = TypeVar("R", bound="JobResult")


Points: TypeAlias = tuple[tuple[float, float], ...]  # (x, y) in original-image pixels
Corners: TypeAlias = tuple[float, float, float, float]  # (x0, y0, x1, y1) in original-image pixels


@dataclass(frozen=True)
class CommandLine:
    """How a configuration's field looks on the command line where ``--field-name VALUE`` is not it: other ``names``,
    a ``metavar`` for its value, an argument without a name (``positional``), or only in files (``hidden``)."""

    names: tuple[str, ...] = ()
    metavar: str | None = None
    positional: bool = False
    hidden: bool = False


class JobConfig(BaseModel):
    """Base of every command's configuration: unknown keys are errors, values are fixed once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_fields(cls: type[J], **values: Any) -> J:
        """Validate ``values``; a mistake becomes a ``ConfigError`` that names the field.

        >>> ModelChoice.from_fields(modle="nano")
        Traceback (most recent call last):
        segue.core.errors.ConfigError: got modle='nano'; expected one of: model, weights, ... Did you mean 'model'?
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise _config_error(error, cls) from error

    @classmethod
    def from_file(cls: type[J], path: str | Path, **changes: Any) -> J:
        """The configuration in a YAML or JSON file, with ``changes`` over it.

        Raises ``MissingFile`` without the file and ``ConfigError`` for keys or values that are wrong.
        """
        return cls.from_fields(**{**read_fields(path), **changes})


class ModelSource(JobConfig):
    """Which model does the job: a registry name, folder or hub id, with weights, and where it runs."""

    model: Annotated[str, Field(description="Registry name, Hugging Face id or local folder.")] = "nano"
    weights: Annotated[Path | str | None, Field(description="File in the published format, or 'random'.")] = None
    device: Annotated[str | None, Field(description="cpu, cuda, cuda:1 ...; without it a GPU if there is one.")] = None

    def load(self) -> Segmenter:
        """The model, ready to answer; errors are ``segue.load``'s."""
        return load(self.model, weights=self.weights, device=self.device)


class ModelChoice(ModelSource):
    """Which model does the job, with an adapter.

    >>> ModelChoice().model
    'nano'
    """

    adapter: Annotated[Path | None, Field(description="Folder of an adapter that the model wears.")] = None

    def load(self) -> Segmenter:
        """The model with its adapter, ready to answer; errors are ``segue.load``'s."""
        return load(self.model, weights=self.weights, adapter=self.adapter, device=self.device)


class WordsChoice(ModelChoice):
    """A model with another that corrects it by clicks where it takes words alone.

    >>> WordsChoice().click_model
    'nano'
    """

    click_model: Annotated[str, Field(description="Corrects the masks of a model that takes words but no clicks.")] = (
        "nano"
    )

    def load(self) -> Segmenter:
        """The model, able to answer clicks; errors are ``segue.load``'s."""
        model = super().load()
        if Click in model.accepts:
            return model
        return WordsThenClicks(model, load(self.click_model, device=self.device)).eval()


class JobResult(BaseModel):
    """Base of every command's result: typed fields, of which ``to_json`` is what ``--json`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON's own types."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_json(cls: type[R], values: dict[str, Any]) -> R:
        """What ``to_json`` gave. Raises ``ConfigError`` for anything else."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _config_error(error, cls) from error


def read_fields(path: str | Path) -> dict[str, Any]:
    """The keys and values of a YAML or JSON file."""
    file = Path(path)
    if not file.is_file():
        raise MissingFile(f"no file {file}", "a configuration in YAML", "check the spelling")
    try:
        values = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}, which is no YAML ({error})", "a configuration") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file}, which holds no keys", "a configuration")
    return values


def _config_error(error: ValidationError, kind: type[BaseModel]) -> SegueError:
    """The first mistake of several, in words: what arrived and what was expected, never pydantic's own."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a misspelt key before a missing one
    if isinstance(cause := first.get("ctx", {}).get("error"), SegueError):
        return cause
    name = ".".join(part for part in map(str, first["loc"]) if not part.isdigit())
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, kind.model_fields, 1)
        fix = f"Did you mean '{near[0]}'?" if near else ""
        return ConfigError(f"{name}={first['input']!r}", f"one of: {', '.join(kind.model_fields)}", fix)
    if first["type"] == "missing":
        field = kind.model_fields.get(name)
        expected = field.description if field is not None and field.description else "a value"
        return ConfigError(f"no {name}", expected[:1].lower() + expected[1:])
    if not name:
        return ConfigError(message)
    arrived = f"{name}={str(first['input']) if isinstance(first['input'], Path) else first['input']!r}"
    if first["type"] == "value_error":
        return ConfigError(f"{name}={first['input']}: {message}")
    return ConfigError(arrived, message.removeprefix("Input should be ").removeprefix("Input should "))
