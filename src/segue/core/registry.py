"""Lazy tables: a name becomes an object only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from segue.core.errors import MissingExtra, UnknownName


@dataclass(frozen=True)
class RegistryEntry:
    """One line of a table: where the object lives ("package.module:attribute"), what it is, and the extra
    ('' for none) that its libraries come with."""

    target: str
    summary: str
    extra: str = ""

    def load(self) -> Any:
        """Import and return the object."""
        module, _, attribute = self.target.partition(":")
        try:
            value: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if self.extra and error.name and not error.name.startswith("segue"):
                raise MissingExtra.for_library(error.name, self.extra) from error
            raise
        for part in attribute.split("."):
            value = getattr(value, part)
        return value


R = TypeVar("R", bound=RegistryEntry)


class Registry(Generic[R]):
    """An immutable table of rows by name.

    >>> table = Registry("model", {"nano": RegistryEntry("math:pi", "small"), "sam": RegistryEntry("math:e", "large")})
    >>> table.load("nano")
    3.141592653589793
    >>> table["nanno"]
    Traceback (most recent call last):
    segue.core.errors.UnknownName: got model 'nanno'; expected one of: nano, sam. Did you mean 'nano'?
    """

    def __init__(self, kind: str, rows: dict[str, R]) -> None:
        self.kind, self._rows = kind, dict(rows)

    def __getitem__(self, name: str) -> R:
        if name not in self._rows:
            near = difflib.get_close_matches(name, self._rows, 1, 0.4)
            fix = f"Did you mean '{near[0]}'?" if near else ""
            raise UnknownName(f"{self.kind} '{name}'", f"one of: {', '.join(self._rows)}", fix)
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> Iterator[tuple[str, R]]:
        """(name, row) in the table's order."""
        return iter(self._rows.items())

    def load(self, name: str) -> Any:
        """The object of row ``name``."""
        return self[name].load()
