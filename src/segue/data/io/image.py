"""Images and masks in and out of files: one door for every format; (H, W, 3) uint8 RGB or an (H, W) label map."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from segue.core.errors import ImageError, MissingFile
from segue.core.files import natural_sorted, write_bytes
from segue.core.types import Image, Mask, check_image, check_mask, describe
from segue.data.io.dicom import DicomImage
from segue.data.io.image_file import ImageFile, Labels
from segue.data.io.pillow import PillowFile, register
from segue.data.io.pixels import MAX_PIXELS, as_image
from segue.data.io.signature import SUFFIXES_OF, first_bytes, kind_of
from segue.data.io.tiff import TiffImage
from segue.data.io.video_file import VideoFile

SUFFIXES = frozenset(
    suffix for kind, suffixes in SUFFIXES_OF.items() if kind not in ("DICOM", "video") for suffix in suffixes
)
READABLE = SUFFIXES | {".dcm"}
WRITABLE = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
__all__ = [
    "MAX_PIXELS",
    "READABLE",
    "SUFFIXES",
    "WRITABLE",
    "ImageFile",
    "Labels",
    "find_images",
    "image_of",
    "open_image",
    "read_image",
    "read_labels",
    "read_mask",
    "skipped_message",
    "sort_out",
    "write_image",
    "write_labels",
]

Picture: TypeAlias = Image | str | os.PathLike[str] | PIL.Image.Image

_OPENERS: dict[str, Callable[[Path, int, bytes], ImageFile]] = {
    "TIFF": TiffImage,
    "DICOM": DicomImage,
    "video": VideoFile,
}


def open_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Open a picture, a file of many or a video for its size, pages and pixels; content decides, not the suffix.

    Raises ``MissingFile`` for no such file, ``ImageError`` for a file that is empty or no image, and ``MissingExtra``
    where its format needs a library that is not installed (HEIC, DICOM, video).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.new("L", (3, 2), 7).save(f"{folder}/grey.png")
    ...     with open_image(f"{folder}/grey.png") as file:
    ...         file.kind, file.size(), file.pages, file.window((0, 0, 1, 1)).tolist()
    ('PNG', (2, 3), 1, [[[7, 7, 7]]])
    """
    file = Path(path)
    try:
        there, regular = file.exists(), file.is_file()
    except OSError as error:  # a name that no file system takes
        raise MissingFile(f"the path {file}", f"an image file ({error.strerror})", "check the spelling") from error
    if not there:
        raise MissingFile(f"the path {file}", "an image file", "check the spelling")
    if not regular:
        raise ImageError(f"the {'folder' if file.is_dir() else 'device'} {file}", "an image file")
    if not file.stat().st_size:
        raise ImageError(f"the file {file}, which is empty (0 bytes)", "an image", "copy it again from its source")
    head = first_bytes(file)
    kind = kind_of(head) or ("video" if file.suffix.lower() in SUFFIXES_OF["video"] else "")
    return _OPENERS.get(kind, PillowFile)(file, max_pixels, head)


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image file as (H, W, 3) uint8 RGB, upright.

    Orientation is applied. Grey is repeated in three channels, palettes are looked up, CMYK and CIELAB are converted,
    transparency is laid over white. Colours with an embedded profile become sRGB; a damaged profile is ignored
    with a warning. Images of more than 8 bits are stretched linearly from their 0.5th to their
    99.5th percentile. Of several pages or frames the first is read. DICOM is windowed as the file says (extra
    ``medical``, see ``segue.data.io.dicom``). A JPEG whose last bytes are missing is read with a warning.

    Raises as ``open_image``, and ``ImageError`` for a file that is truncated or larger than ``max_pixels``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.new("L", (3, 2), 7).save(f"{folder}/grey.png")
    ...     read_image(f"{folder}/grey.png")[0, 0]
    array([7, 7, 7], dtype=uint8)
    """
    with open_image(path, max_pixels) as file:
        return file.window()


def image_of(picture: Picture) -> Image:
    """(H, W, 3) uint8 RGB of a file's path, a Pillow image or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8.

    Grey is repeated, transparency laid over white, a Pillow image turned upright; an (H, W, 3) array is returned as it
    is. Raises ``ImageError`` for another array, and as ``read_image`` for files.

    >>> image_of(np.full((2, 3), 7, np.uint8))[0, 0].tolist(), image_of(PIL.Image.new("RGBA", (3, 2)))[0, 0].tolist()
    ([7, 7, 7], [255, 255, 255])
    """
    if isinstance(picture, str | os.PathLike):
        return read_image(picture)
    if isinstance(picture, PIL.Image.Image):
        upright = PIL.ImageOps.exif_transpose(picture)
        array = np.asarray(upright if upright.mode in ("L", "RGB") else upright.convert("RGBA"))
    else:
        array = picture
    grey_or_alpha = np.ndim(array) == 2 or (np.ndim(array) == 3 and np.shape(array)[2] in (1, 4))
    if grey_or_alpha and np.asarray(array).dtype == np.uint8:
        array = as_image(array)
    check_image(array)
    return array


def read_labels(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Labels:
    """Read a mask file as (H, W) int32 labels, upright: the values as stored, a palette's indices, 8 or 16 bit.

    Colour files whose channels agree are read as grey; real colours become 1, 2, ... in the order of
    (r, g, b), black 0. A fully transparent pixel is background. JPEG cannot hold labels: it is read as a
    binary mask, 255 where it is brighter than 127.

    Raises as ``read_image``, and ``ImageError`` for numbers that are not whole. Source: Pascal VOC's palette PNG.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_labels(f"{folder}/mask.png", np.array([[0, 300]]))
    ...     read_labels(f"{folder}/mask.png")
    array([[  0, 300]], dtype=int32)
    """
    with open_image(path, max_pixels) as file:
        file.check_size()
        return file.labels()


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

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/red.png", np.full((1, 2, 3), (255, 0, 0), np.uint8))
    ...     read_image(f"{folder}/red.png")[0, 1].tolist()
    [255, 0, 0]
    """
    check_image(image)
    _save(Path(path), PIL.Image.fromarray(image), quality=quality, subsampling=0)


