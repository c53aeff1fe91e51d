"""The opened folder: which images it holds, and their pixels. Nothing outside it is ever read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
from PIL import ImageOps

from segue.core.errors import ImageError, MissingFile, SegueError
from segue.core.files import natural_sort_key, write_bytes
from segue.core.types import Image
from segue.data.io.image import DEEP_MODES, STRETCH, SUFFIXES, read_image

THUMBNAIL = 240  # pixels of the longer side
_PLAIN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_ORIENTATION = 0x0112


class Library:
    """The images under ``folder``, found recursively; hidden folders and links that lead outside are not followed.

    ``home`` keeps thumbnails. Raises ``MissingFile`` where the folder is not there.
    """

    def __init__(self, folder: Path, home: Path, max_pixels: int) -> None:
        if not folder.is_dir():
            raise MissingFile(f"the folder {folder}", "a folder of images", "check the path")
        self.folder, self.home, self.max_pixels = folder.resolve(), home, max_pixels
        self._drawing = threading.Semaphore(2)

    def scan(self) -> list[str]:
        """Paths relative to the folder, with forward slashes, in natural order."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inside = Path(folder).relative_to(self.folder)
            for name in files:
                if name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES:
                    continue
                if os.path.islink(os.path.join(folder, name)) and not self._holds(Path(folder, name)):
                    continue
                found.append((inside / name).as_posix())
        return sorted(found, key=natural_sort_key)

    def locate(self, path: str) -> Path:
        """The file of ``path``; ``MissingFile`` when it is gone or (through ``..`` or a link) outside the folder."""
        file = self.folder / path
        if not self._holds(file) or not file.is_file():
            raise MissingFile(f"the image '{path}'", "a file inside the opened folder", "reload the page")
        return file

    def pixels(self, path: str) -> Image:
        """(H, W, 3) uint8, upright."""
        return read_image(self.locate(path), self.max_pixels)

    def size(self, path: str) -> tuple[int, int]:
        """(H, W) upright, from the header alone. Raises ``ImageError`` for a bomb or no image."""
        with self._header(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)

    def shown(self, path: str) -> str:
        """How the page's picture differs from the file's values, in words; empty where it does not, and where there
        is no picture, which the request for it will say."""
        deep = False
        with contextlib.suppress(ImageError, MissingFile), self._header(path) as image:
            deep = image.mode in DEEP_MODES
        return f"More than 8 bits: shown from percentile {STRETCH[0]} (black) to {STRETCH[1]} (white)" if deep else ""

    def photo(self, path: str) -> tuple[bytes | Path, str]:
        """What the page shows: the file itself where every browser shows it as we see it, else a JPEG of it."""
        with self._header(path) as image:
            plain = image.format in _PLAIN and image.mode in ("RGB", "L") and "transparency" not in image.info
            upright = image.getexif().get(_ORIENTATION, 1) == 1 or image.format == "JPEG"
            kind = _PLAIN.get(str(image.format), "")
        if plain and upright:
            return self.locate(path), kind
        return _jpeg(PIL.Image.fromarray(self.pixels(path)), 95), "image/jpeg"

    def thumbnail(self, path: str) -> bytes:
        """A small JPEG, kept beside the database."""
        file = self.locate(path)
        stat = file.stat()
        name = hashlib.sha256(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}".encode()).hexdigest()[:32]
        kept = self.home / "thumbnails" / f"{name}.jpg"
        with contextlib.suppress(OSError):
            return kept.read_bytes()
        with self._drawing, self._header(path) as image:
            image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
            if image.format == "JPEG" and image.mode in ("RGB", "L"):
                try:
                    small = ImageOps.exif_transpose(image)
                except (OSError, SyntaxError, ValueError) as error:
                    raise ImageError(f"{path}, which is damaged ({error})", "a complete image") from error
            else:
                small = PIL.Image.fromarray(self.pixels(path))
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            content = _jpeg(small, 80)
        with contextlib.suppress(SegueError):  # a thumbnail that cannot be kept is drawn again
            write_bytes(kept, content)
        return content

    def _holds(self, file: Path) -> bool:
        try:
            return file.resolve(strict=True).is_relative_to(self.folder)
        except (OSError, RuntimeError, ValueError):
            return False

    @contextlib.contextmanager
    def _header(self, path: str) -> Iterator[PIL.Image.Image]:
        file = self.locate(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
                image = PIL.Image.open(file)
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
            raise ImageError(
                f"{path}, which is no image that can be read", "JPEG, PNG, TIFF, WebP, BMP or GIF"
            ) from error
        with image:
            if image.width * image.height > self.max_pixels:
                raise ImageError(
                    f"{path} of {image.width} x {image.height} pixels",
                    f"at most {self.max_pixels:,} pixels",
                    "cut it into tiles or raise max_pixels",
                )
            yield image


def _jpeg(image: PIL.Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
