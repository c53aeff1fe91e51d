"""Images and masks in and out of files: whatever arrives becomes (H, W, 3) uint8 RGB or an (H, W) label map."""

from __future__ import annotations

import contextlib
import glob
import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import tifffile
from numpy.typing import NDArray
from PIL import ImageOps

from segue.core.errors import ImageError, MissingFile
from segue.core.files import natural_sorted, write_bytes
from segue.core.types import Image, Mask, check_image, describe
from segue.data.io.color_profile import to_srgb

Labels: TypeAlias = NDArray[np.int32]  # (H, W), 0 is background

MAX_PIXELS = 150_000_000
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
STRETCH = (0.5, 99.5)  # percentiles that become black and white when an image has more than 8 bits

_PERCENTILE_PIXELS = 1 << 22
# EXIF orientation: rows and columns swapped, then upside down, then mirrored.
_UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, PIL.Image.DecompressionBombError)
READABLE = SUFFIXES | {".dcm"}
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of more than 8 bits


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image file as (H, W, 3) uint8 RGB, upright.

    EXIF orientation is applied. Grey is repeated in three channels, palettes are looked up, CMYK is converted,
    transparency is laid over white. Colours with an embedded profile become sRGB; a damaged profile is ignored
    with a warning. Images of more than 8 bits are stretched linearly from their 0.5th to their
    99.5th percentile. Of several pages or frames the first is read. DICOM is windowed as the file says (extra
    ``medical``, see ``segue.data.io.dicom``).

    Raises ``MissingFile`` for no such file and ``ImageError`` for a file that is empty, truncated, no image,
    or larger than ``max_pixels``. Source: EXIF 2.32, tag 0x0112 (orientation).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.new("L", (3, 2), 7).save(f"{folder}/grey.png")
    ...     read_image(f"{folder}/grey.png")[0, 0]
    array([7, 7, 7], dtype=uint8)
    """
    other = _beyond_pillow(Path(path), max_pixels)
    if other is not None:
        return other
    with _opened(path, max_pixels) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in DEEP_MODES:
            return as_image(np.asarray(upright))
        if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
            layer = upright.convert("RGBA")
            white = PIL.Image.new("RGBA", layer.size, "white")
            upright = PIL.Image.alpha_composite(white, layer)
        return np.array(to_srgb(upright, image.info.get("icc_profile")))


def as_image(array: NDArray[Any]) -> Image:
    """Any image-like array -> (H, W, 3) uint8 RGB.

    Takes (H, W), (H, W, 1), (H, W, 3) and (H, W, 4) of uint8, bool, or any wider number type; those are stretched
    from their 0.5th to their 99.5th percentile. Alpha is laid over white.
    Raises ``ImageError`` for other shapes, for no pixels, and for NaN or infinite values.
    Source: the percentile stretch usual for display of deep images.

    >>> as_image(np.array([[0, 4000]], np.uint16))[..., 0]
    array([[  0, 255]], dtype=uint8)
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise ImageError(describe(array), "an array (H, W), (H, W, 3) or (H, W, 4) with at least one pixel")
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    colours = array[..., :3] if array.ndim == 3 else array
    shades = colours if array.dtype == np.uint8 else stretched(colours)
    if array.ndim == 2:
        return np.repeat(shades[..., None], 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:] / (np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1.0)
        shades = np.rint(shades * alpha + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(shades)


def read_labels(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Labels:
    """Read a mask file as (H, W) int32 labels, upright: the values as stored, a palette's indices, 8 or 16 bit.

    Colour files whose channels agree are read as grey; real colours become 1, 2, ... in the order of
    (r, g, b), black 0. A fully transparent pixel is background. JPEG cannot hold labels: it is read as a
    binary mask, 255 where it is brighter than 127.

    Raises ``MissingFile`` and ``ImageError`` as ``read_image``. Source: Pascal VOC's palette PNG (indices).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_labels(f"{folder}/mask.png", np.array([[0, 300]]))
    ...     read_labels(f"{folder}/mask.png")
    array([[  0, 300]], dtype=int32)
    """
    with _opened(path, max_pixels) as image:
        lossy = image.format in ("JPEG", "MPO")
        upright = ImageOps.exif_transpose(image)
        if lossy:
            return np.where(np.asarray(upright.convert("L")) > 127, 255, 0).astype(np.int32)
        if upright.mode == "1":
            return np.asarray(upright).astype(np.int32) * 255
        if upright.mode == "F":
            raise ImageError(f"the mask {path} of floating-point numbers", "whole numbers", "save it as a PNG")
        if upright.mode in ("L", "P", *DEEP_MODES):
            return np.asarray(upright).astype(np.int32)
        return _labels_of_colours(np.asarray(upright.convert("RGBA")))


def read_mask(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Mask:
    """Read a mask file as (H, W) bool: every label but 0.

    Raises ``ImageError`` if ``size`` (H, W) is given and differs, else as ``read_labels``.
    Source: binary masks of GrabCut, DAVIS and PerSeg (0 and 255).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_labels(f"{folder}/mask.png", np.array([[0, 255]]))
    ...     read_mask(f"{folder}/mask.png", size=(1, 2))
    array([[False,  True]])
    """
    labels = read_labels(path)
    if size is not None and labels.shape != tuple(size):
        raise ImageError(
            f"the mask {path} of {labels.shape[1]} x {labels.shape[0]} pixels",
            f"the image's size {size[1]} x {size[0]}",
            "use the mask that belongs to this image",
        )
    return labels > 0


def write_image(path: str | os.PathLike[str], image: Image, quality: int = 95) -> None:
    """Write (H, W, 3) uint8 RGB, atomically, in the format of the suffix; ``quality`` is JPEG's and WebP's.

    Raises ``ImageError`` for another array or suffix and ``StorageError`` if the disk refuses.
    Source: none; whole-file replacement is POSIX ``rename``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/red.png", np.full((1, 2, 3), (255, 0, 0), np.uint8))
    ...     read_image(f"{folder}/red.png")[0, 1].tolist()
    [255, 0, 0]
    """
    check_image(image)
    _save(Path(path), PIL.Image.fromarray(image), quality=quality, subsampling=0)


def write_labels(path: str | os.PathLike[str], labels: NDArray[Any]) -> None:
    """Write (H, W) labels or a bool mask as PNG, atomically: a mask as 0 and 255, labels in 8 or 16 bit.

    Raises ``ImageError`` for labels outside 0 ... 65535 or a suffix that cannot hold them exactly, and
    ``StorageError`` if the disk refuses. Source: PNG, third edition, section 11.2 (grey of 8 and 16 bit).

    >>> write_labels("mask.jpg", np.array([[1]]))
    Traceback (most recent call last):
    segue.core.errors.ImageError: got the mask file mask.jpg; expected a lossless format. Name it .png.
    """
    target = Path(path)
    if target.suffix.lower() not in (".png", ".tif", ".tiff"):
        raise ImageError(f"the mask file {path}", "a lossless format", "name it .png")
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "biu":
        raise ImageError(describe(labels), "whole-number labels or a mask (H, W)")
    if labels.dtype == np.bool_:
        labels = labels * np.uint8(255)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 65535:
        raise ImageError(f"labels from {low} to {high}", "0 to 65535", "renumber the objects")
    _save(target, PIL.Image.fromarray(labels.astype(np.uint8 if high < 256 else np.uint16)))


def find_images(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Image files named by ``sources``: files, folders (their images in natural order, not deeper) or glob patterns.

    Raises ``MissingFile`` for a source that names nothing and ``ImageError`` for a folder without images.
    Source: the command contract ("files, folders or globs").

    >>> find_images(["no-such-folder/*.jpg"])
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got 'no-such-folder/*.jpg'; expected an image, a folder of images or a pattern that matches some. Check the spelling.
    """  # noqa: E501
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = natural_sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE)
            if not inside:
                raise ImageError(f"the folder {path}, which holds no image", f"one of {', '.join(sorted(READABLE))}")
            found += inside
            continue
        matches = [path] if path.exists() else natural_sorted(map(Path, glob.glob(str(source), recursive=True)))
        if not matches:
            raise MissingFile(
                f"'{source}'", "an image, a folder of images or a pattern that matches some", "check the spelling"
            )
        found += matches
    return found


def _beyond_pillow(file: Path, max_pixels: int) -> Image | None:
    """What Pillow has no word for, DICOM and TIFF pages of several deep samples; None for everything else."""
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        head = opened.read(132)
    if head[128:] == b"DICM":
        from segue.data.io.dicom import read_dicom

        return read_dicom(file)
    if head[:4] not in _TIFF_MARKS:
        return None
    try:
        with warnings.catch_warnings(action="ignore"), PIL.Image.open(file) as image:
            # Pillow would keep the upper eight bits of deep colour, and darken 12-bit files by that.
            if len(image.getbands()) < 3 or max(getattr(image, "tag_v2", {}).get(258, (8,))) <= 8:
                return None
    except PIL.UnidentifiedImageError:
        pass
    except _DAMAGED:
        return None
    return _deep_tiff(file, max_pixels)


def _deep_tiff(file: Path, max_pixels: int) -> Image:
    """The first page of a TIFF whose samples are wider than Pillow takes, upright."""
    try:
        with tifffile.TiffFile(file) as opened:
            page = opened.pages.first
            _check_size(file, page.imagewidth, page.imagelength, max_pixels)
            samples, separate = page.asarray(), page.axes.startswith("S")
            tag = page.tags.get("Orientation")
    except (tifffile.TiffFileError, RuntimeError, KeyError, IndexError, ImportError, *_DAMAGED) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{file}, which is damaged or packed in an unknown way ({error})",
            "a complete TIFF file",
            "copy it again, or install imagecodecs for its compression",
        ) from error
    pixels = as_image(np.moveaxis(samples, 0, -1) if separate else samples)
    turned, upside_down, mirrored = _UPRIGHT.get(int(tag.value) if tag else 1, (False, False, False))
    pixels = pixels.transpose(1, 0, 2) if turned else pixels
    return np.ascontiguousarray(pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1])


def _check_size(file: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(
            f"{file} of {width} x {height} pixels",
            f"at most {max_pixels:,} pixels",
            "cut it into tiles or raise max_pixels",
        )


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], max_pixels: int) -> Iterator[PIL.Image.Image]:
    """The decoded file; every way in which it can be no image becomes one ``ImageError``."""
    file = Path(path)
    if not file.exists():
        raise MissingFile(f"the path {file}", "an image file", "check the spelling")
    if file.is_dir():
        raise ImageError(f"the folder {file}", "an image file")
    if not file.stat().st_size:
        raise ImageError(f"the file {file}, which is empty (0 bytes)", "an image", "copy it again from its source")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is an error below, or checked here
            image = PIL.Image.open(file)
            _check_size(file, image.width, image.height, max_pixels)
            image.load()
    except PIL.UnidentifiedImageError as error:
        raise ImageError(
            f"{file}, which is no image that can be read",
            "JPEG, PNG, TIFF, WebP, BMP or GIF",
            "check what the file really holds",
        ) from error
    except ImageError:
        raise
    except _DAMAGED as error:
        raise ImageError(
            f"{file}, which is damaged ({error})", "a complete image", "copy it again from its source"
        ) from error
    with image:
        yield image


def stretched(array: NDArray[Any], bounds: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Numbers of any shape -> uint8: ``bounds`` (by default the 0.5th and 99.5th percentile) become 0 and 255.

    Raises ``ImageError`` for NaN or infinite values. Source: the percentile stretch usual for deep images.

    >>> stretched(np.array([[100.0, 150.0, 300.0]]), bounds=(100, 200))
    array([[  0, 128, 255]], dtype=uint8)
    """
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise ImageError("pixels that are NaN or infinite", "finite numbers")
    if bounds is None:
        every = -(-values.size // _PERCENTILE_PIXELS)  # sorting all of a large photograph would cost more memory
        bounds = tuple(np.percentile(values.reshape(-1)[::every], STRETCH).tolist())
    low, high = bounds
    if high <= low:
        low, high = float(values.min()), max(float(values.max()), float(values.min()) + 1)
    values -= low
    values *= 255 / (high - low)
    return np.rint(np.clip(values, 0, 255, out=values), out=values).astype(np.uint8)


def _labels_of_colours(rgba: NDArray[np.uint8]) -> Labels:
    """(H, W, 4) -> (H, W) int32: the grey value where all channels agree, else the rank of each colour."""
    red, green, blue = (rgba[..., k].astype(np.int32) for k in range(3))
    opaque = rgba[..., 3] > 0
    if (red == green).all() and (red == blue).all():
        return np.where(opaque, red, 0).astype(np.int32)
    codes = np.where(opaque, (red << 16) | (green << 8) | blue, 0)
    colours, ranks = np.unique(codes, return_inverse=True)
    offset = 0 if colours[0] == 0 else 1
    return (ranks.reshape(codes.shape) + offset).astype(np.int32)


def _save(target: Path, image: PIL.Image.Image, **options: Any) -> None:
    formats = PIL.Image.registered_extensions()
    if target.suffix.lower() not in formats:
        raise ImageError(f"the file name {target}", f"a suffix out of {', '.join(sorted(SUFFIXES))}")
    buffer = BytesIO()
    image.save(buffer, formats[target.suffix.lower()], **options)
    write_bytes(target, buffer.getvalue())
