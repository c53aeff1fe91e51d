"""What a command prints: a result as a table, without what is not there and with units."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segue.core.files import write_bytes
from segue.session.config import JobResult

console = Console()
UNITS = {"seconds": "s", "area": "pixels", "ms": "ms", "gib": "GiB", "mib": "MiB", "gflops": "GFLOP/s"}


def show_result(result: JobResult) -> None:
    """Every figure of ``result`` on a line of its own."""
    table = Table(show_header=False)
    for name, value in lines(result.to_json() if isinstance(result, JobResult) else result):
        table.add_row(escape(name), escape(value))
    console.print(table)


def show_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with a head."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def print_row(row: Mapping[str, float]) -> None:
    """One line of progress on standard error."""
    print("  ".join(f"{key} {value:g}" for key, value in row.items()), file=sys.stderr, flush=True)


def lines(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of every value; what is not there and lists of objects are left out, but for pairs of texts such as
    a file and what is wrong with it.

    >>> list(lines({"area": 12, "adapter": None, "seconds": {"encode": 0.25}}))
    [('area', '12 pixels'), ('seconds encode', '0.25 s')]
    >>> list(lines({"unreadable": [{"path": "a.jpg", "why": "empty"}], "rows": [{"a": 1}]}))
    [('unreadable', 'a.jpg: empty')]
    """
    for key, value in values.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        rows = value if isinstance(value, list) and value and isinstance(value[0], dict) else []
        if isinstance(value, dict):
            yield from lines(value, f"{name} ")
        elif rows:
            texts = [list(row.values()) for row in rows]
            yield from ((name, ": ".join(pair)) for pair in texts if [type(v) for v in pair] == [str, str])
        elif value is not None and value != []:
            yield name, text_of(value, name)


def text_of(value: Any, name: str) -> str:
    """``value`` in words, with the unit that its ``name`` tells.

    >>> text_of(3_500_000, "bytes"), text_of([32, 48], "size"), text_of(0.5, "hit ratio"), text_of(81.25, "click ms")
    ('3.5 MB', '32 x 48', '0.5', '81.25 ms')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return (" x " if name == "size" else ", ").join(text_of(v, "") for v in value)
    if not isinstance(value, int | float):
        return str(value)
    words = name.split()
    if "bytes" in words:
        return bytes_text(value)
    unit = next((f" {UNITS[word]}" for word in words if word in UNITS and "per" not in words), "")
    return (f"{value:.4g}" if isinstance(value, float) else str(value)) + unit


def bytes_text(count: float) -> str:
    """A number of bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write ``values`` to ``path``; '-' is standard output."""
    text = json.dumps(values, indent=1) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    write_bytes(path, text.encode())
