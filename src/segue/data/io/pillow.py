"""JPEG, PNG, WebP, GIF, BMP, AVIF, HEIF, JPEG 2000 and the like, by Pillow; a JPEG's last bytes may be missing."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import features

from segue.core.errors import ImageError, MissingExtra
from segue.core.types import Image
from segue.data.io.color_profile import to_srgb
from segue.data.io.image_file import ImageFile, Labels, decoding, labels_of, labels_of_palette
from segue.data.io.pixels import Window, as_image, sideways, turned
from segue.data.io.signature import SUFFIXES_OF, kind_of

_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of more than 8 bits
_FORMATS = {*SUFFIXES_OF, "DIB", "ICO", "MPO", "PCX", "SGI", "TGA"} - {"TIFF"}
_BROWSERS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_ORIENTATION = 0x0112
_WEBP_HEAD = 1 << 12  # bytes within which a lossless picture says so, behind a colour profile
_GUESSED = 1 / 16  # of a JPEG's pixels may hang on bytes that are missing
_BAND = 1 << 22  # pixels of a large photo that are converted at once
_EXPECTED = "JPEG, PNG, TIFF, WebP, BMP or GIF"


class PillowFile(ImageFile):
    """A file that Pillow decodes, page by page; the page of the last window stays in memory.

    Raises ``ImageError`` for what is no picture, and ``MissingExtra`` where its format needs a plug-in.
    """

    def __init__(self, path: Path, max_pixels: int, head: bytes) -> None:
        super().__init__(path, max_pixels)
        if kind_of(head) in ("AVIF", "HEIF"):
            register(path, kind_of(head))
        self._head, self._image = head, _opened(path)
        self.kind = "JPEG" if self._image.format == "MPO" else str(self._image.format)
        self.orientation = _orientation(self._image, path)
        self._page: tuple[int, Image] | None = None
        with decoding(path):
            self._pages = getattr(self._image, "n_frames", 1) if self.kind in ("GIF", "PNG", "WEBP") else 1
        plain = self._image.mode in ("RGB", "L", "P", "1") and "transparency" not in self._image.info
        if plain and not self.deep() and self.pages == 1 and (self.orientation == 1 or self.kind == "JPEG"):
            self.media_type = _BROWSERS.get(self.kind, "")

    def size(self, page: int = 0) -> tuple[int, int]:
        width, height = self._image.size
        return (width, height) if sideways(self.orientation) else (height, width)

    def deep(self, page: int = 0) -> bool:
        return self._image.mode in _DEEP or self._deep_colour

    @property
    def _deep_colour(self) -> bool:
        """Whether it is a PNG of colours of 16 bits; Pillow would keep the upper eight, and darken 12-bit files."""
        return self.kind == "PNG" and self._head[24:25] == b"\x10" and self._head[25:26] != b"\0"

    @property
    def _blurred(self) -> bool:
        """Whether the format does not keep values as they were: it holds no labels, but a binary mask."""
        if self.kind == "WEBP":
            return b"VP8L" not in self.path.read_bytes()[:_WEBP_HEAD]
        if self.kind == "JPEG2000":
            at = (content := self.path.read_bytes()).find(b"\xff\x52")  # how it is coded
            return content[at + 13 : at + 14] == b"\0"  # by the wavelet that rounds
        return self.kind in ("JPEG", "AVIF", "HEIF")

    def window(self, window: Window | None = None, page: int = 0) -> Image:
        x0, y0, x1, y1 = self.check_window(window, page)
        if window is None:
            return self._decoded(page)
        if self._page is None or self._page[0] != page:
            self._page = page, self._decoded(page)
        return self._page[1][y0:y1, x0:x1].copy()

    def labels(self, page: int = 0) -> Labels:
        self.check_window(None, page)
        image = self._loaded(page)
        if self.pages > 1:
            raise ImageError(f"the mask {self.path} of {self.pages} frames", "one", "save each frame as a mask")
        if self._blurred:
            values = (np.asarray(image.convert("L")) > 127) * np.uint8(255)
        elif image.mode == "P":
            colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
            return labels_of_palette(turned(np.asarray(image), self.orientation), colours, self.path)
        else:
            values = np.asarray(image if image.mode in ("1", "L", *_DEEP) else image.convert("RGBA"))
        return labels_of(turned(values, self.orientation), self.path)

    def overview(self, longest: int, page: int = 0) -> tuple[Image, float]:
        if self.kind != "JPEG":
            return self._reduced(longest, page)
        self.check_size()
        small = PillowFile(self.path, self.max_pixels, self._head)
        with small:  # a JPEG can be decoded small at once
            small._image.draft(small._image.mode, (2 * longest, 2 * longest))
            return self.shrunk(small._decoded(0), longest)

    def _reduced(self, longest: int, page: int) -> tuple[Image, float]:
        """``overview``, without a copy of a large photo: blocks of its pixels are averaged first."""
        self.check_size(page)
        image = self._loaded(page)
        factor = max(image.size) // (2 * longest)
        if factor < 2 or image.mode not in ("L", "RGB") or "transparency" in image.info or self._deep_colour:
            return super().overview(longest, page)
        small = image.reduce(factor)
        small.info = image.info
        return self.shrunk(np.array(turned(_colours(small), self.orientation), order="C"), longest, page)

    def close(self) -> None:
        self._image.close()

    def _decoded(self, page: int) -> Image:
        self.check_size()
        with decoding(self.path):
            if self._deep_colour:
                shown = as_image(_deep_colours(self.path))
            else:
                image = self._loaded(page)
                shown = as_image(np.asarray(image)) if image.mode in _DEEP else _colours(image)
            if self.orientation == 1 and shown.flags.writeable:
                return np.ascontiguousarray(shown)
            return np.array(turned(shown, self.orientation), order="C")

    def _loaded(self, page: int) -> PIL.Image.Image:
        with decoding(self.path):
            try:
                with warnings.catch_warnings(action="ignore"):  # what Pillow warns of is checked here
                    if self.pages > 1:
                        self._image.seek(page)
                    self._image.load()
            except OSError:
                if self.kind != "JPEG":
                    raise
                self._image.close()
                self._image = _ended(self.path)
        return self._image


def _opened(path: Path) -> PIL.Image.Image:
    with decoding(path, expected=_EXPECTED), warnings.catch_warnings(action="ignore"):
        PIL.Image.init()
        try:
            return PIL.Image.open(path, formats=sorted(_FORMATS & set(PIL.Image.OPEN)))
        except PIL.Image.DecompressionBombError as error:
            raise ImageError(f"{path}, which is too large ({error})", "fewer pixels", "cut it into tiles") from error
        except PIL.UnidentifiedImageError as error:
            raise ImageError(
                f"{path}, which is no image that can be read", _EXPECTED, "check what the file really holds"
            ) from error


def _ended(path: Path) -> PIL.Image.Image:
    """A JPEG cut short, read to where it ends, with a warning; refused where much of it is missing."""
    content, ends = path.read_bytes().rstrip(b"\xff"), (b"\xff\xd9", b"\x5a" * 4096 + b"\xff\xd9")
    images = [PIL.Image.open(io.BytesIO(content + end), formats=["JPEG"]) for end in ends]
    whole, other = (np.asarray(image).reshape(image.height, image.width, -1) for image in images)
    guessed = float((whole != other).any(-1).mean())
    if guessed > _GUESSED:
        raise ImageError(
            f"{path}, which is damaged: {guessed:.0%} of it are missing", "a complete image", "copy it again"
        )
    warnings.warn(f"{path} is cut short: {guessed:.1%} of it are missing and guessed", UserWarning, stacklevel=2)
    return images[0]


def _colours(image: PIL.Image.Image) -> Image:
    """(H, W, 3) in sRGB, a band of rows after the other: of a large photo there is never a third copy."""
    profile, (width, height) = image.info.get("icc_profile"), image.size
    if width * height <= _BAND:
        return np.asarray(to_srgb(image, profile))
    shown, rows = np.empty((height, width, 3), np.uint8), max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        band.info = image.info
        shown[top : top + rows] = np.asarray(to_srgb(band, profile))
    return shown


def _deep_colours(path: Path) -> NDArray[np.uint16]:
    """(H, W, 3 or 4) uint16 of a PNG, as stored."""
    array: Any = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16 or array.ndim != 3:
        raise ImageError(f"{path}, which is damaged", "a complete PNG", "copy it again from its source")
    return np.asarray(array[..., [2, 1, 0, 3][: array.shape[2]]])


def _orientation(image: PIL.Image.Image, path: Path) -> int:
    """1 to 8. A PNG's is found without decoding it, wherever in the file it stands."""
    try:
        if image.format == "PNG" and "exif" not in image.info and not _metadata_behind_pixels(path):
            exif = PIL.Image.Image.getexif(image)  # PNG's own would decode the picture to look behind it
        else:
            exif = image.getexif()
        value = int(exif.get(_ORIENTATION, 1))
    except Exception:  # damaged metadata turn nothing
        return 1
    return value if 1 <= value <= 8 else 1


def _metadata_behind_pixels(path: Path) -> bool:
    """Whether a PNG has metadata after its pixels."""
    behind = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            behind = behind or head[4:] == b"IDAT"
            if behind and head[4:] in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, io.SEEK_CUR)
    return False


def register(path: Path, kind: str) -> None:
    """Make Pillow know ``kind``, or raise ``MissingExtra`` that names the file."""
    if kind == "AVIF" and "avif" in features.modules and features.check("avif"):
        return
    try:
        from pillow_heif import register_heif_opener  # an extra, and slow to import
    except ImportError as error:
        raise MissingExtra(
            f"{path}, which is {kind}", "the plug-in that decodes it (extra 'heif')", "run: pip install 'segue[heif]'"
        ) from error
    register_heif_opener()
