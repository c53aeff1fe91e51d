"""``segue convert-data``."""

from segue.cli.options import JobCommand
from segue.jobs.convert_data import ConvertDataConfig, convert_data

command = JobCommand(ConvertDataConfig, convert_data)
