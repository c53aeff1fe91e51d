"""``segue one-shot``."""

from segue.cli.options import JobCommand
from segue.jobs.one_shot import OneShotConfig, one_shot

command = JobCommand(OneShotConfig, one_shot)
