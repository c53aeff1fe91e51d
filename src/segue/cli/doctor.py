"""``segue doctor``: status 1 where something is wrong."""

from segue.cli.options import JobCommand
from segue.jobs.doctor import examine

command = JobCommand(None, lambda _: examine())
