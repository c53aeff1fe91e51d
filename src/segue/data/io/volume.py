"""Volumes: NIfTI, NumPy, TIFF stacks and DICOM series, slice by slice along any axis, never whole in memory."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, ImageError, InputError, naming_extras
from segue.core.types import Image, describe
from segue.data.io.dicom import DicomImage, header
from segue.data.io.image_file import decoding
from segue.data.io.pixels import Bounds, as_image, stretch_bounds
from segue.data.io.tiff import TiffImage

SAMPLED = 12  # slices that tell the brightness of a volume
LEAST_SERIES = 2


class Volume(ABC):
    """An opened volume of ``shape`` (slices, rows, columns) and ``spacing`` between those in millimetres (or whatever
    the file counts in); ``affine`` (4, 4) is a NIfTI file's.

    Deep numbers are stretched with one scale for all slices, taken from some of them.
    """

    def __init__(self, path: Path, shape: Sequence[int], spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        if len(shape) != 3 or min(shape) < 1:
            raise ImageError(f"{path} of shape {tuple(shape)}", "a volume of three axes")
        self.path = path
        self.shape = int(shape[0]), int(shape[1]), int(shape[2])
        self.spacing = float(spacing[0]), float(spacing[1]), float(spacing[2])
        self.affine: NDArray[np.float64] | None = None
        self.flipped = (False, False, False)
        self._bounds: Bounds | None = None

    @abstractmethod
    def plane(self, axis: int, index: int) -> NDArray[Any]:
        """The numbers of a slice as stored, (rows, columns) or with colours last."""

    def size(self, axis: int) -> tuple[int, int]:
        """(H, W) of the slices along ``axis``."""
        rows, columns = (a for a in range(3) if a != axis)
        return self.shape[rows], self.shape[columns]

    def cut(self, array: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
        """The slice of an ``array`` of the volume's shape as it is shown: a view, so that masks are written through
        it."""
        return self.seen(array[(slice(None),) * axis + (index,)], axis)

    def seen(self, plane: NDArray[Any], axis: int) -> NDArray[Any]:
        """A stored slice as people expect it: front and head up."""
        rows, columns = (a for a in range(3) if a != axis)
        return plane[:: -1 if self.flipped[rows] else 1, :: -1 if self.flipped[columns] else 1]

    def picture(self, axis: int, index: int) -> Image:
        """(H, W, 3) uint8 of a slice."""
        with decoding(self.path, "a volume whose slices can be read"):
            plane = finite(np.asarray(self.plane(axis, index)))
            shown = self.seen(plane, axis)
            return np.ascontiguousarray(as_image(shown, None if plane.dtype == np.uint8 else self.bounds()))

    def bounds(self) -> Bounds:
        """The numbers that become black and white."""
        if self._bounds is None:
            chosen = sorted({round(k) for k in np.linspace(0, self.shape[0] - 1, SAMPLED)})
            self._bounds = stretch_bounds(np.stack([finite(np.asarray(self.plane(0, k)))[::2, ::2] for k in chosen]))
        return self._bounds

    def close(self) -> None:  # noqa: B027 - what is mapped into memory has nothing to close
        """Close the files."""


def finite(plane: NDArray[Any]) -> NDArray[Any]:
    """Numbers without NaN and infinity, which stand outside the scanned body: 0 in their place.

    >>> finite(np.array([[np.nan, 2.0]])).tolist()
    [[0.0, 2.0]]
    """
    return np.nan_to_num(plane, nan=0, posinf=0, neginf=0) if plane.dtype.kind == "f" else plane


class ArrayVolume(Volume):
    """An array on disk that is mapped into memory."""

    def __init__(self, path: Path, array: Any, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__(path, array.shape[:3], spacing)
        if array.dtype.kind not in "biuf":
            raise ImageError(f"{path} of {array.dtype}", "real numbers")
        self._array = array

    def plane(self, axis: int, index: int) -> NDArray[Any]:
        return np.asarray(self._array[(slice(None),) * axis + (index,)])


class NiftiVolume(Volume):
    """A NIfTI file's first volume; a compressed one is unpacked into a temporary file, so that slices are found."""

    def __init__(self, path: Path) -> None:
        with naming_extras():
            import nibabel
        with decoding(path, "a NIfTI file"):
            file = path
            if path.name.lower().endswith(".gz"):
                file = _unpacked(self, path)
            image: Any = nibabel.load(file)
            shape, zooms = image.shape[:3], image.header.get_zooms()[:3]
        if len(shape) < 3:
            raise ImageError(f"{path} of {len(shape)} axes", "a volume of three")
        super().__init__(path, shape[::-1], [float(z) or 1.0 for z in zooms[::-1]])
        codes = nibabel.aff2axcodes(image.affine)[::-1]
        self.flipped = codes[0] in ("S", "A"), codes[1] in ("S", "A"), codes[2] in ("S", "A")
        self.affine = np.asarray(image.affine, np.float64)
        self._data, self._volumes = image.dataobj, len(image.shape) - 3

    def plane(self, axis: int, index: int) -> NDArray[Any]:
        place: list[Any] = [slice(None)] * 3
        place[2 - axis] = index
        return np.asarray(self._data[(*place, *(0,) * self._volumes)]).T


