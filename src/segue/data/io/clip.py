"""Clips: what has frames in an order (a video, a folder of pictures, pages, slices), each frame read when asked for."""

from __future__ import annotations

import bisect
import contextlib
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from segue.core.errors import DataError, ImageError, InputError, MissingFile, naming_extras
from segue.core.types import Image
from segue.data.io.image import MAX_PIXELS, READABLE, open_image, read_image, sort_out
from segue.data.io.image_file import ImageFile
from segue.data.io.signature import SUFFIXES_OF, first_bytes, kind_of
from segue.data.io.tiff import TiffImage
from segue.data.io.video import RATE
from segue.data.io.video_file import upright
from segue.data.io.volume import Volume, is_series, is_volume, open_volume

RECENT = 1 << 26  # bytes of decoded frames that a video keeps, so that a step back costs nothing
AHEAD = 48  # frames that are decoded one after the other rather than looked up


class Clip(ABC):
    """An opened clip; use it as a context. Frames are numbered from 0 and all have the ``size`` (H, W).

    ``rate`` is frames a second, 0 where time means nothing; ``kind`` is "video", "frames" or "stack"; safe from any
    thread.
    """

    kind: str
    rate: float = 0.0

    def __init__(self, path: Path, frames: int, size: tuple[int, int]) -> None:
        self.path, self.frames, self.size = path, frames, size

    def read(self, frame: int) -> Image:
        """(H, W, 3) uint8 RGB of a frame. Raises ``InputError`` for a number beyond the clip, ``ImageError`` for a
        frame that is broken or of another size."""
        if not 0 <= frame < self.frames:
            raise InputError(f"frame {frame} of {self.path}", f"a number from 0 to {self.frames - 1}")
        image = self._read(frame)
        if image.shape[:2] != self.size:
            raise ImageError(
                f"frame {frame} of {self.path} of {image.shape[1]} x {image.shape[0]} pixels",
                f"{self.size[1]} x {self.size[0]} as the first",
                "leave it out, or bring all frames to one size",
            )
        return image

    def name(self, frame: int) -> str:
        """What a frame is called in files."""
        return f"{frame:05d}"

    @abstractmethod
    def _read(self, frame: int) -> Image: ...

    def close(self) -> None:  # noqa: B027 - what is opened anew for every frame has nothing to close
        """Close the files."""

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_clip(path: Path, max_pixels: int = MAX_PIXELS, axis: int = 0) -> Clip:
    """Open a video, a folder of pictures in the order of their numbers, a file of several pages of one size, or a
    volume (NIfTI, NumPy, TIFF, a folder of a DICOM series) as the slices along ``axis``.

    Raises ``MissingFile`` for no such path, ``DataError`` for what is a single image, and as ``open_image``.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a.npy", np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    ...     with open_clip(Path(folder, "a.npy")) as clip:
    ...         clip.kind, clip.frames, clip.read(1).shape
    ('stack', 2, (3, 4, 3))
    """
    if not path.exists():
        raise MissingFile(f"{path}", "a video, a volume or a folder of frames", "check the path")
    if is_volume(path):
        return Slices(open_volume(path), axis)
    if path.is_dir():
        return Pictures(path, max_pixels)
    if is_video(path):
        return VideoClip(path)
    return _pages(path, max_pixels, axis)


def _pages(path: Path, max_pixels: int, axis: int) -> Clip:
    file = open_image(path, max_pixels)
    try:
        if not is_stack(file):
            raise DataError(f"{path}, a single image", "a file of several pages of one size")
        if axis or file.deep():
            return Slices(open_volume(path), axis)
        return Pages(file)
    except BaseException:
        file.close()
        raise


def is_video(path: Path) -> bool:
    """Whether a file is a video by its first bytes, or by its suffix where those tell nothing; one with a picture's
    suffix is taken for a picture without being opened, as a folder may hold many."""
    if path.suffix.lower() in READABLE:
        return False
    kind = kind_of(first_bytes(path))
    return kind == "video" or (not kind and path.suffix.lower() in SUFFIXES_OF["video"])


def is_stack(file: ImageFile) -> bool:
    """Whether an opened file has several pages, all of one size: not so the levels of a pyramid."""
    return file.kind in ("TIFF", "DICOM") and file.pages > 1 and len({file.size(p) for p in range(file.pages)}) == 1


def is_numbered(folder: Path) -> bool:
    """Whether a folder holds the frames of one clip: at least two pictures, all with numbers at the end of their
    names, or the slices of one DICOM series."""
    if is_series(folder):
        return True
    images, _ = sort_out(folder.iterdir())
    return len(images) > 1 and all(path.stem[-1:].isdigit() for path in images)


class Pictures(Clip):
    """A folder of pictures in the natural order of their names; the first tells the size."""

    kind, rate = "frames", float(RATE)

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        self._paths, _ = sort_out(path.iterdir())
        if not self._paths:
            raise ImageError(f"the folder {path}, which holds no image", "a folder of frames")
        self._max_pixels = max_pixels
        super().__init__(path, len(self._paths), self._first_size())

    def _first_size(self) -> tuple[int, int]:
        """That of the first picture that can be read."""
        problem: ImageError | None = None
        for path in self._paths:
            try:
                with open_image(path, self._max_pixels) as file:
                    return file.size()
            except ImageError as error:
                problem = problem or error
        assert problem is not None
        raise problem

    def _read(self, frame: int) -> Image:
        return read_image(self._paths[frame], self._max_pixels)

    def name(self, frame: int) -> str:
        return self._paths[frame].stem


