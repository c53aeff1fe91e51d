"""Lazy tables: a name becomes an object only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from segue.core.errors import ConfigError, UnknownName, naming_extras

LISTED = 20  # names in a message at most: what to do must not drown in them
NEAR = 5  # of a longer table, the nearest


@dataclass(frozen=True)
class RegistryEntry:
    """One line of a table: where the object lives ("package.module:attribute"), and what it is."""

    target: str
    summary: str

    def load(self) -> Any:
        """Import and return the object. Raises ``MissingExtra`` where its libraries are not installed."""
        module, _, attribute = self.target.partition(":")
        with naming_extras():
            value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
        return value


R = TypeVar("R", bound=RegistryEntry)


class Registry(Generic[R]):
    """A table of rows by name, to which other packages may add.

    ``plugins`` is the group of entry points under which they do so: each names a row. They are read when a name is
    looked for that is not here, or the whole table is.

    >>> table = Registry("model", {"nano": RegistryEntry("math:pi", "small"), "sam": RegistryEntry("math:e", "large")})
    >>> table.load("nano")
    3.141592653589793
    >>> table["nanno"]
    Traceback (most recent call last):
    segue.core.errors.UnknownName: got model 'nanno'; expected one of: nano, sam. Did you mean 'nano'?
    """

    def __init__(self, kind: str, rows: Mapping[str, R], plugins: str = "") -> None:
        self.kind, self._rows, self._plugins = kind, dict(rows), plugins

    def register(self, name: str, row: R) -> None:
        """Add ``row``. Raises ``ConfigError`` for a name that is taken by another."""
        if self._rows.setdefault(name, row) != row:
            raise ConfigError(f"a second {self.kind} '{name}'", "a name of its own", "choose another name")

    def __getitem__(self, name: str) -> R:
        if name not in self:
            near = difflib.get_close_matches(name, self._rows, NEAR, 0.4)
            fix = f"Did you mean '{near[0]}'?" if near else ""
            named = (near or list(self._rows)[:LISTED]) if len(self._rows) > LISTED else list(self._rows)
            more = f" and {len(self._rows) - len(named)} more" if len(self._rows) > len(named) else ""
            raise UnknownName(f"{self.kind} '{name}'", f"one of: {', '.join(named)}{more}", fix)
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> Iterator[tuple[str, R]]:
        """(name, row) in the table's order."""
        return iter(self._all().items())

    def _all(self) -> dict[str, R]:
        """Every row, those of other packages included."""
        group, self._plugins = self._plugins, ""
        for point in entry_points(group=group) if group else ():
            self.register(point.name, point.load())
        return self._rows

    def load(self, name: str) -> Any:
        """The object of row ``name``."""
        return self[name].load()
