"""``segue adapt``: its rows while it trains, its report at the end."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.cli.options import JobCommand
from segue.cli.show import console
from segue.jobs.adapt import AdaptConfig, adapt


def _adapt(config: AdaptConfig) -> Any:
    return {**adapt(config, watch=_print_row), "output": str(config.output)}


def _print_row(row: Mapping[str, float]) -> None:
    print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), file=sys.stderr, flush=True)


def _show(result: Any) -> None:
    console.print((Path(result["output"]) / "report.md").read_text(), markup=False)


command = JobCommand(AdaptConfig, _adapt, _show)
