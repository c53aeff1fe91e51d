"""Commands that measure, and that tell what is there."""

from __future__ import annotations

import typer
from rich.table import Table

from segue.cli.options import Json, console, report


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


def doctor(json_to: Json = None) -> None:
    """Check this installation: libraries, weights, speed, disk; say what is wrong and how to mend it."""
    from segue.jobs.inventory import examine

    found = examine()
    report(found, json_to, "doctor")
    if found["problems"]:
        raise typer.Exit(1)
