"""The command that adapts a model to one's own images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from segue.cli.options import Device, Json, Model, Output, Weights, console, report


def adapt(
    data: Annotated[Path, typer.Option("--data", help="Images with masks: any format, or an annotator's export.")],
    output: Output,
    model: Model = "nano",
    adapter: Annotated[
        str, typer.Option("--adapter", help="detail, lora, head, full, prompt; for texts: dense, shallow, side.")
    ] = "detail",
    minutes: Annotated[float, typer.Option("--minutes", help="Training time at most.")] = 15.0,
    clock: Annotated[str, typer.Option("--clock", help="What counts as time: wall, or cpu.")] = "wall",
    holdout: Annotated[float, typer.Option("--holdout", help="Share of images kept for the report.")] = 0.2,
    format: Annotated[str, typer.Option("--format", help="Format of the data set; 'auto' recognises it.")] = "auto",
    name: Annotated[str, typer.Option("--name", help="What masks without texts show: 'foot ulcer'.")] = "",
    train_images: Annotated[int | None, typer.Option("--train-images", help="Images to train on at most.")] = None,
    test_images: Annotated[int | None, typer.Option("--test-images", help="Held-out images at most.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split and of training.")] = 0,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs, for models prompted by text; the paper has 3.")] = 1,
    max_clicks: Annotated[int, typer.Option("--max-clicks", help="Clicks an object at most, in the report.")] = 20,
    boundary: Annotated[
        bool, typer.Option("--boundary/--no-boundary", help="Boundary measures in the report; they take long.")
    ] = True,
    rate: Annotated[float | None, typer.Option("--rate", help="Learning rate; default: the adapter's own.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Views or images a step.")] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Epochs at most, for models prompted by text.")] = 1000,
    loss: Annotated[
        str, typer.Option("--loss", help="For texts: correct, or published-double-sigmoid to reproduce the paper.")
    ] = "correct",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the adapter, KEY=VALUE; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run in the folder.")] = False,
    weights: Weights = None,
    device: Device = None,
    json_to: Json = None,
) -> None:
    """Train an adapter on your own masks and say, from images it never saw, whether it helps."""
    from segue.jobs.adapt import AdaptConfig
    from segue.jobs.adapt import adapt as run

    config = AdaptConfig.from_fields(
        data=data,
        output=output,
        model=model,
        adapter_kind=adapter,
        minutes=minutes,
        clock=clock,
        holdout=holdout,
        format=format,
        name=name,
        train_images=train_images,
        test_images=test_images,
        seed=seed,
        seeds=seeds,
        max_clicks=max_clicks,
        boundary=boundary,
        rate=rate,
        batch=batch,
        epochs=epochs,
        loss=loss,
        settings=_settings(set_ or []),
        resume=resume,
        weights=weights,
        device=device,
    )
    quiet = json_to is not None and str(json_to) == "-"
    result = run(config, watch=lambda row: None if quiet else _show(row))
    if json_to is not None:
        report(result, json_to, "adapt")
    if not quiet:
        console.print((output / "report.md").read_text(), markup=False)


def _settings(pairs: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{pair}' is not KEY=VALUE, such as width=32")
        found[key] = yaml.safe_load(value)
    return found


def _show(row: Mapping[str, float]) -> None:
    console.print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), markup=False, highlight=False)
