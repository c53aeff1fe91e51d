"""``segue study``: the paper's table with ours beside it."""

from segue.cli.options import JobCommand
from segue.cli.show import console, show_rows
from segue.jobs.study import StudyCell, StudyConfig, StudyResult, study

WIDE = 14  # characters that a column needs


def show(result: StudyResult) -> None:
    """The table, cells "published / ours"; a line for every cell where the terminal is too narrow for that."""
    console.print(f"{result.title} ({result.source})", markup=False)
    names = [cell.column for cell in result.rows[0].cells]
    if console.width >= WIDE * (len(names) + 2):
        rows = [(row.label, *map(" / ".join, map(cell_texts, row.cells))) for row in result.rows]
        show_rows(["published / ours", *names], rows)
    else:
        cells = [(row.label, cell) for row in result.rows for cell in row.cells]
        show_rows(["", "", "published", "ours"], [(label, cell.column, *cell_texts(cell)) for label, cell in cells])
    limited = f"Only {result.limit} objects a data set: no figures to compare." if result.limit else ""
    for line in filter(None, (result.note, limited, *result.failed)):
        console.print(line, markup=False)


def cell_texts(cell: StudyCell) -> tuple[str, str]:
    """The published value and ours in words.

    >>> cell_texts(StudyCell(column="NoC90", published=1.5, ours=1.523))
    ('1.50', '1.52')
    >>> cell_texts(StudyCell(column="NoC90", published=1.5, missing="no data GrabCut"))
    ('1.50', 'no data GrabCut')
    """
    published = "-" if cell.published is None else f"{cell.published:.{cell.digits}f}"
    return published, cell.missing or "-" if cell.ours is None else f"{cell.ours:.{cell.digits}f}"


command = JobCommand(StudyConfig, study, show)
