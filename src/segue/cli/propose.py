"""``segue propose``: a line for every image."""

from segue.cli.options import JobCommand
from segue.cli.show import show_result, show_rows
from segue.jobs.propose import ProposeConfig, ProposeResult, propose


def _show(result: ProposeResult) -> None:
    rows = [
        (row.image, str(row.proposals), str(row.parts), "" if row.best_iou is None else f"{row.best_iou:.3f}")
        for row in result.images
    ]
    show_rows(("image", "proposals", "of these parts", "best IoU"), rows)
    show_result(result)


command = JobCommand(ProposeConfig, propose, _show)
