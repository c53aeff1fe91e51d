"""Progress of a long job: a bar with rate and time left on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
SPOKEN_EVERY = 10.0  # seconds


def progress(items: Iterable[T], total: int | None, name: str, unit: str = "images", before: int = 0) -> Iterator[T]:
    """``items`` as they are, of ``total`` (None where that is not known), of which ``before`` were done earlier;
    standard error shows how far they are.

    >>> list(progress([1, 2], 2, "find"))
    [1, 2]
    """
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    terminal = sys.stderr.isatty()
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not terminal, transient=True)
    started = spoken = time.monotonic()
    with bar:
        task = bar.add_task(name, total=total, completed=before, rate="")
        for count, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            rate = count / max(1e-9, now - started)
            bar.update(task, advance=1, rate=f"{rate:.2f} {unit}/s")
            if not terminal and now - spoken >= SPOKEN_EVERY:
                spoken = now
                left = "" if total is None else f" of {total}, {(total - before - count) / rate:.0f} s left"
                print(f"{name}: {before + count}{left}, {rate:.2f} {unit}/s", file=sys.stderr, flush=True)
