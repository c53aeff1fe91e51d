"""Frames in order: a folder of pictures, the pages of an image file, or a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segue.core.errors import DataError, MissingFile
from segue.core.types import Image
from segue.data.io.image import find_images, open_image, read_image


class Video:
    """The frames of ``path`` in order, decoded one at a time: (H, W, 3) uint8 RGB, all of one size. Of a folder those
    from number ``start`` on come first, then the earlier ones backwards.

    ``names`` are the stems of the pictures, or frame numbers; for a file their count is only known after
    reading, so ``len`` is not offered. Raises ``MissingFile``, ``ImageError`` for a file without a picture,
    ``DataError`` for frames of several sizes and ``MissingExtra`` where PyAV is not installed.

    >>> import tempfile
    >>> import numpy as np
    >>> from segue.data.io.image import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(8, 11):
    ...         write_image(f"{folder}/{i}.png", np.full((4, 6, 3), i, np.uint8))
    ...     [(name, frame.shape) for name, frame in Video(folder)]
    [('8', (4, 6, 3)), ('9', (4, 6, 3)), ('10', (4, 6, 3))]
    """

    def __init__(self, path: Path | str, start: int = 0) -> None:
        self.path, self.start = Path(path), start
        if not self.path.exists():
            raise MissingFile(f"{self.path}", "a folder of frames or a video file", "check the path")

    def __iter__(self) -> Iterator[tuple[str, Image]]:
        size: tuple[int, ...] | None = None
        names: set[str] = set()
        for name, frame in self._pictures() if self.path.is_dir() else self._pages():
            size = size or frame.shape
            if frame.shape != size:
                raise DataError(
                    f"frame {name} of {frame.shape[1]} x {frame.shape[0]} pixels",
                    f"{size[1]} x {size[0]} as the first",
                    "a video has one size",
                )
            if name in names:
                raise DataError(f"two frames named {name} in {self.path}", "one name a frame", "rename or remove one")
            names.add(name)
            yield name, frame

    def _pictures(self) -> Iterator[tuple[str, Image]]:
        paths = find_images([self.path])
        for path in (*paths[self.start :], *reversed(paths[: self.start])):
            yield path.stem, read_image(path)

    def _pages(self) -> Iterator[tuple[str, Image]]:
        with open_image(self.path) as file:
            for number, frame in enumerate(file.frames()):
                yield f"{number:05d}", frame
