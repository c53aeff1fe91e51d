"""Frames of a video: a folder of pictures, or a file read through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segue.core.errors import DataError, ImageError, MissingExtra, MissingFile
from segue.core.types import Image
from segue.data.io.image import find_images, read_image


class Video:
    """The frames of ``path`` in order, decoded one at a time: (H, W, 3) uint8 RGB, all of one size.

    ``names`` are the stems of the pictures, or frame numbers; for a file their count is only known after
    reading, so ``len`` is not offered. Raises ``MissingFile``, ``ImageError`` for a file without a video,
    ``DataError`` for frames of several sizes and ``MissingExtra`` where PyAV is not installed.

    >>> import tempfile
    >>> from segue.data.io.image import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(3):
    ...         write_image(f"{folder}/{i:05d}.png", np.full((4, 6, 3), i, np.uint8))
    ...     [(name, frame.shape) for name, frame in Video(folder)]
    [('00000', (4, 6, 3)), ('00001', (4, 6, 3)), ('00002', (4, 6, 3))]
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise MissingFile(f"{self.path}", "a folder of frames or a video file", "check the path")

    def __iter__(self) -> Iterator[tuple[str, Image]]:
        size: tuple[int, ...] | None = None
        for name, frame in self._pictures() if self.path.is_dir() else self._decoded():
            size = size or frame.shape
            if frame.shape != size:
                raise DataError(
                    f"frame {name} of {frame.shape[1]} x {frame.shape[0]} pixels",
                    f"{size[1]} x {size[0]} as the first",
                    "a video has one size",
                )
            yield name, frame

    def _pictures(self) -> Iterator[tuple[str, Image]]:
        for path in find_images([self.path]):
            yield path.stem, read_image(path)

    def _decoded(self) -> Iterator[tuple[str, Image]]:
        try:
            import av
        except ImportError as error:
            raise MissingExtra.for_library("av", "video") from error
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise ImageError(f"{self.path} without a video stream", "a video")
                for number, frame in enumerate(container.decode(video=0)):
                    yield f"{number:05d}", np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
        except av.error.FFmpegError as error:
            raise ImageError(f"{self.path}, which cannot be decoded ({error})", "a video file or folder") from error
