"""``segue find``."""

from segue.cli.options import JobCommand
from segue.jobs.find import FindConfig, find

command = JobCommand(FindConfig, find)
