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

    report(run(ConvertConfig.of(checkpoint=checkpoint, output=output, model=model)), json_to, "convert")
