"""Commands that prepare: features ahead of time, timings, and graphs for other runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from segue.cli.options import (
    Adapter,
    Choice,
    Device,
    Json,
    Model,
    Output,
    Weights,
    choosing_model,
    console,
    numbers,
    report,
    write_json,
)


@choosing_model
def encode(
    images: Annotated[list[str], typer.Argument(help="Folders, image files or globs.")],
    cache: Annotated[str, typer.Option("--cache", help="Folder or any fsspec URL.")],
    half: Annotated[
        bool | None, typer.Option("--half/--full", help="Precision kept; default: as the cache was made, else full.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="SIZE", help="Most bytes to keep, such as 20GB.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Images encoded together.")] = 1,
    readers: Annotated[int, typer.Option("--readers", help="Threads that read ahead.")] = 2,
    decoder: Annotated[
        Path | None, typer.Option("--decoder", help="Also write the model without its encoder here.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="local or ray.")] = "local",
    address: Annotated[str | None, typer.Option("--address", help="Ray cluster; default: a local one.")] = None,
    workers: Annotated[int, typer.Option("--workers", help="Workers of a local Ray.")] = 2,
    chunk: Annotated[int, typer.Option("--chunk", help="Images in one Ray task.")] = 16,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Compute features ahead of time, so that every click is answered from the cache."""
    from segue.jobs.encode import EncodeConfig, size_in_bytes
    from segue.jobs.encode import encode as run

    config = EncodeConfig.from_fields(
        images=images,
        cache=cache,
        half=half,
        limit=size_in_bytes(limit) if limit else None,
        batch=batch,
        readers=readers,
        decoder=decoder,
        engine=engine,
        address=address,
        workers=workers,
        chunk=chunk,
        **choice,
    )
    report(run(config), json_to, "encode")


def bench(
    model: Annotated[list[str] | None, typer.Option("--model", help="Repeatable; default nano.")] = None,
    size: Annotated[str, typer.Option("--size", metavar="H,W", help="The photograph's size.")] = "512,512",
    clicks: Annotated[int, typer.Option("--clicks", help="Clicks of one dialogue.")] = 20,
    rounds: Annotated[int, typer.Option("--rounds", help="Dialogues per model, models in turn.")] = 5,
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default: PyTorch's.")] = None,
    noc: Annotated[
        list[Path] | None, typer.Option("--noc", help="JSON of segue evaluate, drawn against PIE; repeatable.")
    ] = None,
    report_to: Annotated[Path | None, typer.Option("--report", help="Folder for Markdown, JSON and plot.")] = None,
    weights: Weights = None,
    adapter: Adapter = None,
    device: Device = None,
    json_to: Json = None,
) -> None:
    """Measure encode and click times, SPC, PIE, memory and operations, models side by side."""
    from segue.jobs.bench import BenchConfig
    from segue.jobs.bench import bench as run

    height, width = (int(side) for side in numbers(size, 2))
    config = BenchConfig.from_fields(
        models=model or ["nano"],
        size=(height, width),
        clicks=clicks,
        rounds=rounds,
        threads=threads,
        noc=noc or (),
        report=report_to,
        weights=weights,
        adapter=adapter,
        device=device,
    )
    found = run(config)
    if json_to is not None:
        write_json(found, json_to)
    if str(json_to) != "-":
        show_rows(found)


def show_rows(found: Mapping[str, Any]) -> None:
    """The benchmark's figures that fit a terminal; the report has all."""
    from segue.evaluation.bench_report import COLUMNS, NARROW

    columns = [column for column in COLUMNS if column[0] in NARROW]
    table = Table(*(name for name, _, _ in columns))
    for row in found["rows"]:
        table.add_row(*(str(show(row)) for _, _, show in columns))
    console.print(table)
    for name, order in found["operator_order"].items():
        console.print(f"{name}: {order['times_faster']:.2f} times faster than in the published order of operators")


def export(
    output: Output,
    to: Annotated[str, typer.Option("--to", help="The format: onnx.")] = "onnx",
    checks: Annotated[int, typer.Option("--checks", help="Random inputs to compare each graph on.")] = 3,
    model: Model = "nano",
    weights: Weights = None,
    adapter: Adapter = None,
    json_to: Json = None,
) -> None:
    """Write a model's encoder and decoder as graphs for other runtimes, compared with the model itself."""
    from segue.jobs.export import ExportConfig
    from segue.jobs.export import export as run

    config = ExportConfig.from_fields(
        output=output, to=to, checks=checks, model=model, weights=weights, adapter=adapter, device="cpu"
    )
    found = run(config)
    if json_to is not None:
        write_json(found, json_to)
    if str(json_to) != "-":
        table = Table("graph", "bytes", "largest difference", "model", "ONNX Runtime", title="export")
        for part in found["parts"]:
            times = (f"{part[side] * 1e3:.1f} ms" for side in ("model_seconds", "onnx_seconds"))
            table.add_row(part["file"], f"{part['bytes']:,}", f"{part['largest_difference']:.1e}", *times)
        console.print(table)
