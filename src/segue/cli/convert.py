"""``segue convert``."""

from segue.cli.options import JobCommand
from segue.jobs.convert import ConvertConfig, convert

command = JobCommand(ConvertConfig, convert)
