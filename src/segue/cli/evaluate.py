"""``segue evaluate``."""

from segue.cli.options import JobCommand
from segue.jobs.evaluate import EvaluateConfig, evaluate

command = JobCommand(EvaluateConfig, evaluate)
