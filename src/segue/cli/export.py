"""``segue export``."""

from typing import Any

from segue.cli.options import JobCommand
from segue.cli.show import show_rows
from segue.jobs.export import ExportConfig, export


def _show(result: Any) -> None:
    columns = ("graph", "bytes", "largest difference", "model", "ONNX Runtime")
    rows = [
        (
            part["file"],
            f"{part['bytes']:,}",
            f"{part['largest_difference']:.1e}",
            f"{part['model_seconds'] * 1e3:.1f} ms",
            f"{part['onnx_seconds'] * 1e3:.1f} ms",
        )
        for part in result["parts"]
    ]
    show_rows(columns, rows)


command = JobCommand(ExportConfig, export, _show)
