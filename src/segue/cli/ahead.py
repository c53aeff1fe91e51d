"""Commands that prepare: features ahead of time, timings, and graphs for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Adapter, Device, Json, Model, Weights, report


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
    model: Model = "nano",
    weights: Weights = None,
    adapter: Adapter = None,
    device: Device = None,
    json_to: Json = None,
) -> None:
    """Compute features ahead of time, so that every click is answered from the cache."""
    from segue.jobs.batch import EncodeConfig, size_in_bytes
    from segue.jobs.batch import encode as run

    config = EncodeConfig.of(
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
        model=model,
        weights=weights,
        adapter=adapter,
        device=device,
    )
    report(run(config), json_to, "encode")
