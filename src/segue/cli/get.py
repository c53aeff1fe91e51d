"""``segue get``."""

from segue.cli.options import JobCommand
from segue.jobs.get import GetConfig, get

command = JobCommand(GetConfig, get)
