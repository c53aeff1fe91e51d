"""``segue track``."""

from segue.cli.options import JobCommand
from segue.jobs.track import TrackConfig, track

command = JobCommand(TrackConfig, track)
