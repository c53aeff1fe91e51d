"""``segue find``: a line for every image."""

from segue.cli.options import JobCommand
from segue.cli.show import show_result, show_rows
from segue.jobs.find import FindConfig, FindResult, find


def _show(result: FindResult) -> None:
    rows = [
        (str(row.image), ", ".join(f"{o.object}: {o.score:.2f}" for o in row.found) or "-", f"{row.seconds:.2f} s")
        for row in result.images
    ]
    show_rows(("image", "found (object: score)", "seconds"), rows)
    show_result(result)


command = JobCommand(FindConfig, find, _show)
