"""Videos, frame by frame, by PyAV; an extra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import ImageError, naming_extras
from segue.core.types import Image
from segue.data.io.image_file import ImageFile
from segue.data.io.pixels import Window


class VideoFile(ImageFile):
    """A video's first stream of pictures, upright as its display matrix says; a frame is found by reading up to it.

    Raises ``ImageError`` for a file without a video, and ``MissingExtra`` where PyAV is not installed.
    """

    kind = "video"

    def __init__(self, path: Path, max_pixels: int, head: bytes = b"") -> None:
        super().__init__(path, max_pixels, pages=0)
        first = next(self.frames(), None)
        if first is None:
            raise ImageError(f"{path} without a frame", "a video")
        self._size = first.shape[0], first.shape[1]

    @property
    def pages(self) -> int:
        self._pages = self._pages or sum(1 for _ in self.frames())
        return self._pages

    @property
    def rate(self) -> float:
        """Frames a second; 0 where the file says none."""
        import av  # there, or this had not been opened

        with av.open(str(self.path)) as container:
            return float(container.streams.video[0].average_rate or 0)

    def size(self, page: int = 0) -> tuple[int, int]:
        return self._size

    def window(self, window: Window | None = None, page: int = 0) -> Image:
        x0, y0, x1, y1 = self.check_window(window, page)
        frame = next(frame for number, frame in enumerate(self.frames()) if number == page)
        return np.ascontiguousarray(frame[y0:y1, x0:x1])

    def frames(self) -> Iterator[Image]:
        with naming_extras():
            import av
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise ImageError(f"{self.path} without a video stream", "a video")
                for frame in container.decode(video=0):
                    yield upright(frame)
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{self.path}, which cannot be decoded ({error})", "a video file or folder") from error


def upright(frame: Any) -> Image:
    """(H, W, 3) uint8 RGB of a decoded PyAV frame, turned as its display matrix says."""
    turns = round(frame.rotation / 90) % 4  # anticlockwise
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
