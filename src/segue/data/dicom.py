"""DICOM slices as pictures: rescaled, windowed as the file says or as asked (needs the extra ``medical``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError, MissingExtra
from segue.core.types import Image
from segue.data.image import as_image


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its mark, four letters after a preamble of 128 bytes.

    >>> is_dicom(Path(__file__))
    False
    """
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom(
    path: str | os.PathLike[str], window: tuple[float, float] | None = None, max_pixels: int | None = None
) -> Image:
    """Read a DICOM file as (H, W, 3) uint8: the first frame, rescaled to its units, windowed, bright on dark.

    ``window`` is (center, width) in the rescaled units (Hounsfield units for CT); by default the file's first
    window, and without one the stretch of ``as_image`` between percentiles. MONOCHROME1 is inverted.

    Raises ``MissingExtra`` without pydicom and ``ImageError`` for a damaged file, one without pixels, one
    compressed in a way that nothing installed decodes, or one larger than ``max_pixels``.
    Source: DICOM PS3.3, C.11.2.1.2.1 (linear window) and C.7.6.3.1.2 (photometric interpretation).

    >>> read_dicom(__file__)
    Traceback (most recent call last):
    segue.core.errors.ImageError: got ...dicom.py, which is no DICOM file; expected one with the mark DICM
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
        from pydicom.pixels import pixel_array
    except ModuleNotFoundError as error:
        raise MissingExtra.of("pydicom", "medical") from error
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError as error:
        raise ImageError(f"{path}, which is no DICOM file", "one with the mark DICM") from error
    try:
        pixels = int(header.Rows) * int(header.Columns)
        if max_pixels is not None and pixels > max_pixels:
            raise ImageError(f"{path} of {pixels:,} pixels", f"at most {max_pixels:,} pixels")
        frames = int(header.get("NumberOfFrames") or 1)
        values = pixel_array(path, index=0 if frames > 1 else None)
    except ImageError:
        raise
    except Exception as error:  # pydicom's decoders raise whatever the codec at hand raises
        raise ImageError(f"{path}, whose pixels do not decode ({str(error).splitlines()[0]})",
                         "a complete slice in an encoding that is installed",
                         "install pylibjpeg or convert the file to 'explicit little endian'") from error
    if values.ndim == 3:
        return as_image(values)
    return _windowed(values, header, window)


def _windowed(stored: NDArray[Any], header: Any, window: tuple[float, float] | None) -> Image:
    slope, intercept = float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)
    values = stored.astype(np.float64) * slope + intercept
    center, width = window or (_first(header.get("WindowCenter")), _first(header.get("WindowWidth")))
    if center is None or width is None:
        grey = as_image(values)
    else:
        if not width > 0:
            raise ImageError(f"a window of width {width}", "a width greater than 0")
        shade = (values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
        grey = as_image(np.rint(np.clip(shade, 0, 1) * 255).astype(np.uint8))
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    return 255 - grey if inverted else grey


def _first(value: Any) -> float | None:
    """The first of one or several numbers, as DICOM stores windows."""
    if value is None or value == "":
        return None
    return float(value) if isinstance(value, (int, float, str)) else float(value[0])
