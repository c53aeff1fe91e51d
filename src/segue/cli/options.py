"""What several commands share: option types, parsing of numbers, showing a result."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

console = Console()

Model = Annotated[str, typer.Option("--model", help="Registry name, Hugging Face id or local folder.")]
Weights = Annotated[str | None, typer.Option("--weights", help="File in the published format, or 'random'.")]
Adapter = Annotated[Path | None, typer.Option("--adapter", help="Adapter folder.")]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...; default: a GPU if there is one.")
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON; '-' is standard output.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")]


def numbers(text: str, count: int) -> tuple[float, ...]:
    """'X,Y' or 'X0,Y0,X1,Y1' as floats; anything else is a usage error.

    >>> numbers("3,4.5", 2)
    (3.0, 4.5)
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        example = ",".join(("120", "80", "300", "200")[:count])
        raise typer.BadParameter(f"'{text}' is not {count} numbers with commas between, such as {example}")
    return values


def report(result: Mapping[str, Any], json_to: Path | None, title: str) -> None:
    """Show ``result`` as a table, or write it as JSON where that was asked for ('-' writes nothing else)."""
    if json_to is not None:
        write_json(result, json_to)
        if str(json_to) == "-":
            return
    table = Table(title=title, show_header=False)
    for key, value in _flat(result):
        table.add_row(key, value)
    console.print(table)


def write_json(result: Mapping[str, Any], path: Path) -> None:
    """Write ``result`` to ``path``; '-' is standard output."""
    text = json.dumps(result, indent=1) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    from segue.data.image import write_bytes

    write_bytes(path, text.encode())


def _flat(result: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif not (isinstance(value, list) and value and isinstance(value[0], dict)):
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)
