"""Commands that measure, and that tell what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from segue.cli.options import Choice, Json, choosing_model, console, report


def models(json_to: Json = None) -> None:
    """What models there are, what they accept, and where their weights come from."""
    from segue.jobs.doctor import list_models

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
    from segue.jobs.doctor import examine

    found = examine()
    report(found, json_to, "doctor")
    if found["problems"]:
        raise typer.Exit(1)


@choosing_model
def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Folder of the data set.")],
    more_targets: Annotated[list[float] | None, typer.Argument(hidden=True, metavar="")] = None,
    format: Annotated[str, typer.Option("--format", help="Format of the data set; 'auto' recognises it.")] = "auto",
    split: Annotated[str | None, typer.Option("--split", help="Part of the data set, where it has parts.")] = None,
    ignore_values: Annotated[
        list[int] | None, typer.Option("--void", help="Label value that never counts; repeatable.")
    ] = None,
    max_clicks: Annotated[int, typer.Option("--max-clicks", help="Clicks an object at most.")] = 20,
    target: Annotated[
        list[float] | None, typer.Option("--target", help="IoU to reach; several: --target 0.8 0.85 0.9.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Objects at most.")] = None,
    every: Annotated[int, typer.Option("--every", help="Only every K-th image.")] = 1,
    clicks: Annotated[str, typer.Option("--clicks", help="center (published) or perturbed.")] = "center",
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Of perturbed clicks; repeatable; default 0, 1, 2.")
    ] = None,
    stop_at_target: Annotated[
        bool, typer.Option("--stop-at-target", help="End an object at the highest target; mIoU@k is then a bound.")
    ] = False,
    view: Annotated[
        str, typer.Option("--view", help="auto, own, whole, ritm, simpleclick: zoom-in and flip as those evaluate.")
    ] = "auto",
    zoom_size: Annotated[int | None, typer.Option("--zoom-size", help="Pixels that zoom-in aims at.")] = None,
    report_to: Annotated[
        Path | None, typer.Option("--report", help="Folder for a page, plots and the worst objects.")
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option("--compare", help="JSON of an earlier run to draw too; repeatable.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", help="Where finished objects are kept until the end.")
    ] = None,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Count the clicks that a model needs on a data set, by the published robot-click protocol."""
    if more_targets and not target:
        raise typer.BadParameter(f"'{more_targets[0]}' belongs to no option; say --target {more_targets[0]}")
    from segue.jobs.evaluate import EvaluateConfig
    from segue.jobs.evaluate import evaluate as run

    chosen = {"target": (*(target or ()), *(more_targets or ()))} if target else {}
    config = EvaluateConfig.from_fields(
        data=data,
        format=format,
        split=split,
        ignore_values=tuple(ignore_values) if ignore_values else None,
        max_clicks=max_clicks,
        limit=limit,
        every=every,
        clicks=clicks,
        seed=tuple(seed or ()),
        stop_at_target=stop_at_target,
        view=view,
        zoom_size=zoom_size,
        report=report_to,
        compare=tuple(compare or ()),
        journal=journal,
        **choice,
        **chosen,
    )
    report(run(config), json_to, "evaluate")
