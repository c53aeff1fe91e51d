"""DICOM images: modality values, window and level, several frames; an extra (pydicom)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError, MissingExtra, MissingFile, naming_extras
from segue.core.types import Image
from segue.data.io.image_file import ImageFile, decoding
from segue.data.io.pixels import MAX_PIXELS, Window, as_image

Level = tuple[float, float]  # centre and width


class DicomImage(ImageFile):
    """A DICOM file: grey values become modality units (Hounsfield in CT) and are cut by ``level`` (centre, width):
    the one given, else the file's first, else the percentile stretch of deep images. MONOCHROME1 is inverted, palettes
    are looked up, other colours made RGB.

    Raises ``ImageError`` for what is no image, ``InputError`` for a level without width, ``MissingExtra`` without
    pydicom or the decoder of its compression.
    Source: DICOM PS3.3 C.11.2.1.2 (window centre and width).
    """

    kind = "DICOM"

    def __init__(
        self, path: Path, max_pixels: int = MAX_PIXELS, head: bytes = b"", *, level: Level | None = None
    ) -> None:
        super().__init__(path, max_pixels)
        self._data, self._level = _opened(path), level
        with decoding(path, "a DICOM image"):
            self._pages = int(self._data.get("NumberOfFrames", 1) or 1)
            self._size = int(self._data.Rows), int(self._data.Columns)

    def size(self, page: int = 0) -> tuple[int, int]:
        return self._size

    def deep(self, page: int = 0) -> bool:
        return int(self._data.get("BitsStored", 16) or 16) > 8

    def window(self, window: Window | None = None, page: int = 0) -> Image:
        x0, y0, x1, y1 = self.check_window(window, page)
        self.check_size()
        with decoding(self.path, "a DICOM image"):
            return np.ascontiguousarray(self._shown(self._values(page))[y0:y1, x0:x1])

    @property
    def level(self) -> Level | None:
        """The window that is given or stored; None where neither is."""
        return self._level or _stored(self._data)

    def units(self, page: int = 0) -> NDArray[np.float64]:
        """(H, W) modality units, whichever of them is black."""
        with decoding(self.path, "a DICOM image"):
            return modality_values(self._values(page), self._data)

    def _values(self, page: int) -> NDArray[Any]:
        from pydicom.pixels import pixel_array

        try:
            return np.asarray(pixel_array(self._data, index=page))
        except (RuntimeError, ImportError, NotImplementedError) as error:
            raise MissingExtra(
                f"no decoder for {self.path} ({str(error).splitlines()[0]})",
                "one that pydicom can use",
                "run: pip install pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg",
            ) from error

    def _shown(self, values: NDArray[Any]) -> Image:
        kind = str(self._data.get("PhotometricInterpretation", "MONOCHROME2"))
        if kind == "PALETTE COLOR":
            from pydicom.pixels import apply_color_lut

            values = apply_color_lut(values, self._data)
            values = values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)
        if values.ndim == 3:
            return as_image(values)
        units = modality_values(values, self._data)
        level = self.level
        grey = as_image(units)[..., 0] if level is None else cut(units, level)
        return as_image(255 - grey if kind == "MONOCHROME1" else grey)


def read_dicom(path: str | os.PathLike[str], frame: int = 0, window: Level | None = None) -> Image:
    """One frame of a DICOM file as (H, W, 3) uint8, cut by ``window`` (centre, width). Raises as ``DicomImage``.

    >>> read_dicom("none.dcm")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got none.dcm, which is not there; expected a DICOM file. Check the spelling.
    """
    with DicomImage(Path(path), level=window) as file:
        return file.window(page=frame)


def cut(units: NDArray[np.float64], window: Level) -> NDArray[np.uint8]:
    """Modality values (H, W) -> 0 ... 255 by ``window`` (centre, width), as PS3.3 C.11.2.1.2.1 (LINEAR).

    >>> cut(np.array([[-200.0, 40.0, 300.0]]), (40, 400)).tolist()
    [[0, 128, 255]]
    """
    center, width = window
    if not width >= 1:
        raise InputError(f"a window {width} wide", "a width of 1 or more")
    share = (units - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
    levels: NDArray[np.uint8] = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return levels


def modality_values(values: NDArray[Any], data: Any) -> NDArray[np.float64]:
    """Stored values -> modality units by RescaleSlope and RescaleIntercept (PS3.3 C.11.1.1.2).

    >>> modality_values(np.array([[0, 1000]]), {"RescaleSlope": 1, "RescaleIntercept": -1024}).tolist()
    [[-1024.0, -24.0]]
    """
    slope, intercept = float(data.get("RescaleSlope", 1) or 1), float(data.get("RescaleIntercept", 0) or 0)
    units: NDArray[np.float64] = values.astype(np.float64) * slope + intercept
    return units


def header(path: Path) -> Any:
    """A DICOM file's data without its pixels. Raises as ``DicomImage``."""
    return _opened(path, pixels=False)


def _opened(path: Path, *, pixels: bool = True) -> Any:
    with naming_extras():
        import pydicom
    if not path.is_file():
        raise MissingFile(f"{path}", "a DICOM file", "check the spelling")
    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except Exception as error:  # pydicom raises what its parsers meet
        raise ImageError(f"{path}, which is no DICOM file ({error})", "a DICOM image") from error


def _stored(data: Any) -> Level | None:
    center, width = data.get("WindowCenter"), data.get("WindowWidth")
    if center is None or width is None or center == "" or width == "":
        return None
    first = [float(v[0] if isinstance(v, (list, tuple)) or hasattr(v, "__getitem__") else v) for v in (center, width)]
    return (first[0], first[1]) if first[1] >= 1 else None
