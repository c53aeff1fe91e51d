"""Outputs of earlier runs: never overwritten unasked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from segue.core.errors import ConfigError
from segue.data.io.image import WRITABLE

Force: TypeAlias = Annotated[bool, Field(description="Replace what an earlier run left in the output.")]


def _writable(path: Path) -> Path:
    if path.suffix.lower() not in WRITABLE:
        raise ValueError("not a picture format; name it .jpg or .png")
    return path


PictureFile: TypeAlias = Annotated[Path, AfterValidator(_writable)]  # a picture that a job is to write


def claim_output(folder: Path, works: Sequence[str], *, resume: bool | None = None, force: bool = False) -> None:
    """Make sure that a new run may write to ``folder``: none of ``works``, an earlier run's files or folders, is there.

    ``resume`` leaves them for the run to go on from (None where a job cannot), ``force`` deletes them. Raises
    ``ConfigError`` otherwise.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "model").mkdir()
    ...     claim_output(Path(folder), ["model"], force=True)
    ...     Path(folder, "model").exists()
    False
    """
    there = [folder / name for name in works if (folder / name).exists()]
    if there and not resume and not force:
        fix = "--force replaces it" if resume is None else "--resume goes on with it, --force replaces it"
        raise ConfigError(f"{folder}, which holds {there[0].name} of an earlier run", "a folder without one", fix)
    for path in there if force and not resume else []:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A file name for each path: its stem, with its folder where stems repeat.

    >>> unique_names([Path("a/1.jpg"), Path("b/1.jpg"), Path("b/2.jpg")])[Path("b/1.jpg")]
    'b-1'
    """
    stems = [p.stem for p in paths]
    names = {p: p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}-{p.stem}" for p in paths}
    if len(set(names.values())) < len(names):
        names = {p: f"{i:05d}-{p.stem}" for i, p in enumerate(paths)}
    return names
