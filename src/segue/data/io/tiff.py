"""TIFF files of any size: pages and windows of them, so that a gigapixel slide needs the memory of a few tiles."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import tifffile
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError, MissingExtra, MissingFile
from segue.core.files import writing
from segue.core.types import Image, Mask
from segue.data.io.color_profile import to_srgb
from segue.data.io.image import STRETCH, as_image
from segue.data.rle import Rle

Window: TypeAlias = tuple[int, int, int, int]  # x0, y0, x1, y1, right and bottom exclusive

_SAMPLED = 64  # tiles that tell the brightness of a deep image
_TILE = 512
_ORIENTATION, _PROFILE = 274, 34675
_MIN_IS_WHITE, _PALETTE, _SEPARATED = 0, 3, 5


class Tiff:
    """A TIFF or BigTIFF file, tiled or in strips, of one page or many; use it as a context.

    Deep pages (16 bit, float) are stretched from the 0.5th to the 99.5th percentile of a sample of the whole page,
    so that all its windows share one scale. Raises ``MissingFile``, ``ImageError`` for what is no readable TIFF,
    and ``MissingExtra`` where its compression needs imagecodecs.
    Source: TIFF 6.0; window by window as segment tables allow.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), tile=(32, 32))
    ...     with Tiff(f"{folder}/a.tif") as tiff:
    ...         tiff.pages, tiff.size(), tiff.window((40, 10, 60, 20)).shape
    (1, (64, 64), (10, 20, 3))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise MissingFile(f"{path}", "a TIFF file", "check the spelling")
        try:
            self._file = tifffile.TiffFile(self.path)
            self._pages = self._file.pages
            self._scales: dict[int, tuple[float, float]] = {}
            self._check(self._pages.first)
        except (tifffile.TiffFileError, ValueError, IndexError, OSError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{path}, which is no TIFF that can be read ({error})", "a TIFF file") from error

    def __enter__(self) -> Tiff:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @cached_property
    def pages(self) -> int:
        """How many pages there are, smaller copies of a page (a pyramid's levels) included."""
        return len(self._pages)

    def size(self, page: int = 0) -> tuple[int, int]:
        """(H, W) of a page."""
        found = self._page(page)
        return int(found.imagelength), int(found.imagewidth)

    def window(self, window: Window | None = None, page: int = 0) -> Image:
        """(h, w, 3) uint8 RGB of a part of a page; None is the whole page.

        Raises ``InputError`` for a window that is empty or leaves the page, ``ImageError`` for damaged data.
        """
        return self._display(self.values(window, page), page)

    def values(self, window: Window | None = None, page: int = 0) -> NDArray[Any]:
        """The numbers as stored: (h, w) or (h, w, samples)."""
        height, width = self.size(page)
        x0, y0, x1, y1 = window or (0, 0, width, height)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(f"the window {window}", f"a part of the page of {width} x {height} pixels")
        found = self._page(page)
        out = np.zeros((y1 - y0, x1 - x0, int(found.samplesperpixel)), found.dtype)
        for index, rows, columns in self._segments(found, (x0, y0, x1, y1)):
            tile, plane = self._decoded(found, index, rows, columns)
            top, left = max(rows.start, y0), max(columns.start, x0)
            bottom, right = min(rows.stop, y1), min(columns.stop, x1)
            part = tile[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
            out[top - y0 : bottom - y0, left - x0 : right - x0, plane : plane + part.shape[2]] = part
        return out[..., 0] if out.shape[2] == 1 else out

    def overview(self, longest: int, page: int = 0) -> tuple[Image, float]:
        """The page shrunk to at most ``longest`` pixels a side, and page pixels per pixel of it; from a pyramid's
        level where there is one, else pixel by pixel from tile after tile."""
        levels = [p for p in range(self.pages) if self._is_copy(p, page) and max(self.size(p)) >= longest]
        level = min(levels, key=lambda p: max(self.size(p)), default=page)
        height, width = self.size(level)
        step = max(1, -(-max(height, width) // longest))
        bands = [
            self._display(self.values((0, y, width, min(y + step, height)), level)[:1, ::step], page)
            for y in range(0, height, step)
        ]
        return np.concatenate(bands), self.size(page)[1] / width * step

    def _page(self, page: int) -> Any:
        if not 0 <= page < self.pages:
            raise InputError(f"page {page}", f"0 to {self.pages - 1}")
        found = self._pages[page]
        self._check(found)
        return found

    def _check(self, page: Any) -> None:
        turned = page.tags.get(_ORIENTATION)
        if turned is not None and int(turned.value) != 1:
            raise ImageError(f"{self.path}, turned by its orientation tag", "an upright TIFF", "save it upright")
        if page.imagedepth != 1:
            raise ImageError(f"{self.path} of {page.imagedepth} planes a page", "one plane a page")

    def _is_copy(self, page: int, of: int) -> bool:
        (h, w), (height, width) = self.size(page), self.size(of)
        reduced = bool(self._pages[page].is_reduced) or page == of
        return reduced and abs(h / height - w / width) < 0.01 and h <= height

    def _segments(self, page: Any, window: Window) -> Iterator[tuple[int, range, range]]:
        """(index, rows, columns) of the tiles or strips that meet the window, for every sample plane."""
        x0, y0, x1, y1 = window
        tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        down, across = -(-page.imagelength // tall), -(-page.imagewidth // wide)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        for plane in range(planes):
            for row in range(y0 // tall, -(-y1 // tall)):
                for column in range(x0 // wide, -(-x1 // wide)):
                    rows = range(row * tall, min((row + 1) * tall, page.imagelength))
                    columns = range(column * wide, min((column + 1) * wide, page.imagewidth))
                    yield plane * down * across + row * across + column, rows, columns

    def _decoded(self, page: Any, index: int, rows: range, columns: range) -> tuple[NDArray[Any], int]:
        """A tile's (h, w, samples) and the sample plane that it begins with."""
        if index >= len(page.dataoffsets) or page.databytecounts[index] == 0:
            return np.full((len(rows), len(columns), 1), page.nodata, page.dtype), 0  # a sparse file leaves tiles out
        handle = page.parent.filehandle
        handle.seek(page.dataoffsets[index])
        try:
            data = handle.read(page.databytecounts[index])
            tile, place, shape = page.decode(data, index, jpegtables=page.jpegtables)
        except (ValueError, RuntimeError, OSError, TypeError, zlib.error) as error:
            if "imagecodecs" in str(error):
                raise MissingExtra.for_library("imagecodecs", "tiff") from error
            raise ImageError(f"{self.path}: damaged data ({error})", "a complete TIFF") from error
        if tile is None:
            return np.full((len(rows), len(columns), 1), page.nodata, page.dtype), 0
        return tile[0, : shape[1], : shape[2]], int(place[0])

    def _display(self, values: NDArray[Any], page: int) -> Image:
        found = self._page(page)
        kind = int(found.photometric)
        if kind == _PALETTE and found.colormap is not None:
            return np.ascontiguousarray((found.colormap.T // 257).astype(np.uint8)[values])
        if values.dtype != np.uint8 and values.dtype != np.bool_:
            low, high = self._scale(page)
            values = np.rint(np.clip((values.astype(np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        elif values.dtype == np.bool_:
            values = values.astype(np.uint8) * 255
        tag = found.tags.get(_PROFILE)
        profile = bytes(tag.value) if tag is not None and found.dtype == np.uint8 else None
        if kind == _SEPARATED and values.ndim == 3 and values.shape[2] >= 4:
            return np.array(to_srgb(PIL.Image.fromarray(np.ascontiguousarray(values[..., :4]), "CMYK"), profile))
        if values.ndim == 3 and values.shape[2] not in (3, 4):
            values = values[..., 0]  # grey with further channels, or alpha: the first is shown
        image = as_image(255 - values if kind == _MIN_IS_WHITE else values)
        return image if profile is None else np.array(to_srgb(PIL.Image.fromarray(image), profile))

    def _scale(self, page: int) -> tuple[float, float]:
        """The numbers that become black and white, from tiles spread over the page."""
        if page not in self._scales:
            height, width = self.size(page)
            places = [
                (x, y, min(x + _TILE, width), min(y + _TILE, height))
                for y in range(0, height, _TILE)
                for x in range(0, width, _TILE)
            ]
            some = places[:: max(1, len(places) // _SAMPLED)]
            sample = np.concatenate([self.values(place, page)[::4, ::4].reshape(-1) for place in some])
            if not np.isfinite(sample).all():
                raise ImageError(f"{self.path} with pixels that are NaN or infinite", "finite numbers")
            low, high = (float(v) for v in np.percentile(sample, STRETCH))
            self._scales[page] = (low, high) if high > low else (float(sample.min()), float(sample.max()) + 1)
        return self._scales[page]


def is_large_tiff(path: str | os.PathLike[str], most: int) -> bool:
    """Whether a file is a TIFF of more than ``most`` pixels; by its header alone.

    >>> is_large_tiff("photo.jpg", 1)
    False
    """
    file = Path(path)
    if file.suffix.lower() not in (".tif", ".tiff", ".btf", ".svs") or not file.is_file():
        return False
    with Tiff(file) as tiff:
        height, width = tiff.size()
        return height * width > most


def write_mask_tiff(path: str | os.PathLike[str], rle: Rle) -> None:
    """Write a mask as a tiled, deflated TIFF of 0 and 255, one tile in memory at a time. Source: BigTIFF.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask_tiff(f"{folder}/m.tif", Rle.from_mask(np.eye(600, dtype=bool)))
    ...     with Tiff(f"{folder}/m.tif") as tiff:
    ...         int((tiff.values() > 0).sum())
    600
    """
    crop, x, y = rle.crop()
    with writing(path) as file, tifffile.TiffWriter(file, bigtiff=True) as writer:
        writer.write(
            _tiles(crop, x, y, rle.size),
            shape=rle.size,
            dtype=np.uint8,
            tile=(_TILE, _TILE),
            compression="zlib",
            photometric="minisblack",
        )


def _tiles(crop: Mask, x: int, y: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    height, width = size
    bottom, right = y + crop.shape[0], x + crop.shape[1]
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            tile = np.zeros((_TILE, _TILE), np.uint8)
            y0, y1, x0, x1 = max(top, y), min(top + _TILE, bottom), max(left, x), min(left + _TILE, right)
            if y0 < y1 and x0 < x1:
                tile[y0 - top : y1 - top, x0 - left : x1 - left] = 255 * crop[y0 - y : y1 - y, x0 - x : x1 - x]
            yield tile
