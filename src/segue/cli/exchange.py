"""Commands that bring models and data in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Json, Output, report


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published .pth or .safetensors file.")],
    output: Output,
    model: Annotated[
        str | None, typer.Option("--model", help="The model it belongs to, where its keys do not tell.")
    ] = None,
    json_to: Json = None,
) -> None:
    """Turn a published checkpoint into a folder that --model opens."""
    from segue.jobs.convert import ConvertConfig
    from segue.jobs.convert import convert as run

    report(run(ConvertConfig.from_fields(checkpoint=checkpoint, output=output, model=model)), json_to, "convert")


def convert_data(
    source: Annotated[Path, typer.Argument(help="Folder of annotations; its format is recognised.")],
    to: Annotated[str, typer.Option("--to", help="coco, yolo, labelme, voc, cvat, label-studio, png or numpy.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A new folder to write.")] = None,
    format: Annotated[str, typer.Option("--from", help="Format of the source, where it is not recognised.")] = "auto",
    polygons: Annotated[bool, typer.Option("--polygons", help="Polygons instead of exact masks.")] = False,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Pixels that polygons may stray; fewer points.")
    ] = 0.0,
    images: Annotated[str, typer.Option("--images", help="copy, link or none.")] = "copy",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; report what would be lost.")] = False,
    json_to: Json = None,
) -> None:
    """Convert annotations between the formats of other tools; say what is lost."""
    from segue.jobs.convert_data import ConvertDataConfig
    from segue.jobs.convert_data import convert_data as run

    config = ConvertDataConfig.from_fields(
        source=source,
        to=to,
        output=output,
        format=format,
        polygons=polygons,
        tolerance=tolerance,
        images=images,
        dry_run=dry_run,
    )
    report(run(config), json_to, "convert-data")