class Pages(Clip):
    """The pages of one file, of 8 bits; ``spacing`` between pages, rows and columns as a TIFF says, else 1."""

    kind = "stack"

    def __init__(self, file: ImageFile) -> None:
        super().__init__(file.path, file.pages, file.size())
        self._file, self._lock = file, threading.Lock()
        self.spacing = file.spacing() if isinstance(file, TiffImage) else (1.0, 1.0, 1.0)

    def _read(self, frame: int) -> Image:
        with self._lock:
            return self._file.window(page=frame)

    def close(self) -> None:
        self._file.close()


class Slices(Clip):
    """The slices of a volume along an axis."""

    kind = "stack"

    def __init__(self, volume: Volume, axis: int = 0) -> None:
        self.volume, self.axis, self._lock = volume, axis, threading.Lock()
        super().__init__(volume.path, volume.shape[axis], volume.size(axis))

    def _read(self, frame: int) -> Image:
        with self._lock:
            return self.volume.picture(self.axis, frame)

    def close(self) -> None:
        self.volume.close()


class VideoClip(Clip):
    """A video by its presentation times: a frame is looked up from the key frame before it.

    Videos of a variable frame rate have as many frames as pictures; rotated ones are upright; an alpha channel is
    dropped. Raises ``ImageError`` for a file without a video and ``MissingExtra`` without PyAV.
    """

    kind = "video"

    def __init__(self, path: Path) -> None:
        with naming_extras():
            import av
        self._av: Any = av
        self._lock = threading.Lock()
        with self._decoding(path):
            self._container = av.open(str(path))
            if not self._container.streams.video:
                raise ImageError(f"{path} without a video stream", "a video")
            self._stream = self._container.streams.video[0]
            self.rate = float(self._stream.average_rate or RATE)
            self._times = self._listed()
        self._recent: OrderedDict[int, Image] = OrderedDict()
        self._next = len(self._times)  # number of the frame that the decoder gives next, as far as is known
        self._decoder: Iterator[Any] = iter(())
        first = next((image for image in map(self._tried, range(min(32, len(self._times)))) if image is not None), None)
        if first is None:
            raise ImageError(f"{path} without a frame that can be decoded", "a video")
        super().__init__(path, len(self._times), (first.shape[0], first.shape[1]))

    def _listed(self) -> list[int]:
        """The presentation times of all frames, in order, from the packets alone."""
        times: set[int] = set()
        with contextlib.suppress(self._av.error.FFmpegError):  # a file that is cut off has the frames before the cut
            for packet in self._container.demux(self._stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    times.add(int(packet.pts))
        return sorted(times)

    def _tried(self, frame: int) -> Image | None:
        with contextlib.suppress(ImageError):
            return self._found(frame)
        return None

    def _read(self, frame: int) -> Image:
        with self._lock:
            return self._found(frame)

    def _found(self, frame: int) -> Image:
        if frame not in self._recent:
            if not self._next <= frame < self._next + AHEAD:
                self._seek(self._times[frame])
            if not self._decoded_up_to(frame) and frame not in self._recent:
                self._seek(self._times[0])  # a container whose index misleads
                self._decoded_up_to(frame)
        if frame not in self._recent:
            raise ImageError(f"frame {frame} of {self._container.name}, which is broken", "a frame that can be decoded")
        self._recent.move_to_end(frame)
        return self._recent[frame].copy()

    def _seek(self, time: int) -> None:
        with contextlib.suppress(self._av.error.FFmpegError):
            self._container.seek(time, stream=self._stream, backward=True)
        self._decoder = self._container.decode(self._stream)
        self._next = 0

    def _decoded_up_to(self, frame: int) -> bool:
        """Decode until ``frame`` was passed; whether anything was decoded before it, or it itself."""
        reached = False
        broken = 0
        while broken < AHEAD:
            try:
                picture = next(self._decoder, None)
            except (self._av.error.FFmpegError, ValueError):  # a broken packet: the next ones may be sound
                broken += 1
                self._decoder = self._container.decode(self._stream)
                continue
            if picture is None:
                self._next = len(self._times)
                return reached
            if picture.pts is None:
                continue
            number = bisect.bisect_left(self._times, picture.pts)
            reached = reached or number <= frame
            self._keep(number, upright(picture))
            self._next = number + 1
            if number >= frame:
                return reached
        return reached

    def _keep(self, number: int, image: Image) -> None:
        self._recent[number] = image
        self._recent.move_to_end(number)
        while len(self._recent) > 2 and len(self._recent) * image.nbytes > RECENT:
            self._recent.popitem(last=False)

    @contextlib.contextmanager
    def _decoding(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (self._av.error.FFmpegError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{path}, which cannot be decoded ({error})", "a video file") from error

    def close(self) -> None:
        with self._lock:
            self._container.close()
