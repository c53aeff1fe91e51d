"""``segue convert-data``."""

from segue.cli.options import JobCommand
from segue.cli.show import show_result, show_rows
from segue.jobs.convert_data import ConvertDataConfig, ConvertDataResult, convert_data


def show(result: ConvertDataResult) -> None:
    """The figures, with the images that did not read, and the first losses one by one."""
    show_result(result)
    if result.examples:
        rows = [(e.file, e.image, e.object, e.what, "" if e.iou is None else f"{e.iou:.3f}") for e in result.examples]
        show_rows(("file", "image", "object", "what happened", "IoU"), rows)


command = JobCommand(ConvertDataConfig, convert_data, show)
