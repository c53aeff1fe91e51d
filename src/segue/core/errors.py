"""segue's one tree of errors.

Each is also the Python builtin a caller would expect, and each message answers three questions:
what arrived, what was expected, and how to fix it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

EXTRAS = {  # library that segue does without where it can -> the extra that brings it
    "accelerate": "torch",
    "av": "video",
    "huggingface_hub": "torch",
    "imagecodecs": "tiff",
    "matplotlib": "plots",
    "nibabel": "medical",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "peft": "torch",
    "pillow_heif": "heif",
    "psycopg": "postgres",
    "pydicom": "medical",
    "ray": "ray",
    "scipy": "matlab",
    "timm": "edgetam",
    "torch": "torch",
    "transformers": "torch",
}


class SegueError(Exception):
    """Root of every error that segue raises on purpose; the command line turns it into exit status 1.

    Source: house rule 8 of the design. Arguments are strings; coordinates are in pixels.

    >>> raise InputError("a click at (900, 10)", "0 <= x < 640", "click inside the image")
    Traceback (most recent call last):
    segue.core.errors.InputError: got a click at (900, 10); expected 0 <= x < 640. Click inside the image.
    """

    def __init__(self, arrived: str, expected: str = "", fix: str = "") -> None:
        self.arrived, self.expected, self.fix = arrived, expected, fix
        message = f"got {arrived}; expected {expected}" if expected else arrived
        hint = f". {fix[0].upper()}{fix[1:]}{'' if fix.endswith(('.', '?')) else '.'}" if fix else ""
        super().__init__(message.rstrip(".") + hint)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[SegueError], tuple[str, str, str]]:
        return type(self), (self.arrived, self.expected, self.fix)


class InputError(SegueError, ValueError):
    """A value is wrong: a click outside the image, a NaN box, an empty mask."""


class ImageError(InputError):
    """A file is no image segue can read, or an array has the wrong shape, mode or type."""


class DataError(InputError):
    """A data set is not laid out as its format says."""


class ConfigError(InputError):
    """A configuration does not validate."""


class CheckpointError(InputError):
    """Weights do not belong to this model, or a checkpoint is damaged."""


class UnknownName(SegueError, LookupError):
    """A registry has no row of this name; the message suggests the nearest."""


class MissingFile(SegueError, FileNotFoundError):
    """A file or folder is not there, and the message says so.

    >>> raise MissingFile("photos/", "a folder of images", "check the spelling")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got photos/, which is not there; expected a folder of images. Check the spelling.
    """

    def __init__(self, arrived: str, expected: str = "", fix: str = "") -> None:
        told = arrived.startswith("no ") or ", which is " in arrived or not expected
        super().__init__(arrived if told else f"{arrived}, which is not there", expected, fix)


class MissingExtra(SegueError, ImportError):
    """An optional library is not installed."""

    @classmethod
    def for_library(cls, library: str, extra: str = "") -> MissingExtra:
        """The error for a missing ``library`` that ``pip install 'segue[extra]'`` brings.

        >>> MissingExtra.for_library("torch")
        MissingExtra("got no library torch; expected ... (extra 'torch'). Run: pip install 'segue[torch]'.")
        """
        extra = extra or EXTRAS[library]
        return cls(
            f"no library {library}",
            f"it to be installed for this job (extra '{extra}')",
            f"run: pip install 'segue[{extra}]'",
        )


@contextlib.contextmanager
def naming_extras() -> Iterator[None]:
    """Turn an import that lacks one of ``EXTRAS``'s libraries into a ``MissingExtra`` that says how to get it.

    >>> with naming_extras():
    ...     raise ModuleNotFoundError("No module named 'ray'", name="ray")
    Traceback (most recent call last):
    segue.core.errors.MissingExtra: got no library ray; ... Run: pip install 'segue[ray]'.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise MissingExtra.for_library(library) from error


class StorageError(SegueError, OSError):
    """Writing failed (disk full, no permission); what was saved before is intact."""


class DownloadError(SegueError, ConnectionError):
    """Weights could not be fetched; the message names the file and the folder to place it in."""
