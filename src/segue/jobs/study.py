"""``segue study``: a table of a paper, with our own figures beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import segue
from segue.core.errors import ConfigError, MissingFile, SegueError
from segue.core.files import cache_folder
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.jobs.job import job
from segue.jobs.progress import progress
from segue.jobs.studies.places import Places, find_adapter, find_data, find_weights
from segue.jobs.studies.registry import STUDIES
from segue.jobs.studies.table import Column, Measure, Row, Study, StudyTrial
from segue.session.config import CommandLine, JobConfig, JobResult


class StudyConfig(JobConfig):
    """What ``segue study`` takes.

    A data set is looked for by its name in the table: in the folders of ``data``, or where ``NAME=FOLDER`` says.
    ``weights`` likewise: folders with files of the published names, or ``NAME=FILE``; adapters are folders in them.
    """

    paper: Annotated[str, Field(description="simpleclick, interformer, clickadapter ..."), CommandLine(positional=True)]
    table: Annotated[str, Field(description="Which of its tables."), CommandLine(positional=True)]
    data: Annotated[
        tuple[str, ...],
        Field(description="Folder that holds the data sets, or NAME=FOLDER of one; repeatable."),
        CommandLine(metavar="[NAME=]FOLDER"),
    ] = ()
    weights: Annotated[
        tuple[str, ...],
        Field(description="Folder that holds weights, or NAME=FILE; repeatable. segue get's are found anyway."),
        CommandLine(metavar="[NAME=]PATH"),
    ] = ()
    model: Annotated[
        tuple[str, ...],
        Field(description="A model of yours as one more row: registry name, id or folder; repeatable."),
    ] = ()
    only: Annotated[tuple[str, ...], Field(description="Only rows whose label contains this; repeatable.")] = ()
    limit: Annotated[int | None, Field(description="Objects of a data set at most, to try it out.", ge=1)] = None
    device: Annotated[str | None, Field(description="cpu, cuda ...; without it a GPU if there is one.")] = None
    rows: Annotated[
        Path | None, Field(description="File that keeps what was measured; in the user's cache without it.")
    ] = None
    force: Annotated[bool, Field(description="Measure again what was measured.")] = False


class StudyCell(JobResult):
    """One cell: the published value and ours; ``missing`` says what ours lacks."""

    column: str
    published: float | None = None
    ours: float | None = None
    missing: str = ""
    digits: int = 2


class StudyRow(JobResult):
    """One row of the table; ``model`` is segue's, "" for a row that is only quoted."""

    label: str
    model: str
    cells: tuple[StudyCell, ...]


class StudyResult(JobResult):
    """A paper's table beside ours; ``limit`` where only so many objects were measured, ``failed`` what went wrong."""

    paper: str
    table: str
    title: str
    source: str
    note: str
    limit: int | None
    rows: tuple[StudyRow, ...]
    failed: tuple[str, ...] = ()


@job(StudyConfig)
def study(config: StudyConfig) -> StudyResult:
    """Measure what a table of a paper says, as far as data and weights are there, and set both side by side.

    What is measured is kept at once: a study that was stopped goes on, and one for which data or weights arrive later
    measures only those. Raises ``UnknownName`` for another table and ``MissingFile`` for a folder that is not there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = study(paper="interformer", table="3", only=["ViT-L"], rows=f"{folder}/rows.jsonl")
    >>> result.rows[0].cells[0].published, result.rows[0].cells[0].missing
    (4.8, 'no data SBD')
    """
    table: Study = STUDIES.load(f"{config.paper} {config.table}")
    rows = [row for row in table.rows if not config.only or any(word in row.label for word in config.only)]
    rows += [Row(name, (None,) * len(table.columns), name) for name in config.model]
    if not rows:
        raise ConfigError(f"only={config.only}", f"a part of one of: {', '.join(row.label for row in table.rows)}")
    data, weights = Places(config.data), Places(config.weights)
    path = config.rows or cache_folder("study") / f"{config.paper}-{config.table}.jsonl"
    if config.force:
        path.unlink(missing_ok=True)
    cells: dict[tuple[int, int], StudyCell] = {}
    failed: list[str] = []
    tasks = [task for index, row in enumerate(rows) for task in _tasks(table, index, row)]
    with ResumeLog(path, f"study {config.paper} {config.table}") as log:
        for task in progress(tasks, len(tasks), "study", "measurements"):
            try:
                figures, missing = task.figures(config, data, weights, log), ""
            except _Missing as lacking:
                figures, missing = {}, str(lacking)
            except SegueError as error:
                figures, missing = {}, "failed"
                failed.append(f"{task.row.label}{task.data and f' on {task.data}'}: {error}")
            for number in task.columns:
                column = table.columns[number]
                cells[task.index, number] = _cell(column, task.row.published[number], figures, missing)
    shown = [
        StudyRow(label=row.label, model=row.model, cells=tuple(cells[i, j] for j in range(len(table.columns))))
        for i, row in enumerate(rows)
    ]
    about = {name: getattr(table, name) for name in ("title", "source", "note")}
    same = {name: getattr(config, name) for name in ("paper", "table", "limit")}
    return StudyResult(**same, **about, rows=tuple(shown), failed=tuple(failed))


class _Missing(Exception):
    """Data or weights that a measurement needs are not there."""


@dataclass(frozen=True)
class _Task:
    """Columns of one row that one measurement fills; without ``measure`` they are only quoted."""

    index: int
    row: Row
    measure: Measure | None
    data: str
    weightless: bool
    columns: tuple[int, ...]

    def figures(self, config: StudyConfig, data: Places, weights: Places, log: ResumeLog) -> Mapping[str, float]:
        """What was measured, now or earlier."""
        if self.measure is None:
            return {}
        try:
            what: dict[str, Any] = {
                "model": self.row.model,
                "data": find_data(data, self.data),
                "weights": find_weights(weights, self.row, self.weightless),
                "adapter": find_adapter(weights, self.row),
                "settings": self.row.settings,
                "limit": config.limit,
                "device": config.device,
            }
        except MissingFile as error:
            raise _Missing(error.arrived) from error
        key = job_digest({"measure": self.measure.__qualname__, "segue": segue.__version__, **_causes(what)})
        if key not in log:
            folder = log.path.with_suffix(".parts") / key
            figures = dict(self.measure(StudyTrial(**what, folder=folder)))
            log.add(key, {"row": self.row.label, "data": self.data, "figures": figures})
        kept: Mapping[str, float] = log[key]["figures"]
        return kept


def _tasks(table: Study, index: int, row: Row) -> Iterator[_Task]:
    groups: dict[tuple[Measure | None, str, bool], list[int]] = {}
    for number, column in enumerate(table.columns):
        what = column.measure if row.model else None, column.data, column.weightless
        groups.setdefault(what, []).append(number)
    for what, columns in groups.items():
        yield _Task(index, row, *what, tuple(columns))


def _causes(what: Mapping[str, Any]) -> dict[str, Any]:
    """All that a measurement depends on; a file is known by its path, size and time."""
    causes = {key: str(value) for key, value in what.items()}
    for key, value in what.items():
        if isinstance(value, Path):
            about = value.stat()
            causes[key] = f"{value.resolve()} {about.st_size} {about.st_mtime_ns}"
    return causes


def _cell(column: Column, published: float | None, figures: Mapping[str, float], missing: str) -> StudyCell:
    ours = figures.get(column.figure)
    return StudyCell(
        column=column.name,
        published=published,
        ours=None if ours is None else round(ours, 6),
        missing=missing if ours is None else "",
        digits=column.digits,
    )
