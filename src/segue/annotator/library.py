"""The opened folder: which images it holds, and their pixels. Nothing outside it is ever read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2

from segue.annotator.budget import MemoryBudget, give_back
from segue.core.errors import MissingFile, SegueError
from segue.core.files import natural_sorted, write_bytes
from segue.core.types import Image
from segue.data.io.image import open_image, read_image, skipped_message, sort_out
from segue.data.io.image_file import ImageFile
from segue.data.io.pixels import STRETCH

THUMBNAIL = 240  # pixels of the longer side
SAMPLE = 1 << 20  # bytes


class Library:
    """The images under ``folder``, found recursively; hidden folders and links that lead outside are not followed.

    ``home`` keeps thumbnails. Raises ``MissingFile`` where the folder is not there.
    """

    def __init__(self, folder: Path, home: Path, max_pixels: int, budget: MemoryBudget) -> None:
        if not folder.is_dir():
            what = f"{folder}, which is a file" if folder.is_file() else f"the folder {folder}, which is not there"
            raise MissingFile(what, "a folder of images", "name its folder" if folder.is_file() else "check the path")
        self.folder, self.home, self.max_pixels = folder.resolve(), home, max_pixels
        self.skipped: dict[str, str] = {}
        self._budget = budget
        self._names: dict[str, str] = {}  # files whose names are not Unicode, by the names that they are shown by

    def scan(self) -> list[str]:
        """Paths relative to the folder, with forward slashes, in natural order; ``skipped`` then says which files look
        like images and are left out, and why."""
        images: list[Path] = []
        self.skipped = {}
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = (Path(folder, name) for name in files)
            inside, skipped = sort_out(path for path in paths if not path.is_symlink() or self._holds(path))
            images += inside
            self.skipped |= {self._shown_name(path): reason for path, reason in skipped.items()}
        if self.skipped:
            warnings.warn(skipped_message(self.skipped), UserWarning, stacklevel=2)
        return [self._shown_name(path) for path in natural_sorted(images)]

    def locate(self, path: str) -> Path:
        """The file of ``path``; ``MissingFile`` when it is gone or (through ``..`` or a link) outside the folder."""
        file = self.folder / self._names.get(path, path)
        if not self._holds(file) or not file.is_file():
            raise MissingFile(f"the image '{path}'", "a file inside the opened folder", "reload the page")
        return file

    def pixels(self, path: str) -> Image:
        """(H, W, 3) uint8, upright."""
        height, width = self.size(path)
        with self._budget.decoding(height * width):
            return self._read(path)

    def stamp(self, path: str) -> str:
        """Changes whenever the file does: its time and size, without reading it."""
        stat = self.locate(path).stat()
        return f"{stat.st_mtime_ns}:{stat.st_size}"

    def digest(self, path: str) -> str:
        """Of the file's size and of its first, middle and last mebibyte: enough to tell a copy from another photo."""
        sha = hashlib.sha256()
        with self.locate(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            sha.update(str(size).encode())
            for start in sorted({0, size // 2, max(0, size - SAMPLE)}):
                file.seek(start)
                sha.update(file.read(SAMPLE))
        return sha.hexdigest()[:32]

    def size(self, path: str) -> tuple[int, int]:
        """(H, W) upright, from the header alone. Raises ``ImageError`` for a bomb or no image."""
        with self._opened(path) as file:
            return file.size()

    def shown(self, path: str) -> str:
        """How the page's picture differs from the file's values, in words; empty where it does not, and where there
        is no picture, which the request for it will say."""
        deep = False
        with contextlib.suppress(SegueError), self._opened(path) as file:
            deep = file.deep()
        return f"More than 8 bits: shown from percentile {STRETCH[0]} (black) to {STRETCH[1]} (white)" if deep else ""

    def photo(self, path: str) -> tuple[bytes | Path, str]:
        """What the page shows: the file itself where every browser shows it as we see it, else a JPEG of it."""
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
        with self._opened(path) as opened:
            height, width = opened.size()
            with self._budget.decoding(height * width):
                content = _jpeg(opened.overview(THUMBNAIL)[0], 80)
        with contextlib.suppress(SegueError):  # a thumbnail that cannot be kept is drawn again
            write_bytes(cached, content)
        return content

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


def _jpeg(image: Image, quality: int) -> bytes:
    """A JPEG of an image that nobody needs any more: red and blue change places in it, as OpenCV has them."""
    red = image[..., 0].copy()
    image[..., 0] = image[..., 2]
    image[..., 2] = red
    whole_colours = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return bytes(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality, *whole_colours))[1])
