"""Image files by whatever name an annotation gives them."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote

from segue.core.errors import DataError, MissingFile
from segue.core.files import natural_sort_key
from segue.data.io.image import READABLE

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio's mark before the name of an uploaded file


class ImageLocator:
    """Image files of folders: by the path below one of them, or by as much of a path's end as tells them apart.

    ``names`` are those of all the images of the data set: a file that fits another of them as well as the name that is
    looked for is not taken for it.

    >>> ImageLocator(Path("/no/such/folder")).find("a.jpg") is None
    True
    """

    def __init__(self, *folders: Path, names: Iterable[str] = ()) -> None:
        self.folders = folders
        self._all_names = names
        self._others: dict[str, set[PurePosixPath]] | None = None
        self._names: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """The file, or None; names that lead out of the folders are not followed.

        Raises ``DataError`` where several files answer to the name equally well.
        """
        inside = safe_name(name)
        for folder in self.folders:
            if (folder / inside).is_file():
                return folder / inside
        names = [inside, inside.with_name(_UPLOADED.sub("", inside.name))]
        names += [safe_name(unquote(str(one))) for one in names if "%" in str(one)]
        files = (self._by_end(one, inside) for one in dict.fromkeys(names))
        return next((file for file in files if file is not None), None)

    def any_suffix(self, stem: str) -> Path | None:
        """The image of this path without suffix, whatever its suffix."""
        files = (self.find(f"{stem}{suffix}") for suffix in (".jpg", ".png", ".jpeg", *sorted(READABLE)))
        return next((file for file in files if file is not None), None)

    def _by_end(self, name: PurePosixPath, stated: PurePosixPath) -> Path | None:
        """The file that shares most parts from the end on, letters in either case."""
        files = self._by_name().get(name.name.lower(), [])
        shared = [_shared(file, name) for file in files]
        best = [file for file, count in zip(files, shared, strict=True) if count == max(shared)]
        best = [file for file in best if not self._of_another(file, stated, max(shared))]
        for folder in self.folders:
            inside = [file for file in best if file.is_relative_to(folder)]
            inside = inside[:1] if len({file.resolve() for file in inside}) == 1 else inside
            if len(inside) > 1:
                raise DataError(
                    f"the image name {name}, which {len(inside)} files have ({inside[0]}, {inside[1]})",
                    "a path that tells them apart",
                    "write the folder before the name",
                )
            if inside:
                return inside[0]
        return None

    def _of_another(self, file: Path, stated: PurePosixPath, count: int) -> bool:
        """Whether another image of the data set has as good a claim to a file as one that shares ``count`` parts."""
        if self._others is None:
            self._others = {}
            for name in map(safe_name, self._all_names):
                self._others.setdefault(name.name.lower(), set()).add(name)
        others = self._others.get(file.name.lower(), set()) - {stated}
        return any(_shared(file, other) >= count for other in others)

    def _by_name(self) -> dict[str, list[Path]]:
        if self._names is None:
            files = dict.fromkeys(path for folder in self.folders for path in images_below(folder))
            self._names = {}
            for path in files:
                self._names.setdefault(path.name.lower(), []).append(path)
        return self._names


def _shared(a: PurePath, b: PurePath) -> int:
    """How many parts two paths have in common from the end on."""
    ends = zip(str(a).lower().split("/")[::-1], str(b).lower().split("/")[::-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends))


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
    yield from (at / name for at, names in files_below(folder) for name in names if is_image(Path(name)))


def files_below(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its files) of a folder and every folder in it, in natural order; links are followed, but
    not in circles, and hidden files and folders are left out."""
    above: dict[str, frozenset[str]] = {}
    for root, folders, files in os.walk(folder, followlinks=True):
        here, real = above.get(os.path.dirname(root), frozenset()), os.path.realpath(root)
        if real in here:
            folders.clear()
            continue
        above[root] = here | {real}
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural_sort_key)
        yield Path(root), sorted((name for name in files if not name.startswith(".")), key=natural_sort_key)


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image, and not of a hidden file."""
    return path.suffix.lower() in READABLE and not path.name.startswith(".")


def stems(folder: Path) -> dict[str, Path]:
    """Image files of ``folder`` and those in it, by path without suffix. Raises ``MissingFile`` for no folder,
    ``DataError`` for a stem twice."""
    if not folder.is_dir():
        raise MissingFile(f"no folder {folder}", "a folder of images")
    files: dict[str, Path] = {}
    for path in images_below(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in files:
            raise DataError(
                f"{files[stem].name} and {path.name} in {folder}",
                "one file of each stem",
                "rename or remove one of them",
            )
        files[stem] = path
    return files
