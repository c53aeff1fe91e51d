"""``segue export``: a line for every graph."""

from segue.cli.options import JobCommand
from segue.cli.show import bytes_text, show_rows
from segue.jobs.export import ExportConfig, ExportResult, export


def _show(result: ExportResult) -> None:
    rows = [
        (
            graph.file,
            bytes_text(graph.bytes),
            f"{graph.largest_difference:.1e}",
            f"{graph.model_seconds * 1e3:.1f} ms",
            f"{graph.onnx_seconds * 1e3:.1f} ms",
        )
        for graph in result.graphs
    ]
    show_rows(("graph", "size", "largest difference", "model", "ONNX Runtime"), rows)


command = JobCommand(ExportConfig, export, _show)
