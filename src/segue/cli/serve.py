"""``segue serve``."""

from segue.cli.options import JobCommand
from segue.integrations.serve import ServeConfig, serve

command = JobCommand(ServeConfig, serve)
