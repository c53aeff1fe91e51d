"""TIFF files of any depth and size: whole first pages, or windows of files too large for memory."""

from __future__ import annotations

import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError, MissingFile, StorageError
from segue.core.types import Image, Mask
from segue.data.image import STRETCH, as_image, stretched

# (photometric interpretation, samples): white or black is zero, RGB, YCbCr, which decodes to RGB
_KINDS = {(0, 1), (1, 1), (2, 3), (2, 4), (6, 3)}
_SAMPLES = 64  # segments that the brightness range of a deep file is measured on
# EXIF orientation -> transpose first, then flip rows, then flip columns.
_UPRIGHT = {1: (0, 0, 0), 2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1),
            8: (1, 1, 0)}  # fmt: skip


class TiffWindows:
    """A TIFF's first page, read window by window: memory grows with the window, not with the file.

    ``size`` is (H, W). Tiled and stripped files work, tiled ones fast. Files of more than 8 bits are stretched
    between percentiles measured on segments spread over the page, so that every window has one brightness.
    Raises ``MissingFile``, and ``ImageError`` for files that are no TIFF or not readable here.
    Source: TIFF 6.0, sections 15 (tiles) and 3 (strips).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64), tile=(16, 16))
    ...     with TiffWindows(f"{folder}/a.tif") as page:
    ...         page.size, page.read(10, 20, 13, 22)[..., 0].tolist()
    ((64, 64), [[10, 11, 12], [74, 75, 76]])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise MissingFile(f"the path {path}", "a TIFF file", "check the spelling")
        try:
            self._file = tifffile.TiffFile(self.path)
            page = self._file.pages[0]
            self._page = page if isinstance(page, tifffile.TiffPage) else page.aspage()
        except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
            raise ImageError(f"{path}, which does not read as TIFF ({error})", "a complete TIFF file") from error
        if self._page.imagedepth != 1 or (self._page.photometric, self._page.samplesperpixel) not in _KINDS:
            self.close()
            raise ImageError(f"{path}: {self._page.samplesperpixel} samples a pixel, photometric interpretation "
                             f"{int(self._page.photometric)}", "grey, RGB or RGBA")
        self.size = (int(self._page.imagelength), int(self._page.imagewidth))
        self._range: tuple[float, float] | None = None

    def __enter__(self) -> TiffWindows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, x0: int, y0: int, x1: int, y1: int, step: int = 1) -> Image:
        """Pixels x0 ... x1, y0 ... y1 (exclusive ends) as (h, w, 3) uint8; every ``step``-th of them each way.

        Raises ``InputError`` for a window outside the page and ``ImageError`` for a damaged part.
        """
        height, width = self.size
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height) or step < 1:
            raise InputError(f"the window {(x0, y0, x1, y1)} of step {step}",
                             f"one inside the page of {width} x {height} pixels")
        shape = (-(-(y1 - y0) // step), -(-(x1 - x0) // step), self._page.samplesperpixel)
        out = np.zeros(shape, self._page.dtype)
        for index in self._segments_of(x0, y0, x1, y1):
            part, plane, top, left = self._decoded(index)
            # The first row and column of the part that lie in the window and on the lattice of the step.
            y, x = (at + (start - at) % step if at >= start else start for at, start in ((top, y0), (left, x0)))
            piece = part[y - top : y1 - top : step, x - left : x1 - left : step]
            row, column = (y - y0) // step, (x - x0) // step
            target = out[row : row + piece.shape[0], column : column + piece.shape[1], plane:]
            target[..., : piece.shape[2]] = piece[: target.shape[0], : target.shape[1]]
        return self._eight_bit(out)

    def _segments_of(self, x0: int, y0: int, x1: int, y1: int) -> Iterator[int]:
        """Indices of the tiles or strips that meet a window."""
        page, (height, width) = self._page, self.size
        tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        rows, columns = -(-height // tall), -(-width // wide)
        for plane in range(page.samplesperpixel if page.planarconfig == 2 else 1):
            for row in range(y0 // tall, -(-y1 // tall)):
                for column in range(x0 // wide, -(-x1 // wide)):
                    yield (plane * rows + row) * columns + column

    def _decoded(self, index: int) -> tuple[NDArray[Any], int, int, int]:
        """Segment ``index`` as (h, w, samples), and its first sample, row and column on the page."""
        page = self._page
        handle = page.parent.filehandle
        try:
            handle.seek(page.dataoffsets[index])
            data = handle.read(page.databytecounts[index]) if page.databytecounts[index] else None
            tables = {"jpegtables": page.jpegtables} if page.jpegtables is not None else {}
            segment, (plane, _, top, left, _), shape = page.decode(data, index, **tables)
        except (ValueError, OSError, IndexError, RuntimeError, KeyError, ImportError,
                zlib.error) as error:
            raise ImageError(f"{self.path}, part {index} of which does not decode ({error})", "a complete TIFF file",
                             "copy it again, or install imagecodecs for its compression") from error
        if segment is None:  # left out of a sparse file: nothing was written there
            return np.full(shape[1:], page.nodata, page.dtype), plane, top, left
        return np.asarray(segment)[0], plane, top, left

    def _eight_bit(self, pixels: NDArray[Any]) -> Image:
        pixels = self._dark_is_zero(pixels)
        if pixels.dtype != np.uint8:
            top = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1.0
            alpha = np.clip(pixels[..., 3:] / top * 255, 0, 255).astype(np.uint8)
            pixels = np.concatenate((stretched(pixels[..., :3], self._brightness()), alpha), axis=2)
        return as_image(pixels)

    def _dark_is_zero(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self._page.photometric != 0:
            return pixels
        return np.iinfo(pixels.dtype).max - pixels if pixels.dtype.kind == "u" else -pixels

    def _brightness(self) -> tuple[float, float]:
        """The percentiles of a deep page, measured on segments spread evenly over it."""
        if self._range is None:
            count = len(self._page.dataoffsets)
            chosen = np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).astype(int))
            parts = (self._dark_is_zero(self._decoded(int(k))[0][..., :3]).reshape(-1)[::7] for k in chosen)
            low, high = np.percentile(np.concatenate(list(parts)), STRETCH)
            self._range = float(low), float(high)
        return self._range


def read_tiff(path: str | os.PathLike[str], max_pixels: int) -> Image:
    """The first page of a TIFF as (H, W, 3) uint8, upright; for those that Pillow doesn't read (16-bit colour,
    floats of several samples, separate planes).

    Raises ``ImageError`` for a page larger than ``max_pixels``, else as ``TiffWindows``.
    Source: TIFF 6.0, section 8 (orientation).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/deep.tif", np.full((4, 6, 3), 700, np.uint16), photometric="rgb")
    ...     read_tiff(f"{folder}/deep.tif", 100).shape
    (4, 6, 3)
    """
    with TiffWindows(path) as page:
        height, width = page.size
        if height * width > max_pixels:
            raise ImageError(f"{path} of {width} x {height} pixels", f"at most {max_pixels:,} pixels",
                             "open it window by window, with segue.data.tiff.TiffWindows")
        pixels = page.read(0, 0, width, height)
        tag = page._page.tags.get("Orientation")
    turn, flip_rows, flip_columns = _UPRIGHT.get(int(tag.value) if tag else 1, (0, 0, 0))
    if turn:
        pixels = pixels.transpose(1, 0, 2)
    if flip_rows:
        pixels = pixels[::-1]
    if flip_columns:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def write_tiles(path: str | os.PathLike[str], size: tuple[int, int], tiles: Iterable[Mask], side: int = 512) -> None:
    """Write a mask of ``size`` (H, W) as a tiled, compressed TIFF of 0 and 255, one tile in memory at a time.

    ``tiles`` are (side, side) bool in row-major order, full ones at the right and lower edge too. The file appears
    when it is whole. Raises ``StorageError`` if the disk refuses. Source: TIFF 6.0, section 15.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tiles(f"{folder}/mask.tif", (16, 20), iter([np.ones((16, 16), bool)] * 2), side=16)
    ...     tifffile.imread(f"{folder}/mask.tif").shape
    (16, 20)
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    shades = (np.where(tile, 255, 0).astype(np.uint8) for tile in tiles)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tifffile.TiffWriter(beside, bigtiff=size[0] * size[1] > 1 << 31) as writer:
            writer.write(shades, shape=size, dtype=np.uint8, tile=(side, side), compression="zlib",
                         photometric="minisblack")  # fmt: skip
        os.replace(beside, target)
    except OSError as error:
        raise StorageError(f"no way to write {target}: {error.strerror or error}", "",
                           "check free space and permissions of the folder") from error
    finally:
        beside.unlink(missing_ok=True)
