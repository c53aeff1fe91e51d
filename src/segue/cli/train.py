"""``segue train``."""

from segue.cli.options import JobCommand
from segue.cli.show import console
from segue.jobs.train import print_row, train
from segue.training.config import TrainConfig

command = JobCommand(
    TrainConfig,
    lambda config: train(config, show=print_row),
    lambda result: console.print(f"{result['steps']} steps; the model is in {result['model']}"),
    fields=("resume", "output", "steps", "seed"),
    file=True,
)
