"""The ``segue`` command: options in, one job's configuration, its result out.

Exit status 0 done, 1 the input was wrong (one clear message), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.console import Console

from segue.cli import adapt, ahead, annotate, exchange, learn, measure, references, segment, serve
from segue.core.errors import SegueError

COMMANDS = (
    segment.mask,
    annotate.annotate,
    references.find,
    references.track,
    references.one_shot,
    exchange.convert,
    exchange.convert_data,
    ahead.encode,
    ahead.bench,
    ahead.export,
    serve.serve,
    adapt.adapt,
    learn.train,
    measure.evaluate,
    measure.models,
    measure.doctor,
)

app = typer.Typer(
    name="segue",
    help="Promptable segmentation: click, box, type or show an example, get the mask; corrections train an adapter.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)


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
