"""``segue label``: a line for every image."""

from segue.cli.options import JobCommand
from segue.cli.show import show_result, show_rows
from segue.jobs.label import LabelConfig, LabelResult, label


def _show(result: LabelResult) -> None:
    rows = [
        (str(row.image), ", ".join(f"{o.name}: {o.score:.2f}" for o in row.found) or "-", f"{row.seconds:.2f} s")
        for row in result.images
    ]
    show_rows(("image", "classes (score)", "seconds"), rows)
    show_result(result)


command = JobCommand(LabelConfig, label, _show)
