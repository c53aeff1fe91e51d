"""Frames in order: a folder of pictures, the pages of an image file, or a video; and a video of frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from segue.core.errors import DataError, MissingFile, naming_extras
from segue.core.files import replacing
from segue.core.types import Image
from segue.data.io.image import find_images, open_image, read_image

BLOCK = 32  # frames held while a file is read backwards
RATE = 25  # frames a second of what has no rate of its own


class Video:
    """The frames of ``path`` in order, decoded one at a time: (H, W, 3) uint8 RGB, all of one size. Those
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
                if number >= self.start:
                    yield f"{number:05d}", frame
            for end in range(self.start, 0, -BLOCK):  # decoders run forwards: block by block, each read up to
                begin = max(0, end - BLOCK)
                block = list(itertools.islice(file.frames(), begin, end))
                for number in reversed(range(begin, end)):
                    yield f"{number:05d}", block[number - begin]


def frame_rate(path: Path) -> float:
    """Frames a second of a video file; ``RATE`` for a folder and for what says none."""
    if path.is_dir():
        return RATE
    with open_image(path) as file:
        return float(getattr(file, "rate", 0) or RATE)


def write_video(path: Path, frames: Iterable[Image], rate: float = RATE) -> None:
    """Write frames (H, W, 3) uint8 RGB, all of one size, as H.264 in an .mp4; of an odd side the last pixel is left
    out. Raises ``MissingExtra`` where PyAV is not installed, ``StorageError`` where the disk refuses."""
    with naming_extras():
        import av
    from fractions import Fraction

    with replacing(path) as beside, av.open(str(beside), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
            if not number:
                stream.height, stream.width = even.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even.copy(), format="rgb24")))
        container.mux(stream.encode())
