"""``segue train``."""

from segue.cli.options import JobCommand
from segue.cli.show import console, print_row
from segue.jobs.train import train
from segue.training.config import TrainConfig

command = JobCommand(
    TrainConfig,
    lambda config: train(config, on_row=print_row),
    lambda result: console.print(f"{result.steps} steps; the model is in {result.model}"),
    fields=("resume", "force", "processes", "output", "steps", "seed"),
    file=True,
)
