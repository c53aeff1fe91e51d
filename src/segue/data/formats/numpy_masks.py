"""NumPy: one ``.npz`` an image with ``masks`` (n, H, W) bool and ``names`` (n,); lossless, overlaps included."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.data.formats.base import Format, Writer, no_split
from segue.data.formats.locate import ImageLocator, safe_name
from segue.data.formats.signs import Listing
from segue.data.photo_size import photo_size
from segue.data.rasterize import rles_of_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle

_STAMP = (1980, 1, 1, 0, 0, 0)  # a file's bytes follow from its masks alone
_KNOWN = ("names", "file_name", "void")


class NumpyWriter(Writer):
    """``images/`` and ``masks/<name>.npz``, compressed: ``masks``, ``names``, ``file_name`` and, where there is
    any, ``void`` (H, W) bool. One mask at a time is in memory."""

    def add(self, image: AnnotatedImage) -> list[Loss]:
        name = safe_name(image.file_name)
        stem = self.output.free(str(name.with_suffix("")))
        placed = self.place(f"images/{stem}{name.suffix}", image)
        if self.output.folder is None:
            return []
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(zipfile.ZipInfo("masks.npy", _STAMP), "w", force_zip64=True) as member:
                member.write(_header((len(image.annotations), *image.size)))
                for annotation in image.annotations:
                    member.write(annotation.mask.tobytes())
            _put(archive, "names", np.array([a.name for a in image.annotations], np.str_))
            _put(archive, "file_name", np.array(placed.removeprefix("images/")))
            if image.ignore_rle is not None:
                _put(archive, "void", image.ignore_rle.mask())
        self.output.put(f"masks/{stem}.npz", buffer.getvalue())
        return []


class NumpyMasks(Format):
    """Also reads ``.npy`` and ``.npz`` of others: (n, H, W) or (H, W, n) masks, told apart by the photo's size, or an
    (H, W) label map."""

    name = "numpy"
    writer_type = NumpyWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        no_split(options, self.name)
        base = folder / "masks" if (folder / "masks").is_dir() else folder
        files = [file for file in Listing(folder).files(".npz", ".npy") if file.is_relative_to(base)]
        locator = ImageLocator(*options.places(folder / "images", folder))
        stems = [file.relative_to(base).with_suffix("").as_posix() for file in files]
        samples = Samples(stems, lambda index: _annotated(files[index], stems[index], locator))
        return DataSet(self.name, folder, samples)


def _annotated(file: Path, stem: str, locator: ImageLocator) -> AnnotatedImage:
    expected = "masks (n, H, W) of bool, or labels (H, W) of whole numbers"
    try:
        stored = _small_arrays(file)
        image = locator.find(str(stored["file_name"])) if "file_name" in stored else locator.any_suffix(stem)
        rles, size = _masks(file, None if image is None else photo_size(image))
        names = [str(n) for n in stored.get("names", ())] or [""] * len(rles)
        ignore_rle = Rle.from_mask(stored["void"].astype(bool)) if "void" in stored else None
    except (
        ValueError,
        OSError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        IndexError,
        NotImplementedError,
    ) as error:
        raise DataError(f"{file}, which does not read ({error})", expected) from error
    if len(names) != len(rles):
        raise DataError(f"{len(names)} names for {len(rles)} masks in {file}", "a name for each")
    name = str(stored["file_name"]) if "file_name" in stored else (image.name if image else f"{stem}.png")
    annotations = tuple(
        Annotation(n, rle, f"{stem}#{k}") for k, (n, rle) in enumerate(zip(names, rles, strict=True), start=1)
    )
    what = "array left out, as another one holds the masks"
    losses = tuple(Loss(name, what, array, file=file.name) for array in stored.get("others", ()))
    return AnnotatedImage(name, size, annotations, image, ignore_rle, losses)


def _small_arrays(file: Path) -> dict[str, Any]:
    """What an ``.npz`` holds beside the masks, and the names of ``others`` that nobody reads."""
    if file.suffix == ".npy":
        return {}
    with np.load(file, allow_pickle=False) as content:
        others = [k for k in content.files if k not in (*_KNOWN, _key(content.files))]
        return {k: content[k] for k in content.files if k in _KNOWN} | {"others": others}


def _key(names: list[str]) -> str:
    """Which array of an ``.npz`` holds the masks."""
    if not names:
        raise ValueError("no array")
    return next((key for key in ("masks", "labels") if key in names), names[0])


def _masks(file: Path, photo: tuple[int, int] | None) -> tuple[list[Rle], tuple[int, int]]:
    """The masks, one in memory at a time where the file allows it, and their size."""
    if file.suffix == ".npy":
        return _of_array(np.load(file, mmap_mode="r", allow_pickle=False), photo)
    with zipfile.ZipFile(file) as archive, np.load(file, allow_pickle=False) as content:
        key = _key(content.files)
        with archive.open(f"{key}.npy") as member:
            version = npy.read_magic(member)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, kind = reader(member)
            if len(shape) == 3 and kind == np.bool_ and not fortran and shape[:2] != photo:
                pixels = shape[1] * shape[2]
                planes = (np.frombuffer(member.read(pixels), np.bool_).reshape(shape[1:]) for _ in range(shape[0]))
                return [Rle.from_mask(plane) for plane in planes], (shape[1], shape[2])
        return _of_array(content[key], photo)


def _of_array(array: NDArray[Any], photo: tuple[int, int] | None) -> tuple[list[Rle], tuple[int, int]]:
    if array.ndim == 3 and array.shape[:2] == photo and array.shape[1:] != photo:
        array = np.moveaxis(array, -1, 0)
    if array.dtype.kind not in "biu" or array.ndim not in (2, 3) or not array.shape[-1] or not array.shape[-2]:
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype}")
    size = int(array.shape[-2]), int(array.shape[-1])
    if array.ndim == 2 and array.dtype != np.bool_:
        return [rle for _, rle in rles_of_labels(np.asarray(array, np.int64))], size
    return [Rle.from_mask(plane) for plane in _planes(array)], size


def _planes(array: NDArray[Any]) -> Iterator[NDArray[np.bool_]]:
    for plane in array if array.ndim == 3 else [array]:
        yield np.asarray(plane) != 0


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "|b1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _put(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    buffer = BytesIO()
    npy.write_array(buffer, np.asanyarray(array), allow_pickle=False)
    archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), buffer.getvalue(), zipfile.ZIP_DEFLATED)
