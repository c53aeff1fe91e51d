"""Files: written whole or not at all, listed in natural order, text in any Unicode encoding, known by their digest."""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from segue.core.errors import DataError, SegueError, StorageError

PathLike = str | os.PathLike[str]

_DIGITS = re.compile(r"([0-9]+)")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_FIXES = {
    errno.ENOSPC: "free some space, or name a place with more",
    errno.EDQUOT: "free some space, or name a place outside the quota",
    errno.EFBIG: "name a file system, or set a limit, that takes larger files",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a file stands where a folder is meant: choose another name",
    errno.EISDIR: "a folder stands there: name a file in it",
}


@contextlib.contextmanager
def replacing(path: PathLike, *, sync: bool = False) -> Iterator[Path]:
    """A hidden path beside ``path`` that takes its place when the block ends: a reader sees the old file or the new.

    Missing folders are made; after an error nothing is left of the new file. ``sync`` forces the content to the
    disk first. Raises ``StorageError`` if the disk refuses. Source: POSIX ``rename``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a/b.txt") as beside:
    ...         _ = beside.write_text("done")
    ...     Path(f"{folder}/a/b.txt").read_text()
    'done'
    """
    target = Path(path)
    beside = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if sync:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(beside, target)
    except SegueError:
        raise
    except OSError as error:
        raise storage_error(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: PathLike, *, sync: bool = False) -> Iterator[BinaryIO]:
    """``replacing`` for a file that grows: it can be written and read, and appears under ``path`` when it is whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, writing(f"{folder}/a.bin") as file:
    ...     file.write(b"abc"), os.path.exists(f"{folder}/a.bin")
    (3, False)
    """
    with replacing(path, sync=sync) as beside:
        file = io.BufferedRandom(_Named(beside, Path(path)))
        try:
            yield file
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk refuses what the buffer still holds
                file.close()
            raise
        file.close()


class _Named(io.FileIO):
    """A new file whose errors name ``target``, whoever writes and whenever the buffer is emptied."""

    def __init__(self, path: Path, target: Path) -> None:
        super().__init__(path, "x+")
        self.target = target

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise storage_error(self.target, error) from error


def write_bytes(path: PathLike, content: bytes, *, sync: bool = True) -> None:
    """Write a whole file or nothing, forced to the disk unless ``sync`` is off. Raises ``StorageError``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(f"{folder}/a/b.txt", b"done")
    ...     Path(f"{folder}/a/b.txt").read_bytes()
    b'done'
    """
    with writing(path, sync=sync) as file:
        file.write(content)


def write_text(path: PathLike, text: str) -> None:
    """``write_bytes`` of ``text`` in UTF-8."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def storage_error(path: PathLike, error: OSError) -> StorageError:
    """What to tell of a write that the disk refused: the file, the reason, and the room that is left.

    >>> print(storage_error("a/b.txt", OSError(errno.ENAMETOOLONG, "File name too long")))
    no way to write a/b.txt: File name too long. Choose a shorter name.
    """
    room = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            place = next(p for p in (Path(path), *Path(path).absolute().parents) if p.is_dir())
            room = f" ({shutil.disk_usage(place).free / 1e6:,.1f} MB free)"
    fix = _FIXES.get(error.errno or 0, "check free space and permissions of the folder")
    return StorageError(f"no way to write {os.fspath(path)}: {error.strerror or error}{room}", "", fix)


def cache_folder(name: str, variable: str = "XDG_CACHE_HOME", place: str = "~/.cache") -> Path:
    """The folder ``name`` for what can be made again: under XDG_CACHE_HOME, else the home's .cache; where neither can
    be written (a container without a home), in the folder for temporary files. ``variable`` and ``place`` name others.

    >>> cache_folder("evaluate").parts[-2:]
    ('segue', 'evaluate')
    """
    for base in filter(os.path.isabs, (os.environ.get(variable, ""), os.path.expanduser(place))):
        folder = Path(base, "segue", name)
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.gettempdir(), f"user-{getattr(os, 'getuid', int)()}", "segue", name)


def natural_sort_key(path: PathLike) -> tuple[list[tuple[int, str]], str]:
    """The order of people: numbers by value, capitals beside small letters; the one order of files, frames and pages.

    >>> sorted(["img10.png", "IMG2.png", "img1.png"], key=natural_sort_key)
    ['img1.png', 'IMG2.png', 'img10.png']
    """
    text = Path(path).as_posix() if isinstance(path, os.PathLike) else path
    pieces = (piece.lstrip("0") if odd % 2 else piece for odd, piece in enumerate(_DIGITS.split(text.lower())))
    return [(len(piece) if odd % 2 else 0, piece) for odd, piece in enumerate(pieces)], text


def natural_sorted(paths: Iterable[Path]) -> list[Path]:
    """``paths`` in the order of ``natural_sort_key``.

    >>> [p.name for p in natural_sorted([Path("10.png"), Path("9.png")])]
    ['9.png', '10.png']
    """
    return sorted(paths, key=natural_sort_key)


def file_digest(path: PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     file_digest(file.name)[:8]
    'e3b0c442'
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def decode_text(content: bytes, name: PathLike = "the text") -> str:
    """Bytes of a text file -> text: by its byte-order mark, else UTF-16 where every other byte is zero, else UTF-8.

    Raises ``DataError`` that names the file for anything else.

    >>> decode_text(codecs.BOM_UTF16_LE + "né".encode("utf-16-le")), decode_text("né".encode("utf-8-sig"))
    ('né', 'né')
    """
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "")
    if not encoding:
        encoding = {b"\0": "utf-16-be"}.get(content[:1], "utf-16-le" if content[1:2] == b"\0" else "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{os.fspath(name)}, whose byte {error.start} is no {encoding.upper()}",
            "text in UTF-8 (or UTF-16 with a byte-order mark)",
            "save it as UTF-8",
        ) from error


def read_text(path: PathLike) -> str:
    """The text of a file in whatever Unicode encoding, without byte-order mark, line ends as they are.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(f"{folder}/a.txt", "5\\u2033 pipe".encode("utf-16"))
    ...     read_text(f"{folder}/a.txt")
    '5″ pipe'
    """
    return decode_text(Path(path).read_bytes(), path)


def read_json(path: PathLike) -> Any:
    """The content of a JSON file. Raises ``DataError`` that names the file and the place for anything else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(f"{folder}/a.json", '{"a": [1]}')
    ...     read_json(f"{folder}/a.json")
    {'a': [1]}
    """
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{os.fspath(path)}, which is no JSON ({error})", "a whole JSON file") from error
