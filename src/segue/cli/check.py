"""``segue check``."""

from segue.cli.options import JobCommand
from segue.cli.show import console, show_result, show_rows
from segue.jobs.check import CheckConfig, CheckResult, check


def show(result: CheckResult) -> None:
    """The counts, what is suspicious with examples, and the images that do not read."""
    show_result(result)
    if result.findings:
        rows = [(finding.what, str(finding.count), "; ".join(finding.examples)) for finding in result.findings]
        show_rows(("suspicious", "count", "such as"), rows)
    if not result.findings and not result.failed:
        console.print("nothing suspicious")


command = JobCommand(CheckConfig, check, show)
