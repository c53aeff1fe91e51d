"""``segue models``."""

from typing import Any

from segue.cli.options import JobCommand
from segue.cli.show import show_rows
from segue.jobs.doctor import list_models


def _show(result: Any) -> None:
    columns = ("model", "what", "weights", "licence")
    show_rows(columns, [[row[k] for k in ("name", "summary", "weights", "licence")] for row in result["models"]])


command = JobCommand(None, lambda _: {"models": list_models()}, _show)
