"""Commands that learn from data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Json, console, report


def train(
    config: Annotated[Path, typer.Argument(help="Training configuration, such as configs/nano.yaml.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in its output.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder instead of the one in CONFIG.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps instead of those in CONFIG.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed instead of the one in CONFIG.")] = None,
    json_to: Json = None,
) -> None:
    """Train a click-segmentation model; Ctrl-C leaves a checkpoint that --resume continues exactly."""
    from segue.jobs.train import print_row
    from segue.jobs.train import train as run
    from segue.training.config import TrainConfig

    changes = {"output": output, "steps": steps, "seed": seed}
    found = run(TrainConfig.read(config, **{k: v for k, v in changes.items() if v is not None}), resume, print_row)
    if json_to is not None:
        report(found, json_to, "train")
    else:
        console.print(f"{found['steps']} steps; the model is in {found['model']}")
