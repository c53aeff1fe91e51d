"""``segue export``: a line for every graph, or how to serve the page."""

from segue.cli.options import JobCommand
from segue.cli.show import bytes_text, console, show_rows
from segue.jobs.export import ExportConfig, ExportResult, export


def _show(result: ExportResult) -> None:
    if result.to == "web":
        console.print(
            f"{result.folder}: {bytes_text(result.bytes)} of static files. Any server will do, for instance:",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        console.print(
            f"  python -m http.server --bind 127.0.0.1 --directory {result.folder}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return
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
