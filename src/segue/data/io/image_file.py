"""What every file of pictures answers: its size, its pages, its pixels, without a word of its format."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError, SegueError
from segue.core.types import Image
from segue.data.io.pixels import Window

Labels: TypeAlias = NDArray[np.int32]  # (H, W), 0 is background


class ImageFile(ABC):
    """One opened file; use it as a context. Every size, window and pixel is that of the upright picture.

    ``kind`` is the format's name, ``orientation`` that of the first page as stored (1 is upright); ``media_type`` is
    set where a browser shows the file as we do. Whole pages of more than ``max_pixels`` are refused.
    """

    kind: str
    media_type: str = ""
    orientation: int = 1

    def __init__(self, path: Path, max_pixels: int, pages: int = 1) -> None:
        self.path, self.max_pixels, self._pages = path, max_pixels, pages

    @property
    def pages(self) -> int:
        """How many pages or frames there are."""
        return self._pages

    @abstractmethod
    def size(self, page: int = 0) -> tuple[int, int]:
        """(H, W) of a page, from the header alone."""

    def deep(self, page: int = 0) -> bool:
        """Whether a page has more than 8 bits, so that it is shown stretched."""
        return False

    @abstractmethod
    def window(self, window: Window | None = None, page: int = 0) -> Image:
        """(h, w, 3) uint8 RGB of a part (x0, y0, x1, y1) of a page; None is the whole page.

        Raises ``InputError`` for a page that is not there and for a window that is empty or leaves the page,
        ``ImageError`` for damaged data.
        """

    def labels(self, page: int = 0) -> Labels:
        """(H, W) int32, a page's values as stored. Raises ``ImageError`` for a format that holds no labels."""
        raise ImageError(f"{self.path}, which is {self.kind}", "a mask as PNG or TIFF", "convert it")

    def overview(self, longest: int, page: int = 0) -> tuple[Image, float]:
        """A page shrunk to at most ``longest`` pixels a side, and page pixels per pixel of it."""
        return self.shrunk(self.window(page=page), longest, page)

    def shrunk(self, image: Image, longest: int, page: int = 0) -> tuple[Image, float]:
        """``image``, a page or a smaller copy, as ``overview`` has it."""
        scale = min(1.0, longest / max(image.shape[:2]))
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8), self.size(page)[1] / size[0]

    def frames(self) -> Iterator[Image]:
        """Every page in order, one in memory at a time."""
        for page in range(self.pages):
            yield self.window(page=page)

    def check_size(self, page: int = 0) -> None:
        """Raise ``ImageError`` for a page of more than ``max_pixels``."""
        height, width = self.size(page)
        if height * width > self.max_pixels:
            raise ImageError(
                f"{self.path} of {width} x {height} pixels",
                f"at most {self.max_pixels:,} pixels",
                "cut it into tiles or raise max_pixels",
            )

    def check_window(self, window: Window | None, page: int) -> Window:
        """``window``, or the whole page; raises as ``window`` does."""
        if not 0 <= page < self.pages:
            raise InputError(f"page {page} of {self.path}", f"0 to {self.pages - 1}")
        height, width = self.size(page)
        x0, y0, x1, y1 = window or (0, 0, width, height)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(f"the window {window}", f"a part of the page of {width} x {height} pixels")
        return x0, y0, x1, y1

    def close(self) -> None:  # noqa: B027 - what is read at once has nothing to close
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def decoding(path: Path, expected: str = "a complete image") -> Iterator[None]:
    """Whatever a decoder raises over a file becomes one ``ImageError`` that names the file."""
    try:
        yield
    except ImageError as error:
        if str(path) in error.arrived:
            raise
        raise ImageError(f"{path} with {error.arrived}", error.expected, error.fix) from error
    except (SegueError, MemoryError):
        raise
    except Exception as error:  # decoders raise two dozen unrelated types over bytes that make no sense
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        what, fix = "is damaged", "copy it again from its source"
        if isinstance(error, OSError) and error.errno:
            what, reason, fix = "cannot be read", str(error.strerror), "check the disk and the permissions"
        raise ImageError(f"{path}, which {what} ({reason})", expected, fix) from error


def binary_labels(image: Image) -> Labels:
    """(H, W, 3) uint8 of a file that blurs its values -> 255 where it is brighter than 127, else 0.

    >>> binary_labels(np.array([[[3, 3, 3], [251, 250, 249]]], np.uint8))
    array([[  0, 255]], dtype=int32)
    """
    return np.asarray((cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > 127) * np.int32(255))


def labels_of_palette(indices: NDArray[Any], colours: NDArray[np.uint8], path: Path) -> Labels:
    """(H, W) indices into ``colours`` (n, 3) -> (H, W) int32 labels: the indices or, where 0 is not black and another
    index is, the colours as ``labels_of`` has them: the order of that palette means nothing.

    >>> labels_of_palette(np.array([[0, 1]]), np.array([[255, 255, 255], [0, 0, 0]], np.uint8), Path("mask.png"))
    array([[255,   0]], dtype=int32)
    """
    used = np.flatnonzero(np.bincount(indices.reshape(-1)))
    used = used[used < len(colours)]
    if not len(colours) or not colours[0].any() or colours[used].any(1).all() or indices.max() >= len(colours):
        return labels_of(indices, path)
    return labels_of(colours[indices], path)


def labels_of(values: NDArray[Any], path: Path) -> Labels:
    """Stored values (H, W) or colours (H, W, C), alpha last of 2 and 4 -> (H, W) int32 labels.

    Whole numbers stay; True is 255; colours whose channels agree are grey, real colours become 1, 2, ... in the
    order of (r, g, b), black 0. What is fully transparent is background; black is an
    object where nothing else is opaque. Raises ``ImageError`` for other numbers.

    >>> labels_of(np.array([[[0, 0, 0], [9, 0, 0], [9, 9, 0]]], np.uint8), Path("mask.png"))
    array([[0, 1, 2]], dtype=int32)
    """
    if values.dtype == np.bool_:
        values = values * np.uint8(255)
    if values.dtype.kind not in "iu" or (values.size and int(values.max()) > np.iinfo(np.int32).max):
        raise ImageError(f"the mask {path} of numbers of type {values.dtype}", "whole numbers", "save it as a PNG")
    if values.ndim == 2:
        return np.array(values, np.int32, order="C")
    samples = values.astype(np.int64)
    opaque = samples[..., -1] > 0 if samples.shape[2] in (2, 4) else np.ones(samples.shape[:2], bool)
    colours = samples[..., :3] if samples.shape[2] > 2 else samples[..., :1]
    if not opaque.all() and not colours[opaque].any():
        return opaque * np.int32(255)  # a black object cut out of nothing
    if (colours == colours[..., :1]).all():
        return np.where(opaque, colours[..., 0], 0).astype(np.int32)
    codes = np.where(opaque, (colours[..., 0] << 32) | (colours[..., 1] << 16) | colours[..., 2], 0)
    kinds, ranks = np.unique(codes, return_inverse=True)
    labels: Labels = (ranks.reshape(codes.shape) + (kinds[0] != 0)).astype(np.int32)
    return labels
