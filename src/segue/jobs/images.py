"""Images of a folder, of which some may not be readable: they are passed over and named at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from segue.core.errors import DataError, ImageError, MissingFile
from segue.core.types import Image
from segue.data.io.image import read_image
from segue.session.config import JobResult


class UnreadableImage(JobResult):
    """An image that was passed over, and why."""

    path: str
    why: str


def read_images(paths: Sequence[Path], unreadable: list[UnreadableImage]) -> Iterator[tuple[Path, Image]]:
    """(path, image (H, W, 3)) of those that can be read; the others are added to ``unreadable``.

    Raises ``DataError`` where not one can be read, and a single image's own error.
    """
    for path in paths:
        try:
            image = read_image(path)
        except (ImageError, MissingFile) as error:
            if len(paths) == 1:
                raise
            unreadable.append(UnreadableImage(path=str(path), why=str(error)))
            continue
        yield path, image
    check_some_readable(len(paths), unreadable)


def check_some_readable(count: int, unreadable: Sequence[UnreadableImage]) -> None:
    """Raise ``DataError`` where none of ``count`` images could be read."""
    if unreadable and len(unreadable) == count:
        raise DataError(f"{count} images of which none could be read", "image files", f"The first: {unreadable[0].why}")
