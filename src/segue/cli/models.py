"""``segue models``."""

from segue.cli.options import JobCommand
from segue.cli.show import show_rows
from segue.jobs.doctor import ModelList, list_models


def _show(result: ModelList) -> None:
    rows = [(row.name, row.summary, row.weights, row.licence) for row in result.models]
    show_rows(("model", "what", "weights", "licence"), rows)


command = JobCommand(None, lambda _: list_models(), _show)
