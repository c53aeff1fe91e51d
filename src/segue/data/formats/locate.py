"""Image files by whatever name an annotation gives them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from segue.core.errors import DataError, MissingFile
from segue.core.files import natural_sort_key
from segue.data.io.image import READABLE

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio's mark before the name of an uploaded file


class ImageLocator:
    """Image files of folders: by the path below one of them, or by as much of a path's end as tells them apart.

    >>> ImageLocator(Path("/no/such/folder")).find("a.jpg") is None
    True
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self._names: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """The file, or None; names that lead out of the folders are not followed.

        Raises ``DataError`` where several files answer to the name equally well.
        """
        inside = safe_name(name)
        for folder in self.folders:
            if (folder / inside).is_file():
                return folder / inside
        plain = inside.with_name(_UPLOADED.sub("", inside.name))
        return self._by_end(inside) or (self._by_end(plain) if plain != inside else None)

    def any_suffix(self, stem: str) -> Path | None:
        """The image of this path without suffix, whatever its suffix."""
        files = (self.find(f"{stem}{suffix}") for suffix in (".jpg", ".png", ".jpeg", *sorted(READABLE)))
        return next((file for file in files if file is not None), None)

    def _by_end(self, name: PurePosixPath) -> Path | None:
        """The file that shares most parts from the end on, letters in either case."""
        wanted = [part.lower() for part in name.parts[::-1]]
        files = self._by_name().get(wanted[0], [])
        shared = [_shared([part.lower() for part in file.parts[::-1]], wanted) for file in files]
        best = [file for file, count in zip(files, shared, strict=True) if count == max(shared)]
        for folder in self.folders:
            inside = [file for file in best if file.is_relative_to(folder)]
            if len(inside) > 1:
                raise DataError(
                    f"the image name {name}, which {len(inside)} files have ({inside[0]}, {inside[1]})",
                    "a path that tells them apart",
                    "write the folder before the name",
                )
            if inside:
                return inside[0]
        return None

    def _by_name(self) -> dict[str, list[Path]]:
        if self._names is None:
            files = dict.fromkeys(path for folder in self.folders for path in images_below(folder))
            self._names = {}
            for path in files:
                self._names.setdefault(path.name.lower(), []).append(path)
        return self._names


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def safe_name(name: str) -> PurePosixPath:
    """A relative path that stays below its folder, whatever another tool wrote.

    >>> str(safe_name("/../../etc/a.jpg")), str(safe_name("C:\\\\photos\\\\a.jpg"))
    ('etc/a.jpg', 'photos/a.jpg')
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..") and part[-1:] != ":"]
    if not parts or "\0" in name:
        raise DataError(f"the image name {name!r}", "the name of a file")
    return PurePosixPath(*parts)


def images_below(folder: Path) -> Iterator[Path]:
    """Image files of ``folder`` and the folders in it, in natural order folder by folder."""
    for root, folders, files in os.walk(folder):
        folders.sort(key=natural_sort_key)
        yield from (Path(root, name) for name in sorted(files, key=natural_sort_key) if is_image(Path(name)))


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image, and not of a hidden file."""
    return path.suffix.lower() in READABLE and not path.name.startswith(".")


def stems(folder: Path) -> dict[str, Path]:
    """Image files of ``folder`` by stem. Raises ``MissingFile`` for no folder, ``DataError`` for a stem twice."""
    if not folder.is_dir():
        raise MissingFile(f"no folder {folder}", "a folder of images")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=natural_sort_key):
        if not is_image(path):
            continue
        if path.stem in files:
            raise DataError(
                f"{files[path.stem].name} and {path.name} in {folder}",
                "one file of each stem",
                "rename or remove one of them",
            )
        files[path.stem] = path
    return files
