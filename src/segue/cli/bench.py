"""``segue bench``: the figures that fit a terminal; the report has all."""

from typing import Any

from segue.cli.options import JobCommand
from segue.cli.show import show_rows
from segue.evaluation.bench_report import COLUMNS, NARROW
from segue.jobs.bench import BenchConfig, bench


def _show(result: Any) -> None:
    columns = [column for column in COLUMNS if column[0] in NARROW]
    show_rows([c[0] for c in columns], [[str(show(row)) for _, _, show in columns] for row in result["rows"]])


command = JobCommand(BenchConfig, bench, _show)
