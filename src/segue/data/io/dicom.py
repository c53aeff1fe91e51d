"""DICOM images: modality values, window and level, several frames; an extra (pydicom)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError, MissingExtra, MissingFile
from segue.core.types import Image
from segue.data.io.image import MAX_PIXELS, as_image

Level = tuple[float, float]  # centre and width


def read_dicom(path: str | os.PathLike[str], frame: int = 0, window: Level | None = None) -> Image:
    """One frame of a DICOM file as (H, W, 3) uint8.

    Grey values become modality units (Hounsfield in CT) and are cut by ``window`` (centre, width): the one given,
    else the file's first, else the percentile stretch of deep images. MONOCHROME1 is inverted, colour made RGB.

    Raises ``MissingFile``, ``ImageError`` for what is no image, ``InputError`` for a frame that is not there or a
    window without width, ``MissingExtra`` without pydicom or the decoder of its compression.
    Source: DICOM PS3.3 C.11.2.1.2 (window centre and width).

    >>> read_dicom("there-is-no-such.dcm")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got there-is-no-such.dcm; expected a DICOM file. Check the spelling.
    """
    values, data = _frame(path, frame)
    kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if values.ndim == 3:
        return as_image(values.astype(np.uint8) if values.dtype != np.uint8 else values)
    units = modality_values(values, data)
    level = window or _stored(data)
    grey = as_image(units)[..., 0] if level is None else cut(units, level)
    return as_image(255 - grey if kind == "MONOCHROME1" else grey)


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


def frames(path: str | os.PathLike[str]) -> int:
    """How many frames a file holds. Raises as ``read_dicom``."""
    return int(_opened(path).get("NumberOfFrames", 1) or 1)


def _frame(path: str | os.PathLike[str], frame: int) -> tuple[NDArray[Any], Any]:
    data = _opened(path)
    count = int(data.get("NumberOfFrames", 1) or 1)
    if not 0 <= frame < count:
        raise InputError(f"frame {frame} of {path}", f"0 to {count - 1}")
    pixels = int(data.get("Rows", 0) or 0) * int(data.get("Columns", 0) or 0)
    if pixels > MAX_PIXELS:
        raise ImageError(f"{path} of {pixels:,} pixels a frame", f"at most {MAX_PIXELS:,} pixels")
    from pydicom.pixels import pixel_array

    try:
        values = pixel_array(data, index=frame)
    except (RuntimeError, ImportError, NotImplementedError) as error:
        raise MissingExtra(
            f"no decoder for {path} ({str(error).splitlines()[0]})",
            "one that pydicom can use",
            "run: pip install pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg",
        ) from error
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise ImageError(f"{path}, which holds no image that can be read ({error})", "a DICOM image") from error
    return values, data


def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise MissingExtra.for_library("pydicom", "medical") from error
    if not Path(path).is_file():
        raise MissingFile(f"{path}", "a DICOM file", "check the spelling")
    try:
        return pydicom.dcmread(path)
    except (pydicom.errors.InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise ImageError(f"{path}, which is no DICOM file ({error})", "a DICOM image") from error


def _stored(data: Any) -> Level | None:
    center, width = data.get("WindowCenter"), data.get("WindowWidth")
    if center is None or width is None or center == "" or width == "":
        return None
    first = [float(v[0] if isinstance(v, (list, tuple)) or hasattr(v, "__getitem__") else v) for v in (center, width)]
    return (first[0], first[1]) if first[1] >= 1 else None
