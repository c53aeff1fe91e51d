"""The ``segue`` command: options in, one job's configuration, its result out.

Exit status 0 done, 1 the input was wrong (one clear message), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from segue.core.errors import SegueError

app = typer.Typer(
    name="segue",
    help="Promptable segmentation: click, box, type or show an example, get the mask; corrections train an adapter.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()

Model = Annotated[str, typer.Option("--model", help="Registry name, Hugging Face id or local folder.")]
Weights = Annotated[str | None, typer.Option("--weights", help="File in the published format, or 'random'.")]
Adapter = Annotated[Path | None, typer.Option("--adapter", help="Adapter folder.")]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...; default: a GPU if there is one.")
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON; '-' is standard output.")]


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
        raise typer.BadParameter(
            f"'{text}' is not {count} numbers with commas between, such as {'120,80,300,200'[: 7 * count // 2 - 1]}"
        )
    return values


def report(result: dict[str, Any], json_to: Path | None, title: str) -> None:
    """Show ``result`` as a table, and write it as JSON where that was asked for."""
    if json_to is not None and str(json_to) == "-":
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return
    if json_to is not None:
        from segue.data.image import write_bytes

        write_bytes(json_to, (json.dumps(result, indent=1) + "\n").encode())
    table = Table(title=title, show_header=False)
    for key, value in _flat(result):
        table.add_row(key, value)
    console.print(table)


def _flat(result: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif not (isinstance(value, list) and value and isinstance(value[0], dict)):
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)


@app.command()
def mask(
    image: Annotated[Path, typer.Argument(help="The photograph.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The mask, a PNG of 0 and 255.")],
    click: Annotated[
        list[str] | None, typer.Option("--click", metavar="X,Y", help="On the object; repeatable.")
    ] = None,
    background_click: Annotated[
        list[str] | None, typer.Option("--background-click", metavar="X,Y", help="Off the object; repeatable.")
    ] = None,
    box: Annotated[str | None, typer.Option("--box", metavar="X0,Y0,X1,Y1", help="Around the object.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="What to segment, in words.")] = None,
    overlay: Annotated[Path | None, typer.Option("--overlay", help="Also write the mask drawn on the photo.")] = None,
    model: Model = "nano",
    weights: Weights = None,
    adapter: Adapter = None,
    device: Device = None,
    json_to: Json = None,
) -> None:
    """Segment one image with clicks, a box or words."""
    from segue.jobs.mask import MaskConfig
    from segue.jobs.mask import mask as run

    config = MaskConfig.of(
        image=image,
        output=output,
        overlay=overlay,
        clicks=[numbers(c, 2) for c in click or ()],
        background_clicks=[numbers(c, 2) for c in background_click or ()],
        box=numbers(box, 4) if box else None,
        text=text,
        model=model,
        weights=weights,
        adapter=adapter,
        device=device,
    )
    report(run(config), json_to, "mask")


@app.command()
def models(json_to: Json = None) -> None:
    """What models there are, what they accept, and where their weights come from."""
    from segue.jobs.inventory import list_models

    rows = list_models()
    if json_to is not None:
        report({"models": rows}, json_to, "models")
        return
    table = Table("model", "what", "weights", "licence")
    for row in rows:
        table.add_row(row["name"], row["summary"], row["weights"], row["licence"])
    console.print(table)


@app.command()
def doctor(json_to: Json = None) -> None:
    """Check this installation: libraries, weights, speed, disk; say what is wrong and how to mend it."""
    from segue.jobs.inventory import examine

    found = examine()
    report(found, json_to, "doctor")
    if found["problems"]:
        raise typer.Exit(1)


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published .pth or .safetensors file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Registry name, where the file's keys do not tell it.")
    ] = None,
    json_to: Json = None,
) -> None:
    """Turn a published checkpoint into a folder that --model and segue.load open."""
    from segue.jobs.convert import ConvertConfig
    from segue.jobs.convert import convert as run

    report(run(ConvertConfig.of(checkpoint=checkpoint, output=output, model=model)), json_to, "convert")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    >>> main(["mask", "there-is-no-such-photo.jpg", "--click", "1,1", "-o", "mask.png"])
    1
    """
    try:
        app(args=list(arguments) if arguments is not None else None, standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except SegueError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; what was finished is saved")
        return 130
    return 0


def entry() -> None:
    """The console script."""
    sys.exit(main())
