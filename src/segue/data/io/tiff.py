"""TIFF files of any size: pages and windows of them, so that a gigapixel slide needs the memory of a few tiles."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from segue.core.errors import ImageError
from segue.core.files import writing
from segue.core.types import Image, Mask
from segue.data.io.color_profile import lab_to_srgb, to_srgb
from segue.data.io.image_file import ImageFile, Labels, binary_labels, decoding, labels_of, labels_of_palette
from segue.data.io.pixels import Bounds, Window, as_image, sideways, stored_window, stretch_bounds, turned
from segue.data.rle import Rle

_SAMPLED = 64  # tiles that tell the brightness of a deep page too large to read
_TILE = 512
_BAND = 1 << 22  # pixels of a large page that are converted at once
_ORIENTATION, _PROFILE = 274, 34675
_MIN_IS_WHITE, _PALETTE, _SEPARATED, _YCBCR, _CIELAB, _ICCLAB = 0, 3, 5, 6, 8, 9
_RAW = (32803, 34892)  # colour filter array, linear raw
_LOSSY = (6, 7, 33003, 33005, 34712, 50001)  # JPEG, JPEG 2000, WebP: they hold no labels
_ASSOCIATED, _UNASSOCIATED = 1, 2  # extra samples that are alpha, multiplied into the colours or not


class TiffImage(ImageFile):
    """A TIFF or BigTIFF file, tiled or in strips, of one page or many.

    Deep pages (more than 8 bits, float) are stretched from the 0.5th to the 99.5th percentile of the whole page (of a
    sample where it has more than ``max_pixels``), so that all its windows share one scale. Raises ``ImageError`` for
    what is no readable TIFF.
    Source: TIFF 6.0; window by window as segment tables allow.

    >>> import tempfile, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), tile=(32, 32))
    ...     with TiffImage(Path(folder, "a.tif")) as tiff:
    ...         tiff.pages, tiff.size(), tiff.window((40, 10, 60, 20)).shape
    (1, (64, 64), (10, 20, 3))
    """

    kind = "TIFF"

    def __init__(self, path: Path, max_pixels: int = 150_000_000, head: bytes = b"") -> None:
        import tifffile  # not before there is a TIFF

        super().__init__(path, max_pixels)
        self._bounds: dict[int, Bounds] = {}
        with decoding(path, "a TIFF file"):
            self._file = tifffile.TiffFile(path)
            self._directories = self._file.pages
            self._pages = len(self._directories)  # smaller copies of a page (a pyramid's levels) included
            raw = (int(page.photometric) in _RAW for page in (self._page(0), *(self._page(0).pages or ())))
            if any(raw):
                raise ImageError(f"{path}, a camera's raw file", "a developed photograph", "export it as TIFF or JPEG")
            self.orientation = _orientation(self._page(0))

    def size(self, page: int = 0) -> tuple[int, int]:
        found = self._page(page)
        height, width = int(found.imagelength), int(found.imagewidth)
        return (width, height) if sideways(_orientation(found)) else (height, width)

    def deep(self, page: int = 0) -> bool:
        dtype = self._page(page).dtype
        return dtype is None or dtype not in (np.uint8, np.bool_)

    def window(self, window: Window | None = None, page: int = 0) -> Image:
        values = self.values(window, page)
        height, width = values.shape[:2]
        with decoding(self.path):
            if values.dtype != np.uint8 or height * width <= _BAND:
                return self._shown(values, page)
            shown = np.empty((height, width, 3), np.uint8)
            for rows in _bands(height, width):
                shown[rows] = self._shown(values[rows], page)
            return shown

    def values(self, window: Window | None = None, page: int = 0) -> NDArray[Any]:
        """The numbers as stored, upright: (h, w) or (h, w, samples). Raises as ``window``."""
        x0, y0, x1, y1 = self.check_window(window, page)
        if (x1 - x0) * (y1 - y0) > self.max_pixels:
            self.check_size(page)
        found = self._page(page)
        turn = _orientation(found)
        stored = stored_window((x0, y0, x1, y1), self.size(page), turn)
        with decoding(self.path):
            try:
                values = self._stored(found, stored)
            except Exception as error:
                reason = error.with_traceback(None)  # it would keep the page that was begun
                values = self._by_pillow(page, reason)[stored[1] : stored[3], stored[0] : stored[2]]
        values = values.reshape(*values.shape[:2], -1)
        return np.require(turned(values[..., 0] if values.shape[2] == 1 else values, turn), requirements=["C", "W"])

    def spacing(self) -> tuple[float, float, float]:
        """Between pages, rows and columns: ImageJ's and the resolution tags' units; 1 where nothing is said."""
        with decoding(self.path):
            z = float((self._file.imagej_metadata or {}).get("spacing", 1) or 1)
            rows, columns = (self._page(0).get_resolution())[::-1]
        return z, 1 / rows if rows > 0 else 1.0, 1 / columns if columns > 0 else 1.0

    def labels(self, page: int = 0) -> Labels:
        found = self._page(page)
        if int(found.photometric) in (_SEPARATED, _CIELAB, _ICCLAB):
            raise ImageError(f"the mask {self.path} in CMYK or CIELAB", "grey, a palette or RGB", "save it as a PNG")
        if self.pages > 1 and not all(self._is_copy(other, page) for other in range(self.pages)):
            raise ImageError(f"the mask {self.path} of {self.pages} pages", "one page", "save each page as a mask")
        if int(found.compression) in _LOSSY:
            return binary_labels(self.window(page=page))
        values = self.values(page=page)
        if int(found.photometric) == _MIN_IS_WHITE and values.dtype.kind in "bu":
            values = ~values if values.dtype == np.bool_ else 2 ** int(found.bitspersample) - 1 - values
        if int(found.photometric) == _PALETTE and found.colormap is not None:
            colours = np.ascontiguousarray(_eight_bits(found.colormap))
            return labels_of_palette(values if values.ndim == 2 else values[..., 0], colours, self.path)
        return labels_of(values, self.path)

    def overview(self, longest: int, page: int = 0) -> tuple[Image, float]:
        """From a pyramid's level where there is one, else pixel by pixel from tile after tile."""
        levels = [p for p in range(self.pages) if self._is_copy(p, page) and max(self.size(p)) >= longest]
        level = min(levels, key=lambda p: max(self.size(p)), default=page)
        height, width = self.size(level)
        step = max(1, -(-max(height, width) // longest))
        bands = [self.values((0, y, width, min(y + step, height)), level)[:1, ::step] for y in range(0, height, step)]
        with decoding(self.path):
            return self._shown(np.concatenate(bands), page), self.size(page)[1] / width * step

    def close(self) -> None:
        self._file.close()

    def _page(self, page: int) -> Any:
        found = self._directories[page]
        if found.imagedepth != 1:
            raise ImageError(f"{self.path} of {found.imagedepth} planes a page", "one plane a page")
        return found

    def _is_copy(self, page: int, of: int) -> bool:
        (h, w), (height, width) = self.size(page), self.size(of)
        reduced = bool(self._directories[page].is_reduced) or page == of
        return reduced and abs(h / height - w / width) < 0.01 and h <= height

    def _stored(self, page: Any, window: Window) -> NDArray[Any]:
        """(h, w, samples) of a part of a page as it is stored, from the segments that meet it."""
        x0, y0, x1, y1 = window
        out = np.zeros((y1 - y0, x1 - x0, int(page.samplesperpixel)), page.dtype)
        for index, rows, columns in _segments(page, window):
            tile, plane = self._decoded(page, index, rows, columns)
            top, left = max(rows.start, y0), max(columns.start, x0)
            bottom, right = min(rows.stop, y1), min(columns.stop, x1)
            part = tile[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
            out[top - y0 : bottom - y0, left - x0 : right - x0, plane : plane + part.shape[2]] = part
        return out

    def _decoded(self, page: Any, index: int, rows: range, columns: range) -> tuple[NDArray[Any], int]:
        """A tile's (h, w, samples) and the sample plane that it begins with."""
        blank = np.full((len(rows), len(columns), 1), page.nodata, page.dtype)  # a sparse file leaves tiles out
        if index >= len(page.dataoffsets) or page.databytecounts[index] == 0:
            return blank, 0
        handle = page.parent.filehandle
        handle.seek(page.dataoffsets[index])
        data = handle.read(page.databytecounts[index])
        if len(data) < page.databytecounts[index]:
            raise ValueError(f"{page.databytecounts[index] - len(data)} bytes are missing")
        tile, place, shape = page.decode(data, index, jpegtables=page.jpegtables)
        return (blank, 0) if tile is None else (tile[0, : shape[1], : shape[2]], int(place[0]))

    def _by_pillow(self, page: int, reason: Exception) -> NDArray[Any]:
        """A whole page as it is stored, for compressions that tifffile knows only with imagecodecs."""
        self.check_size(page)
        content = bytearray(self.path.read_bytes())
        for found in self._directories:
            if (tag := found.tags.get(_ORIENTATION)) is not None:  # Pillow would turn it, deep pixels wrongly
                content[tag.valueoffset : tag.valueoffset + 2] = (1).to_bytes(
                    2, "little" if found.parent.byteorder == "<" else "big"
                )
        try:
            image = PIL.Image.open(io.BytesIO(content), formats=["TIFF"])
            image.seek(page)
            values = _array(image.convert("RGB") if image.mode == "YCbCr" else image)
        except Exception:
            raise reason from None
        inverted = int(self._page(page).photometric) == _MIN_IS_WHITE and image.mode in ("1", "L")
        return ~values if inverted else values

    def _shown(self, values: NDArray[Any], page: int) -> Image:
        """Values as stored -> what people see, by the page's photometric interpretation."""
        found = self._page(page)
        kind, samples = int(found.photometric), values.reshape(*values.shape[:2], -1)
        if kind == _PALETTE and found.colormap is not None:
            return _looked_up(found.colormap, samples[..., 0])
        count = 4 if kind == _SEPARATED and samples.shape[2] >= 4 else 3 if samples.shape[2] >= 3 else 1
        if samples.dtype == np.bool_ or (samples.dtype == np.uint8 and found.bitspersample < 8):
            samples = np.rint(samples * (255 / (2 ** int(found.bitspersample) - 1))).astype(np.uint8)
        if kind in (_SEPARATED, _CIELAB, _ICCLAB) and samples.dtype.itemsize == 2:
            samples = (samples.astype(np.int32) >> 8).astype(np.uint8)
        colours, alpha = _straight(found, samples, count)
        if colours.dtype != np.uint8:
            bounds = self._scale(page, colours)
            stack = colours if alpha is None else np.concatenate((np.repeat(colours, 3 // count, 2), alpha), 2)
            shown = as_image(stack, bounds)
            return 255 - shown if kind == _MIN_IS_WHITE else shown
        tag = found.tags.get(_PROFILE)
        profile = bytes(tag.value) if tag is not None and found.dtype == np.uint8 else None
        if kind == _MIN_IS_WHITE:
            colours = ~colours
        if kind in (_CIELAB, _ICCLAB) and count == 3:
            return lab_to_srgb(colours, signed=kind == _CIELAB)
        mode = {1: "L", 3: "YCbCr" if kind == _YCBCR and int(found.compression) == 1 else "RGB", 4: "CMYK"}[count]
        image = PIL.Image.fromarray(np.ascontiguousarray(colours if count > 1 else colours[..., 0]), mode)
        if alpha is not None and count < 4:
            image = image.convert("RGB")
            image.putalpha(PIL.Image.fromarray(np.ascontiguousarray(alpha[..., 0])))
        return np.array(to_srgb(image, profile))

    def _scale(self, page: int, colours: NDArray[Any]) -> Bounds:
        """The numbers that become black and white in every window of a page; ``colours`` are those of one."""
        if page not in self._bounds:
            (height, width), count = self.size(page), colours.shape[2]
            windows: list[Window | None] = [None]
            if height * width > self.max_pixels:
                corners = [(x, y) for y in range(0, height, _TILE) for x in range(0, width, _TILE)]
                some = corners[:: max(1, len(corners) // _SAMPLED)]
                windows = [(x, y, min(x + _TILE, width), min(y + _TILE, height)) for x, y in some]
            elif colours.shape[:2] == (height, width):
                windows = []
            read = (self.values(window, page) for window in windows)
            sample = [values.reshape(*values.shape[:2], -1)[..., :count] for values in read] or [colours]
            self._bounds[page] = stretch_bounds(np.concatenate([values.reshape(-1) for values in sample]))
        return self._bounds[page]


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows of a page, so many at a time that converting them takes little memory."""
    rows = max(1, _BAND // width)
    return (slice(top, min(height, top + rows)) for top in range(0, height, rows))


def _array(image: PIL.Image.Image) -> NDArray[Any]:
    """(H, W) or (H, W, samples) of a decoded image, a band of rows after the other: at once there would be a third
    copy."""
    bands = (
        (rows, np.asarray(image.crop((0, rows.start, image.width, rows.stop))))
        for rows in _bands(image.height, image.width)
    )
    whole: NDArray[Any] | None = None
    for rows, band in bands:
        if whole is None:
            whole = np.empty((image.height, *band.shape[1:]), band.dtype)
        whole[rows] = band
    assert whole is not None, "an image has a row"
    return whole


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    value = tag.value if tag is not None else 1
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def _segments(page: Any, window: Window) -> Iterator[tuple[int, range, range]]:
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


def _straight(page: Any, samples: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(h, w, samples) -> the first ``count`` as colours, and (h, w, 1) opacity; None where there is none, or only
    further channels. Colours that are stored multiplied by their opacity are divided by it."""
    colours, rest = samples[..., :count], samples[..., count:]
    extra = [int(e) for e in page.extrasamples] or [_UNASSOCIATED]
    if not rest.shape[2] or extra[0] not in (_ASSOCIATED, _UNASSOCIATED):
        return colours, None
    alpha = rest[..., :1]
    if extra[0] == _ASSOCIATED:
        full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1.0
        divided = colours.astype(np.float64) * full / np.maximum(alpha, 1e-9)
        colours = np.clip(divided, 0, full).astype(colours.dtype)
    return colours, alpha


def _looked_up(colormap: NDArray[Any], indices: NDArray[Any]) -> Image:
    return np.ascontiguousarray(_eight_bits(colormap)[indices])


def _eight_bits(colormap: NDArray[Any]) -> NDArray[np.uint8]:
    """(n, 3) colours of a (3, n) colour map; some write 8 bits into its 16."""
    return np.asarray(colormap.T if int(colormap.max()) < 256 else colormap.T >> 8, np.uint8)


def write_mask_tiff(path: str | os.PathLike[str], rle: Rle) -> None:
    """Write a mask as a tiled, deflated TIFF of 0 and 255, one tile in memory at a time. Source: BigTIFF.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask_tiff(f"{folder}/m.tif", Rle.from_mask(np.eye(600, dtype=bool)))
    ...     with TiffImage(Path(folder, "m.tif")) as tiff:
    ...         int((tiff.values() > 0).sum())
    600
    """
    import tifffile  # as above

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
