"""Masks that a job makes, also as a data set in the format of another tool."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from segue.core.types import Mask


def _writable(name: str) -> str:
    from segue.data.formats.registry import FORMATS, known_name  # SciPy, half a second that one mask does without

    plain = known_name(name)
    if not FORMATS[plain].writes:
        raise ValueError(f"'{name}' is read only; one of: {', '.join(n for n, row in FORMATS.items() if row.writes)}")
    return plain


To: TypeAlias = Annotated[
    str, AfterValidator(_writable), Field(description="Also write a data set of this format: coco, yolo, labelme ...")
]
AddMasks: TypeAlias = Callable[[Path, tuple[int, ...], Iterable[tuple[str, Mask]]], None]


@contextlib.contextmanager
def data_set_writer(folder: Path, to: str | None) -> Iterator[AddMasks]:
    """A function that takes each image's path, size (H, W) and (name, mask) pairs into a data set in ``folder``/``to``;
    without ``to`` it does nothing.

    >>> with data_set_writer(Path("nowhere"), None) as add:
    ...     add(Path("a.png"), (4, 6), [])
    """
    if to is None:
        yield lambda path, size, masks: None
        return
    from segue.data.formats.registry import format_named  # as above
    from segue.data.record import AnnotatedImage, Annotation

    with format_named(to).writer(folder / to) as writer:

        def add(path: Path, size: tuple[int, ...], masks: Iterable[tuple[str, Mask]]) -> None:
            objects = [
                Annotation.from_mask(mask, name, f"{path.stem}#{number}")
                for number, (name, mask) in enumerate(masks, start=1)
                if mask.any()
            ]
            writer.add(AnnotatedImage(path.name, (size[0], size[1]), tuple(objects), path))

        yield add
