"""The report of a benchmark: a Markdown table, its JSON, and NoC against PIE."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from segue.core.files import write_bytes
from segue.evaluation.benchmark import BenchResult, ModelSpeed
from segue.evaluation.results import EvaluateResult

COLUMNS: Sequence[tuple[str, str, Callable[[ModelSpeed], str]]] = (
    ("model", "---", lambda r: r.model),
    ("parameters", "--:", lambda r: f"{r.parameters / 1e6:.1f} M"),
    ("input", "--:", lambda r: f"{r.input[0]} x {r.input[1]}"),
    ("encode p50", "--:", lambda r: f"{r.encode.p50 * 1e3:.0f} ms"),
    ("click p50", "--:", lambda r: f"{r.click.p50 * 1e3:.1f} ms"),
    ("click p95", "--:", lambda r: f"{r.click.p95 * 1e3:.1f} ms"),
    ("encode, processor time", "--:", lambda r: f"{r.encode.processor_p50 * 1e3:.0f} ms"),
    ("click, processor time", "--:", lambda r: f"{r.click.processor_p50 * 1e3:.1f} ms"),
    ("click, times the first", "--:", lambda r: f"{r.times_first.click:.2f}"),
    ("SPC", "--:", lambda r: f"{r.spc:.3f} s"),
    ("SPC, clicks only", "--:", lambda r: f"{r.spc_clicks:.3f} s"),
    ("PIE", "--:", lambda r: f"{r.pie * 1e7:.2f}e-7"),
    ("PIE, clicks only", "--:", lambda r: f"{r.pie_clicks * 1e7:.2f}e-7"),
    ("GFLOP encode", "--:", lambda r: f"{r.encode.gflops:.1f}"),
    ("GFLOP click", "--:", lambda r: f"{r.click.gflops:.1f}"),
    ("share of peak", "--:", lambda r: f"{r.click.share_of_peak:.0%}"),
    ("memory", "--:", lambda r: f"{r.memory_mib:.0f} MiB"),
    ("click beside a busy process", "--:", lambda r: f"{r.disturbed.click:.2f} times" if r.disturbed else ""),
)

NARROW = ("model", "parameters", "encode p50", "click p50", "click p95", "SPC", "GFLOP click", "memory")


def write_bench(folder: Path, result: BenchResult, results: Sequence[EvaluateResult] = ()) -> None:
    """Write ``bench.md``, ``bench.json`` and, for models with a result of ``segue evaluate``,
    ``noc_against_pie.png`` into ``folder``. Raises ``StorageError`` if the disk refuses.

    Source: InterFormer, figure 2 (NoC90 against PIE).
    """
    points = noc_points(result.rows, results)
    write_bytes(folder / "bench.json", (json.dumps(result.to_json(), indent=1) + "\n").encode())
    write_bytes(folder / "bench.md", page(result, bool(points)).encode())
    if points:
        write_bytes(folder / "noc_against_pie.png", _plot(points))


def page(result: BenchResult, with_plot: bool = False) -> str:
    """The Markdown page of a benchmark."""
    lines = [
        "# Benchmark",
        "",
        f"{result.clicks} clicks, {result.rounds} rounds in turn, a photograph of "
        f"{result.size[0]} x {result.size[1]}, {result.device}, {result.threads} threads; a 1024 x 1024 "
        f"float32 matrix product reached {result.peak_gflops:.0f} GFLOP/s in the same run. Medians. SPC counts "
        "encoding, as published.",
        "",
        "| " + " | ".join(name for name, _, _ in COLUMNS) + " |",
        "|" + "|".join(rule for _, rule, _ in COLUMNS) + "|",
    ]
    lines += ["| " + " | ".join(str(show(row)) for _, _, show in COLUMNS) + " |" for row in result.rows]
    if with_plot:
        lines += ["", "![NoC against PIE](noc_against_pie.png)"]
    return "\n".join(lines) + "\n"


def noc_points(rows: Sequence[ModelSpeed], results: Sequence[EvaluateResult]) -> list[tuple[str, float, float]]:
    """(label, PIE, NoC) of every evaluation result whose model was measured; NoC at its highest target.

    >>> speed = ModelSpeed.model_construct(model="nano", pie=1e-7)
    >>> noc_points([speed], [EvaluateResult.model_construct(model="nano", noc={"0.85": 3.0, "0.90": 4.5})])
    [('nano', 1e-07, 4.5)]
    """
    speeds = {row.model: row.pie for row in rows}
    return [(r.model, speeds[r.model], float(r.noc[max(r.noc)])) for r in results if r.model in speeds]


def _plot(points: Sequence[tuple[str, float, float]]) -> bytes:
    from matplotlib.figure import Figure  # an optional library, which the table does without

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for label, speed, clicks in points:
        axes.scatter(speed, clicks)
        axes.annotate(label, (speed, clicks), textcoords="offset points", xytext=(6, 4))
    axes.set(xscale="log", xlabel="PIE (seconds per click and pixel)", ylabel="NoC at the highest target")
    axes.grid(alpha=0.3)
    out = BytesIO()
    figure.savefig(out, dpi=120)
    return out.getvalue()
