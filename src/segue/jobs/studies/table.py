"""What a study is: one table of a paper, with the function that measures each of its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True)
class StudyTrial:
    """One row of a table on one data set: what a ``Measure`` is given.

    ``weights`` is a file in the published format, "random", or None for a model that brings its own; ``adapter`` is a
    folder, ``data`` the data set's folder, ``settings`` what the row adds, ``limit`` the objects at most, ``folder`` a
    place of the trial's own for what it can go on from.
    """

    model: str
    weights: Path | str | None
    adapter: Path | None
    data: Path | None
    settings: Mapping[str, Any]
    limit: int | None
    device: str | None
    folder: Path


Measure: TypeAlias = Callable[[StudyTrial], Mapping[str, float]]  # figures by name


@dataclass(frozen=True)
class Column:
    """One column: its head, the ``figure`` of what ``measure`` returns, the name of the data set it needs ("" for
    none), and how many digits the paper prints. Columns of one ``measure`` and ``data`` are measured together; without
    ``measure`` a column is only quoted. ``weightless`` where weights that nobody trained do as well."""

    name: str
    figure: str = ""
    measure: Measure | None = None
    data: str = ""
    digits: int = 2
    weightless: bool = False


@dataclass(frozen=True)
class Row:
    """One row: its label, the published values (None where the paper has none), and what of segue is its like: a
    ``model`` of the registry ("" for a row that is only quoted), the name of its ``weights`` file or folder ("" where a
    model brings its own), the name of an ``adapter``'s folder, ``settings`` for the measures."""

    label: str
    published: tuple[float | None, ...]
    model: str = ""
    weights: str = ""
    adapter: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One table of a paper: ``source`` says which, ``note`` what a reader should know of the comparison.

    >>> from segue.jobs.studies.registry import STUDIES
    >>> STUDIES.load("interformer 2").columns[0].data
    'GrabCut'
    """

    title: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row.published) == len(self.columns) for row in self.rows), self.title
