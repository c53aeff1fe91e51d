"""``segue encode``."""

from segue.cli.options import JobCommand
from segue.jobs.encode import EncodeConfig, encode

command = JobCommand(EncodeConfig, encode)
