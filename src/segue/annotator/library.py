"""The opened folder: which images and clips it holds, and their pixels. Nothing outside it is ever read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from segue.annotator.budget import MemoryBudget, give_back
from segue.core.errors import ImageError, MissingFile, SegueError
from segue.core.files import natural_sorted, write_bytes
from segue.core.types import Image
from segue.data.io.clip import Clip, is_numbered, is_stack, is_video, open_clip
from segue.data.io.image import open_image, read_image, skipped_message, sort_out
from segue.data.io.image_file import ImageFile
from segue.data.io.pixels import STRETCH
from segue.data.io.volume import is_volume

THUMBNAIL = 240  # pixels of the longer side
SAMPLE = 1 << 20  # bytes
OPEN_CLIPS = 4
NOTHING = "\0"  # what no path holds


def shot(path: str, axis: int = 0, frame: int | None = None) -> str:
    """The address of one frame of a clip, wherever the path of an image is taken; that of a still image is its path.

    >>> shot("a.mp4", frame=12).split(NOTHING), shot("a.png")
    (['a.mp4', '0', '12'], 'a.png')
    """
    return path if frame is None else f"{path}{NOTHING}{axis}{NOTHING}{frame}"


class Library:
    """The images under ``folder``, found recursively; hidden folders and links that lead outside are not followed.

    ``home`` keeps thumbnails; with ``frames`` every folder of numbered pictures is one clip. Raises ``MissingFile``
    where the folder is not there.
    """

    def __init__(
        self, folder: Path, home: Path, max_pixels: int, budget: MemoryBudget, *, frames: bool = False
    ) -> None:
        if not folder.is_dir():
            what = f"{folder}, which is a file" if folder.is_file() else f"the folder {folder}, which is not there"
            raise MissingFile(what, "a folder of images", "name its folder" if folder.is_file() else "check the path")
        self.folder, self.home, self.max_pixels = folder.resolve(), home, max_pixels
        self.skipped: dict[str, str] = {}
        self._budget, self._frames = budget, frames
        self._clips: OrderedDict[tuple[str, int], tuple[str, Clip]] = OrderedDict()
        self._opening = threading.Lock()
        self._names: dict[str, str] = {}  # files whose names are not Unicode, by the names that they are shown by

    def scan(self) -> list[str]:
        """Paths relative to the folder, with forward slashes, in natural order; ``skipped`` then says which files look
        like images and are left out, and why."""
        images: list[Path] = []
        self.skipped = {}
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            if self._frames and is_numbered(Path(folder)):
                images.append(Path(folder))
                continue
            paths = [Path(folder, name) for name in files if not name.startswith(".")]
            paths = [path for path in paths if not path.is_symlink() or self._holds(path)]
            clips = {path for path in paths if is_volume(path) or is_video(path)}
            inside, skipped = sort_out(path for path in paths if path not in clips)
            images += [*clips, *inside]
            self.skipped |= {self._shown_name(path): reason for path, reason in skipped.items()}
        if self.skipped:
            warnings.warn(skipped_message(self.skipped), UserWarning, stacklevel=2)
        return [self._shown_name(path) for path in natural_sorted(images)]

    def locate(self, path: str) -> Path:
        """The file of ``path``; ``MissingFile`` when it is gone or (through ``..`` or a link) outside the folder."""
        file = self.folder / self._names.get(path, path)
        if not self._holds(file) or not (file.is_file() or (self._frames and file.is_dir())):
            raise MissingFile(f"the image '{path}'", "a file inside the opened folder", "reload the page")
        return file

    def pixels(self, path: str) -> Image:
        """(H, W, 3) uint8, upright; of a clip the frame that ``shot`` names."""
        path, axis, frame = _parts(path)
        height, width = self.size(path, axis)
        if frame is not None:
            with self._budget.decoding(height * width):
                return self.clip(path, axis).read(frame)
        with self._budget.decoding(height * width):
            return self._read(path)

    def stamp(self, path: str) -> str:
        """Changes whenever the file does: its time and size, without reading it."""
        stat = self.locate(_parts(path)[0]).stat()
        return f"{stat.st_mtime_ns}:{stat.st_size}"

    def digest(self, path: str) -> str:
        """Of the file's size and of its first, middle and last mebibyte: enough to tell a copy from another photo."""
        sha = hashlib.sha256()
        if (folder := self.locate(path)).is_dir():
            sha.update("\n".join(f"{f.name}:{f.stat().st_size}" for f in sorted(folder.iterdir())).encode())
            return sha.hexdigest()[:32]
        with self.locate(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            sha.update(str(size).encode())
            for start in sorted({0, size // 2, max(0, size - SAMPLE)}):
                file.seek(start)
                sha.update(file.read(SAMPLE))
        return sha.hexdigest()[:32]

    def clip(self, path: str, axis: int = 0) -> Clip:
        """The clip of a path, kept open. Raises as ``open_clip``."""
        stamp = self.stamp(path)
        with self._opening:
            known = self._clips.pop((path, axis), None)
            if known is None or known[0] != stamp:
                known = stamp, open_clip(self.locate(path), self.max_pixels, axis)
            self._clips[path, axis] = known
            while len(self._clips) > OPEN_CLIPS:
                self._clips.popitem(last=False)
            return known[1]

    def frames(self, path: str, axis: int = 0) -> int:
        """How many frames there are; 0 for a still image."""
        return self.clip(path, axis).frames if self._is_clip(path) else 0

    def _is_clip(self, path: str) -> bool:
        file = self.locate(path)
        if file.is_dir() or is_volume(file) or is_video(file):
            return True
        if file.suffix.lower() not in (".tif", ".tiff", ".btf", ".dcm"):
            return False
        with self._opened(path) as opened:
            return is_stack(opened)

    def size(self, path: str, axis: int = 0) -> tuple[int, int]:
        """(H, W) upright, from the header alone. Raises ``ImageError`` for a bomb or no image."""
        if self._is_clip(path):
            return self.clip(path, axis).size
        with self._opened(path) as file:
            return file.size()

    def shown(self, path: str) -> str:
        """How the page's picture differs from the file's values, in words; empty where it does not, and where there
        is no picture, which the request for it will say."""
        deep = False
        with contextlib.suppress(SegueError):
            if self._is_clip(path):
                return ""
            with self._opened(path) as file:
                deep = file.deep()
        return f"More than 8 bits: shown from percentile {STRETCH[0]} (black) to {STRETCH[1]} (white)" if deep else ""

    def photo(self, path: str) -> tuple[bytes | Path, str]:
        """What the page shows: the file itself where every browser shows it as we see it, else a JPEG of it."""
        if _parts(path)[2] is not None:
            return _jpeg(self.pixels(path), 90), "image/jpeg"
        if self._is_clip(path):
            return _jpeg(self._poster(path), 90), "image/jpeg"
        with self._opened(path) as file:
            if file.media_type:
                return file.path, file.media_type
            height, width = file.size()
        with self._budget.decoding(height * width):
            return _jpeg(self._read(path), 95), "image/jpeg"

    def thumbnail(self, path: str) -> bytes:
        """A small JPEG, kept beside the database."""
        file = self.locate(path)
        stat = file.stat()
        name = hashlib.sha256(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}".encode()).hexdigest()[:32]
        cached = self.home / "thumbnails" / f"{name}.jpg"
        with contextlib.suppress(OSError):
            return cached.read_bytes()
        if self._is_clip(path):
            image = self._poster(path)
            scale = min(1.0, THUMBNAIL / max(image.shape[:2]))
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            content = _jpeg(np.asarray(small, np.uint8), 80)
        else:
            with self._opened(path) as opened:
                height, width = opened.size()
                with self._budget.decoding(height * width):
                    content = _jpeg(opened.overview(THUMBNAIL)[0], 80)
        with contextlib.suppress(SegueError):  # a thumbnail that cannot be kept is drawn again
            write_bytes(cached, content)
        return content

    def _poster(self, path: str) -> Image:
        """The frame that stands for a clip: the first that can be read, of a stack the middle one."""
        clip = self.clip(path)
        wanted = [clip.frames // 2] if clip.kind == "stack" else list(range(min(clip.frames, 16)))
        for frame in wanted[:-1]:
            with contextlib.suppress(ImageError):
                return clip.read(frame)
        return clip.read(wanted[-1])

    def _read(self, path: str) -> Image:
        image = read_image(self.locate(path), self.max_pixels)
        give_back(image.shape[0] * image.shape[1])
        return image

    def _shown_name(self, file: Path) -> str:
        """The path in the folder; where its bytes are no Unicode, something like it that a database can hold."""
        path = file.relative_to(self.folder).as_posix()
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if shown != path:
            while self._names.get(shown, path) != path:
                shown += "\ufffd"
            self._names[shown] = path
        return shown

    def _holds(self, file: Path) -> bool:
        try:
            return file.resolve(strict=True).is_relative_to(self.folder)
        except (OSError, RuntimeError, ValueError):
            return False

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[ImageFile]:
        with open_image(self.locate(path), self.max_pixels) as file:
            file.check_size()
            yield file


def _parts(path: str) -> tuple[str, int, int | None]:
    """Path, axis and frame of a ``shot``."""
    name, *rest = path.split(NOTHING)
    return (name, int(rest[0]), int(rest[1])) if rest else (name, 0, None)


def _jpeg(image: Image, quality: int) -> bytes:
    """A JPEG of an image that nobody needs any more: red and blue change places in it, as OpenCV has them."""
    red = image[..., 0].copy()
    image[..., 0] = image[..., 2]
    image[..., 2] = red
    whole_colours = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return bytes(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality, *whole_colours))[1])