def write_cutout(path: str | os.PathLike[str], image: Image, mask: Mask) -> None:
    """Write (H, W, 3) uint8 RGB with ``mask`` (H, W) bool as its alpha, atomically, as PNG.

    Raises ``ImageError`` for other arrays or a suffix that holds no alpha, ``StorageError`` if the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cutout(f"{folder}/a.png", np.zeros((4, 6, 3), np.uint8), np.eye(4, 6, dtype=bool))
    ...     PIL.Image.open(f"{folder}/a.png").mode
    'RGBA'
    """
    if Path(path).suffix.lower() != ".png":
        raise ImageError(f"the file name {path}", "a format with transparency", "name it .png")
    check_image(image)
    check_mask(mask, image.shape[:2])
    _save(Path(path), PIL.Image.fromarray(np.dstack((image, mask.astype(np.uint8) * 255))))


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

    Files of a folder that look like images and cannot be taken up are named in a ``UserWarning``. Raises
    ``MissingFile`` for a source that names nothing and ``ImageError`` for a folder without images.

    >>> find_images(["no-such-folder/*.jpg"])
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got 'no-such-folder/*.jpg', which is not there; expected an image, a folder of images or a pattern that matches some. Check the spelling.
    """  # noqa: E501
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside, skipped = sort_out(path.iterdir())
            if skipped:
                warnings.warn(
                    skipped_message({file.name: why for file, why in skipped.items()}), UserWarning, stacklevel=2
                )
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


def sort_out(files: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The images among ``files`` in natural order, and the reasons why others that look like images are none of them.

    Hidden files are left out. A suffix is enough to be taken up, and so is the content of a file without one.
    """
    images: list[Path] = []
    skipped: dict[Path, str] = {}
    for file in natural_sorted(files):
        if file.name.startswith(".") or not file.is_file():
            continue
        suffix = file.suffix.lower()
        kind = "" if suffix in READABLE - {".avif", ".heic", ".heif"} else kind_of(first_bytes(file))
        reason = _why_not(file, kind)
        if reason:
            skipped[file] = reason
        elif kind or suffix in READABLE:
            images.append(file)
    return images, skipped


def skipped_message(skipped: Mapping[str, str]) -> str:
    """One line that names every skipped file.

    >>> skipped_message({"d.heic": "HEIF needs a plug-in"})
    'skipped: d.heic (HEIF needs a plug-in)'
    """
    return f"skipped: {', '.join(f'{name} ({reason})' for name, reason in skipped.items())}"


def _why_not(file: Path, kind: str) -> str:
    """Why a file of ``kind`` cannot be taken up; '' where it can, or where it is no picture at all."""
    if not kind or kind == "video":
        return "a video: name it itself" if kind else ""
    if kind not in SUFFIXES_OF:
        return f"{kind} cannot be read"
    if file.suffix and file.suffix.lower() not in READABLE and kind != "DICOM":
        return f"{kind} by another suffix"
    if kind in ("AVIF", "HEIF"):
        try:
            register(file, kind)
        except ImportError as error:
            return str(error)
    return ""


def _save(target: Path, image: PIL.Image.Image, **options: Any) -> None:
    formats = PIL.Image.registered_extensions()
    if target.suffix.lower() not in WRITABLE:
        raise ImageError(f"the file name {target}", f"a suffix out of {', '.join(sorted(WRITABLE))}")
    buffer = BytesIO()
    image.save(buffer, formats[target.suffix.lower()], **options)
    write_bytes(target, buffer.getvalue())
