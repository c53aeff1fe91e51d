"""``segue adapt``: its rows while it trains, its report at the end."""

from pathlib import Path

from segue.cli.options import JobCommand
from segue.cli.show import console, print_row
from segue.evaluation.adapt_result import AdaptResult
from segue.jobs.adapt import adapt
from segue.training.config import AdaptConfig


def _show(result: AdaptResult) -> None:
    console.print((Path(result.output) / "report.md").read_text(), markup=False)
    for failure in result.failed:
        console.print(f"left out: {failure.item}: {failure.reason}", style="red", highlight=False, markup=False)


command = JobCommand(AdaptConfig, lambda config: adapt(config, on_row=print_row), _show)