class TiffVolume(Volume):
    """The pages of a TIFF file; spacing as ImageJ and the resolution tags say."""

    def __init__(self, path: Path) -> None:
        self._file = TiffImage(path)
        super().__init__(path, (self._file.pages, *self._file.size()), self._file.spacing())

    def plane(self, axis: int, index: int) -> NDArray[Any]:
        if axis == 0:
            return self._file.values(page=index)
        _, height, width = self.shape
        window = (0, index, width, index + 1) if axis == 1 else (index, 0, index + 1, height)
        lines = [self._file.values(window, page) for page in range(self.shape[0])]
        return np.stack([line[0] if axis == 1 else line[:, 0] for line in lines])

    def close(self) -> None:
        self._file.close()


class SeriesVolume(Volume):
    """The slices of a DICOM series in the order of their positions, in modality units and the first one's window."""

    def __init__(self, folder: Path) -> None:
        headers = sorted(_headers(folder), key=lambda pair: _position(pair[1]))
        series = {str(data.get("SeriesInstanceUID", "")) for _, data in headers}
        if len(series) > 1:
            raise DataError(
                f"{folder} of {len(series)} DICOM series", "one series a folder", "give each its own folder"
            )
        self._paths = [path for path, _ in headers]
        sizes = {(int(data.Rows), int(data.Columns)) for _, data in headers}
        if len(sizes) > 1:
            raise DataError(f"{folder} of slices of {len(sizes)} sizes", "one size")
        first = headers[0][1]
        rows, columns = (float(v) for v in first.get("PixelSpacing", (1.0, 1.0)))
        apart = [_position(data)[0] for _, data in headers]
        step = float(np.median(np.diff(apart))) or float(first.get("SliceThickness", 1) or 1)
        super().__init__(folder, (len(headers), *next(iter(sizes))), (step, rows, columns))
        with DicomImage(self._paths[0]) as file:
            level = file.level
        low, high = super().bounds() if level is None else (level[0] - level[1] / 2, level[0] + level[1] / 2)
        dark = str(first.get("PhotometricInterpretation", "")) == "MONOCHROME1"  # its high numbers are black
        self._bounds = (high, low) if dark else (low, high)

    def plane(self, axis: int, index: int) -> NDArray[Any]:
        if axis == 0:
            with DicomImage(self._paths[index]) as file:
                return file.units()
        lines = []
        for path in self._paths:
            with DicomImage(path) as file:
                units = file.units()
                lines.append(units[index] if axis == 1 else units[:, index])
        return np.stack(lines)


def is_volume(path: Path) -> bool:
    """Whether a path is a NIfTI file, a NumPy array, or a folder of a DICOM series."""
    name = path.name.lower()
    return is_series(path) if path.is_dir() else name.endswith((".nii", ".nii.gz", ".npy"))


def is_series(folder: Path) -> bool:
    """Whether a folder holds at least two DICOM files and no other picture."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    return len(files) >= LEAST_SERIES and all(path.suffix.lower() == ".dcm" for path in files)


def open_volume(path: Path) -> Volume:
    """Open a volume. Raises ``ImageError`` for a damaged file or other axes than three (and colours), ``DataError`` for
    slices that do not belong together, ``MissingExtra`` without nibabel or pydicom.

    >>> open_volume(Path("none.npy"))
    Traceback (most recent call last):
    segue.core.errors.ImageError: got none.npy, which cannot be read (No such file or directory); expected a NumPy array. Check the disk and the permissions.
    """  # noqa: E501
    name = path.name.lower()
    if path.is_dir():
        return SeriesVolume(path)
    if name.endswith((".nii", ".nii.gz")):
        return NiftiVolume(path)
    if not name.endswith(".npy"):
        return TiffVolume(path)
    with decoding(path, "a NumPy array"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4):
        raise ImageError(describe(array), "(slices, H, W), or with colours last")
    if array.ndim not in (3, 4):
        raise ImageError(f"{path}: {describe(array)}", "(slices, H, W), or with colours last")
    return ArrayVolume(path, array)


def _unpacked(owner: object, path: Path) -> Path:
    """The file without its compression, removed when ``owner`` is gone."""
    folder = tempfile.mkdtemp(prefix="segue-volume-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder, "volume.nii")
    with gzip.open(path) as packed, file.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
    return file


def _headers(folder: Path) -> list[tuple[Path, Any]]:
    found = [(path, header(path)) for path in sorted(folder.glob("*.dcm")) + sorted(folder.glob("*.DCM"))]
    if len(found) < LEAST_SERIES:
        raise InputError(f"{folder} of {len(found)} DICOM files", f"at least {LEAST_SERIES}")
    return found


def _position(data: Any) -> tuple[float, float]:
    """Where a slice lies along the normal of its plane, then its number. Source: DICOM PS3.3 C.7.6.2.1.1."""
    place, directions = data.get("ImagePositionPatient"), data.get("ImageOrientationPatient")
    number = float(data.get("InstanceNumber", 0) or 0)
    if place is None or directions is None:
        return number, number
    normal = np.cross([float(v) for v in directions[:3]], [float(v) for v in directions[3:]])
    return round(float(np.dot(normal, [float(v) for v in place])), 4), number
