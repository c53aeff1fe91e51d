"""One bad item does not stop a folder: what could not be done is named, and everything else is done."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from segue.core.errors import EXTRAS, MissingExtra, SegueError, StorageError
from segue.core.files import storage_error

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_MEMORY = (  # as PyTorch, oneDNN, ONNX Runtime and OpenCV say it
    *("out of memory", "can't allocate memory", "could not create a primitive", "Failed to allocate memory"),
    *("bad_alloc", "bad allocation", "Insufficient memory"),
)


@dataclass(frozen=True)
class Failure:
    """An ``item`` (a file, an image of a data set) that could not be done, and the ``reason``."""

    item: str
    reason: str


@dataclass
class Failures:
    """What could not be done so far; ``strict`` stops at the first.

    >>> failures = Failures()
    >>> for name in ("a.png", "b.png"):
    ...     with failures.guard(name):
    ...         if name == "a.png":
    ...             raise ValueError("not a picture")
    >>> failures.rows
    [Failure(item='a.png', reason='ValueError: not a picture')]
    """

    strict: bool = False
    rows: list[Failure] = field(default_factory=list)
    _first: Exception | None = None

    @contextlib.contextmanager
    def guard(self, item: str | os.PathLike[str]) -> Iterator[None]:
        """Work on one item: an error in it is noted. A disk that refuses refuses the next item too: that is raised."""
        try:
            yield
        except StorageError:
            raise
        except Exception as error:
            if self.strict or getattr(error, "errno", None) in _FULL:
                raise
            self._first = self._first or error
            self.rows.append(Failure(os.fspath(item), explained(error)))

    def check(self, done: int) -> tuple[Failure, ...]:
        """The failures beside ``done`` items; where nothing is done the first error itself is raised."""
        if self._first is not None and not done:
            raise self._first
        return tuple(self.rows)


def explained(error: BaseException) -> str:
    """An error in one line: what happened, with the file where there is one, and what to do.

    >>> explained(OSError(13, "Permission denied", "a.png"))
    'a.png: Permission denied. Check the disk and the permissions.'
    >>> explained(KeyError("x"))
    "KeyError: 'x'"
    """
    line = " ".join(str(error).split())[:500]
    if isinstance(error, SegueError):
        return str(error)
    if isinstance(error, MemoryError) or any(words in line for words in _NO_MEMORY):
        about = f" ({line})" if line else ""
        return f"not enough memory{about}. Use smaller images, fewer at once, a smaller model or another device."
    if isinstance(error, OSError) and error.errno in _FULL:
        if error.filename is None:
            return f"no way to write: {error.strerror}. Free some space where the output goes."
        return str(storage_error(os.fsdecode(error.filename), error))
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}. Check the disk and the permissions."
    if isinstance(error, UnicodeError):
        return f"text that is no Unicode ({line}). Save the file, or name it, in UTF-8."
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return str(MissingExtra.for_library(error.name))
    if isinstance(error, ModuleNotFoundError):
        return f"no library {error.name}. Run: pip install {error.name}, or segue doctor for what is missing."
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
