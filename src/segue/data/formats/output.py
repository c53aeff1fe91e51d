"""The folder that writers put their files in: whole files only, or nowhere for a dry run."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from segue.core.errors import SegueError
from segue.core.files import replacing, write_bytes, writing
from segue.core.types import Image
from segue.data.io.image import open_image, read_image, write_image
from segue.data.io.signature import SUFFIXES_OF


class OutputFolder:
    """Files below ``folder``; with None every call answers the same and nothing is written.

    >>> OutputFolder(None).put("a/b.txt", b"nothing happens")
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._taken: dict[str, int] = {}
        self._names: set[str] = set()
        self._open: list[tuple[BinaryIO, contextlib.ExitStack]] = []

    def put(self, name: str, content: bytes) -> None:
        """Write one whole file. Raises ``StorageError`` if the disk refuses.

        It is not forced to the disk: a conversion can be repeated, and forcing each of 100,000 files takes hours.
        """
        if self.folder is not None:
            write_bytes(self.folder / name, content, sync=False)

    def stream(self, name: str) -> BinaryIO:
        """A file that grows and appears under its name only when ``keep`` is called."""
        if self.folder is None:
            return _Nothing()
        stream = contextlib.ExitStack()
        file = stream.enter_context(writing(self.folder / name, sync=True))
        self._open.append((file, stream))
        return file

    def keep(self, file: BinaryIO) -> None:
        """Finish a stream: everything on disk, then under its name."""
        for mine, stream in self._open:
            if mine is file:
                stream.close()
        self._open = [row for row in self._open if row[0] is not file]

    def move(self, source: BinaryIO, target: BinaryIO) -> None:
        """Append everything in one stream to another."""
        source.seek(0)
        shutil.copyfileobj(source, target, 1 << 20)

    def close(self) -> None:
        """Give up streams that were not kept."""
        for _, stream in self._open:
            with contextlib.suppress(_GivenUp):
                stream.__exit__(_GivenUp, _GivenUp(), None)
        self._open = []

    def free(self, stem: str) -> str:
        """``stem``, or ``stem_2``, ... where an image of this name was placed before (a.jpg and a.png)."""
        count = self._taken.get(stem, 0) + 1
        self._taken[stem] = count
        return stem if count == 1 else self.free(f"{stem}_{count}")

    def _unique(self, name: str) -> str:
        """``name``, or with its stem counted on where an image was placed under it before."""
        path, count = PurePosixPath(name), 1
        while name in self._names:
            count += 1
            name = str(path.with_stem(f"{path.stem}_{count}"))
        self._names.add(name)
        return name

    def image(self, name: str, file: Path | None, pixels: Callable[[], Image] | None, how: str) -> str:
        """Place an image below the folder under ``name`` and return the name it got.

        Every image gets a name of its own. A file is copied (or linked) byte by byte; one that its orientation
        turns, or whose suffix says another format than it is, is written upright as PNG. A photo that is left out, or
        is not there, keeps its name.
        """
        if how == "none" or (file is None and pixels is None):
            return self._unique(name)
        if file is not None and _as_it_is(file):
            name = self._unique(str(PurePosixPath(name).with_suffix(file.suffix)))
            if self.folder is not None:
                _copy(file, self.folder / name, link=how == "link")
            return name
        name = self._unique(str(PurePosixPath(name).with_suffix(".png")))
        read = pixels if file is None else partial(read_image, file)
        if self.folder is not None and read is not None:
            write_image(self.folder / name, read())
        return name


class _GivenUp(Exception):
    """Ends a stream that nobody kept."""


class _Nothing(BytesIO):
    """A stream of a dry run."""

    def write(self, content: object) -> int:
        return 0


def _as_it_is(file: Path) -> bool:
    """Whether other readers see a photo's bytes as this one does: upright, and of the format that the suffix says."""
    try:
        with open_image(file) as image:
            return image.orientation == 1 and file.suffix.lower() in SUFFIXES_OF.get(image.kind, ())
    except SegueError:
        return True  # a damaged file is carried over as it is; its reader will name it


def _copy(source: Path, target: Path, link: bool) -> None:
    if target.exists() and target.samefile(source):
        return
    with replacing(target) as beside:
        if link:
            try:
                os.link(source, beside)
                return
            except OSError:  # another file system
                pass
        shutil.copyfile(source, beside)
