"""``segue calibrate``: what a find's score is worth."""

from segue.cli.options import JobCommand
from segue.jobs.calibrate import CalibrateConfig, calibrate

command = JobCommand(CalibrateConfig, calibrate)
"""The command."""
