"""The ``segue`` command: options in, one job's configuration, its result out.

Exit status 0 done, 1 the input was wrong (one clear message), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import segue
from segue.cli.net import caught
from segue.core.imports import importing

if TYPE_CHECKING:
    from typer.core import TyperCommand

COMMANDS = {  # name -> what it does; the module of the same name is imported when the command runs
    "mask": "Segment one image with clicks, a box or words.",
    "annotate": "Open a folder of images in the browser annotator; or import and export its masks.",
    "find": "Find an object, shown once, in other images; say where it is not.",
    "propose": "Propose masks for every object of an image, parts and wholes, to be accepted or passed over.",
    "label": "Name classes, and get the masks of those that every image of a folder shows.",
    "calibrate": "Measure, on your own photos, how sure a find is: scores become probabilities, absence an answer.",
    "track": "Follow an object, shown in one frame, through a video.",
    "one-shot": "Measure one-shot segmentation: show a class once, find it in the queries.",
    "get": "Fetch the published weights of a model, checked; or say which file to place where.",
    "convert": "Turn a published checkpoint into a folder that --model opens.",
    "convert-data": "Convert annotations between the formats of other tools; say what is lost.",
    "check": "Read a data set of any format as a conversion would, and report everything suspicious.",
    "encode": "Compute features ahead of time, so that every click is answered from the cache.",
    "bench": "Measure encode and click times, SPC, PIE, memory and operations, models side by side.",
    "export": "Write a model's encoder and decoder as graphs for other runtimes, compared with the model itself.",
    "serve": "Answer another tool's requests: a Label Studio ML backend.",
    "adapt": "Train an adapter on your own masks and say, from images it never saw, whether it helps.",
    "train": "Train a click-segmentation model; Ctrl-C leaves a checkpoint that --resume continues exactly.",
    "evaluate": "Count the clicks that a model needs on a data set, by the published robot-click protocol.",
    "study": "Set a table of a paper beside our own figures, as far as data and weights are there.",
    "models": "What models there are, what they accept, and where their weights come from.",
    "doctor": "Check this installation: libraries, weights, speed, disk; say what is wrong and how to mend it.",
}


class _Commands(TyperGroup):
    """The commands as their names and summaries; the one that is called is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """(name, command, its words)."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and command(str(name)), rest


app = typer.Typer(
    name="segue",
    cls=_Commands,
    help="Promptable segmentation: click, box, type or show an example, get the mask; corrections train an adapter.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _summary in COMMANDS.items():
    app.command(_name, help=_summary)(lambda: None)


def command(name: str) -> TyperCommand:
    """The command ``name`` with its options.

    >>> [option.name for option in command("models").params]
    ['json', 'debug']
    """
    with importing():
        module = importlib.import_module(f"segue.cli.{name.replace('-', '_')}")
    built: TyperCommand = module.command.build(name, COMMANDS[name])
    return built


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segue {segue.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    >>> main(["mask", "there-is-no-such-photo.jpg", "--click", "1,1", "-o", "mask.png"])
    1
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return caught(lambda: app(args=words, standalone_mode=True), debug="--debug" in words)


def entry() -> None:
    """The console script."""
    sys.exit(main())
