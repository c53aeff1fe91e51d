"""``segue doctor``: status 1 where something is wrong."""

from segue.cli.options import JobCommand
from segue.cli.show import console, show_result
from segue.jobs.doctor import DoctorResult, examine


def _show(result: DoctorResult) -> None:
    show_result(result)
    for problem in result.problems:
        console.print(f"wrong: {problem}", style="red", markup=False)
    if not result.problems:
        console.print("all well", style="green")


command = JobCommand(None, lambda _: examine(), _show)
