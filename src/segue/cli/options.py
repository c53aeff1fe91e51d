"""What several commands share: option types, parsing of numbers, showing a result."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

console = Console()

Model = Annotated[str, typer.Option("--model", help="Registry name, Hugging Face id or local folder.")]
Weights = Annotated[str | None, typer.Option("--weights", help="File in the published format, or 'random'.")]
Adapter = Annotated[Path | None, typer.Option("--adapter", help="Adapter folder.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...; default: a GPU if there is one.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON; '-' is standard output.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")]

Choice: TypeAlias = Mapping[str, Any]  # the values of the four options that say which model does the job
_CHOICE: Mapping[str, tuple[Any, Any]] = {
    "model": (Model, "nano"),
    "weights": (Weights, None),
    "adapter": (Adapter, None),
    "device": (Device, None),
}


def choosing_model(command: Callable[..., None]) -> Callable[..., None]:
    """Offer ``--model``, ``--weights``, ``--adapter`` and ``--device`` in the place of a parameter ``choice``.

    >>> @choosing_model
    ... def look(photo: str, choice: Choice) -> None:
    ...     print(photo, choice["model"])
    >>> list(inspect.signature(look).parameters)
    ['photo', 'model', 'weights', 'adapter', 'device']
    >>> look(photo="cat.jpg", model="nano", weights=None, adapter=None, device=None)
    cat.jpg nano
    """

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(choice={name: given.pop(name) for name in _CHOICE}, **given)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    offered = [inspect.Parameter(n, kind, default=d, annotation=a) for n, (a, d) in _CHOICE.items()]
    own = inspect.signature(command, eval_str=True)
    options = [o for p in own.parameters.values() for o in (offered if p.name == "choice" else [p])]
    run.__signature__ = own.replace(parameters=options)  # type: ignore[attr-defined]
    run.__annotations__ = {o.name: o.annotation for o in options}
    return run


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
    from segue.core.files import write_bytes

    write_bytes(path, text.encode())


def _flat(result: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif not (isinstance(value, list) and value and isinstance(value[0], dict)):
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)
