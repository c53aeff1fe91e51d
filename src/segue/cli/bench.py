"""``segue bench``: the figures that fit a terminal; the report has all."""

from segue.cli.options import JobCommand
from segue.cli.show import show_rows
from segue.evaluation.bench_report import COLUMNS, NARROW
from segue.evaluation.benchmark import BenchResult
from segue.jobs.bench import BenchConfig, bench


def _show(result: BenchResult) -> None:
    wanted = (*NARROW, *(column[0] for column in COLUMNS[-1:] if any(row.disturbed for row in result.rows)))
    columns = [column for column in COLUMNS if column[0] in wanted]
    show_rows([c[0] for c in columns], [[show(row) for _, _, show in columns] for row in result.rows])


command = JobCommand(BenchConfig, bench, _show)
