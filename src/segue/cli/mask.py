"""``segue mask``."""

from segue.cli.options import JobCommand
from segue.jobs.mask import MaskConfig, mask

command = JobCommand(MaskConfig, mask)
