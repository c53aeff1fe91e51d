"""NumPy: one ``.npz`` an image with ``masks`` (n, H, W) bool and ``names`` (n,); lossless, overlaps included."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.exchange.base import Entry, Exchange, Finder, Loss, Sheet, Writer, lazy_samples, safe_name
from segue.data.exchange.rings import rles_of_labels
from segue.data.rle import Rle
from segue.data.sample import Options, Sample

_STAMP = (1980, 1, 1, 0, 0, 0)  # a file's bytes follow from its masks alone


class ArraysWriter(Writer):
    """``images/`` and ``masks/<name>.npz``, compressed: ``masks``, ``names``, ``file_name`` and, where there is
    any, ``ignore_mask`` (H, W) bool. One mask at a time is in memory."""

    def add(self, sheet: Sheet) -> list[Loss]:
        name = safe_name(sheet.file_name)
        stem = self.sink.free(str(name.with_suffix("")))
        placed = self.place(f"images/{stem}{name.suffix}", sheet)
        if self.sink.folder is None:
            return []
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(zipfile.ZipInfo("masks.npy", _STAMP), "w", force_zip64=True) as member:
                member.write(_header((len(sheet.entries), *sheet.size)))
                for entry in sheet.entries:
                    member.write(entry.rle.mask().tobytes())
            _put(archive, "names", np.array([e.name for e in sheet.entries], np.str_))
            _put(archive, "file_name", np.array(placed.removeprefix("images/")))
            if sheet.ignore_mask is not None:
                _put(archive, "void", sheet.ignore_mask.mask())
        self.sink.put(f"masks/{stem}.npz", buffer.getvalue())
        return []


class Arrays(Exchange):
    """Also reads ``.npy`` and ``.npz`` of others: (n, H, W) masks, or an (H, W) label map.

    >>> Arrays().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "numpy"
    writer_type: ClassVar[type[Writer]] = ArraysWriter

    def detect(self, folder: Path) -> bool:
        return bool(_files(folder))

    def read(self, folder: Path) -> Iterator[Sheet]:
        finder = Finder(folder / "images", folder)
        for file in _files(folder):
            yield _sheet(file, folder, finder)

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        finder = Finder(folder / "images", folder)
        return lazy_samples(_files(folder), lambda p: _stem(p, folder), lambda p: _sheet(p, folder, finder))


def _files(folder: Path) -> list[Path]:
    base = folder / "masks" if (folder / "masks").is_dir() else folder
    return sorted(p for p in base.rglob("*") if p.suffix in (".npz", ".npy") and not p.name.startswith("."))


def _stem(file: Path, folder: Path) -> str:
    base = folder / "masks" if (folder / "masks").is_dir() else folder
    return file.relative_to(base).with_suffix("").as_posix()


def _sheet(file: Path, folder: Path, finder: Finder) -> Sheet:
    expected = "masks (n, H, W) of bool, or labels (H, W) of whole numbers"
    try:
        rles, stored = _read(file)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{file}, which does not read ({error})", expected) from error
    if not rles and "size" not in stored:
        raise DataError(f"{file} without masks", expected)
    names = [str(n) for n in stored.get("names", ())] or [""] * len(rles)
    if len(names) != len(rles):
        raise DataError(f"{len(names)} names for {len(rles)} masks in {file}", "a name for each")
    stem = _stem(file, folder)
    image = finder.find(str(stored["file_name"])) if "file_name" in stored else _beside(stem, finder)
    name = str(stored["file_name"]) if "file_name" in stored else (image.name if image else f"{stem}.png")
    ignore_mask = Rle.from_mask(stored["void"].astype(bool)) if "void" in stored else None
    entries = tuple(Entry(n, rle, str(k)) for k, (n, rle) in enumerate(zip(names, rles, strict=True)))
    return Sheet(str(PurePosixPath(name)), stored["size"], entries, image, ignore_mask)


def _beside(stem: str, finder: Finder) -> Path | None:
    found = (finder.find(f"{stem}{suffix}") for suffix in (".jpg", ".png", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"))
    return next((path for path in found if path is not None), None)


def _read(file: Path) -> tuple[list[Rle], dict[str, Any]]:
    """The masks, one in memory at a time where the file allows it, and the small arrays."""
    if file.suffix == ".npy":
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        return list(_rles(array)), {"size": array.shape[-2:]}
    with zipfile.ZipFile(file) as archive, np.load(file, allow_pickle=False) as content:
        stored: dict[str, Any] = {k: content[k] for k in content.files if k in ("names", "file_name", "void")}
        key = "masks" if "masks" in content.files else "labels" if "labels" in content.files else content.files[0]
        with archive.open(f"{key}.npy") as member:
            version = npy.read_magic(member)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, kind = reader(member)
            stored["size"] = shape[-2:]
            if len(shape) == 3 and kind == np.bool_ and not fortran:
                pixels = shape[1] * shape[2]
                planes = (np.frombuffer(member.read(pixels), np.bool_).reshape(shape[1:]) for _ in range(shape[0]))
                return [Rle.from_mask(plane) for plane in planes], stored
        return list(_rles(content[key])), stored


def _rles(array: NDArray[Any]) -> Iterator[Rle]:
    if array.dtype.kind not in "biu" or array.ndim not in (2, 3):
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype}")
    if array.ndim == 2 and array.dtype != np.bool_:
        yield from (rle for _, rle in rles_of_labels(np.asarray(array, np.int64)))
        return
    planes: Sequence[Mask] = array if array.ndim == 3 else [array]  # type: ignore[assignment]
    yield from (Rle.from_mask(np.asarray(plane) != 0) for plane in planes)


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "|b1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _put(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    buffer = BytesIO()
    npy.write_array(buffer, np.asanyarray(array), allow_pickle=False)
    archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), buffer.getvalue(), zipfile.ZIP_DEFLATED)


FORMAT = Arrays()
