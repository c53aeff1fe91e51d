"""Prompts as a configuration says them, and tables of them for many objects in many images."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from segue.core.errors import ConfigError, DataError, MissingFile
from segue.core.files import read_json
from segue.core.types import Box, Click, Prompt, Text
from segue.session.config import Corners, JobConfig, Points

COLUMNS = ("image", "object", "x", "y", "positive", "x0", "y0", "x1", "y1", "text")
NO = ("0", "false", "no", "negative", "background", "-")


class PromptFields(JobConfig):
    """What says where an object is; coordinates are original-image pixels, x to the right and y down."""

    click: Annotated[Points, Field(description="A pixel on the object; repeatable.")] = ()
    background_click: Annotated[Points, Field(description="A pixel off the object; repeatable.")] = ()
    box: Annotated[Corners | None, Field(description="A rectangle around the object.")] = None
    text: Annotated[str | None, Field(description="What to segment, in words.")] = None

    def prompts(self) -> list[Prompt]:
        """Box and text first, then the clicks that correct them. Raises ``ConfigError`` without a prompt."""
        prompts: list[Prompt] = [Box(*self.box)] if self.box is not None else []
        prompts += [Text(self.text)] if self.text is not None else []
        prompts += [Click(x, y) for x, y in self.click]
        if self.background_click and not prompts:
            raise ConfigError(
                "background clicks alone", "something that says where the object is", "add for instance --click X,Y"
            )
        prompts += [Click(x, y, positive=False) for x, y in self.background_click]
        if not prompts:
            raise ConfigError("no prompt", "a click, a box or a text", "add for instance --click X,Y")
        return prompts


class PromptRow(PromptFields):
    """One object of one image in a table of prompts; rows of an image without an ``object`` are one object."""

    image: Path
    object: str = ""


def read_prompts(path: Path) -> dict[Path, dict[str, list[Prompt]]]:
    """Image -> object -> prompts, in the order of the file: CSV, JSON (a list) or JSON lines.

    A row of CSV is one click (x, y, positive), box (x0, y0, x1, y1) or text; rows of one image and object belong
    together. A row of JSON is an object with the options' names (``click``, ``background_click``, ``box``, ``text``).
    Images are found from the file's folder. Raises ``MissingFile`` or ``DataError`` that names the row.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "prompts.csv")
    ...     _ = file.write_text("image,x,y,positive\\na.jpg,3,4,1\\na.jpg,9,9,0\\n")
    ...     list(read_prompts(file).values())
    [{'': [Click(x=3.0, y=4.0, positive=True), Click(x=9.0, y=9.0, positive=False)]}]
    """
    if not path.is_file():
        raise MissingFile(f"no file {path}", "prompts as CSV, JSON or JSON lines", "check the spelling")
    found: dict[Path, dict[str, list[PromptRow]]] = {}
    for place, values in _rows(path):
        try:
            row = PromptRow.from_fields(**values)
        except ConfigError as error:
            raise DataError(f"{path}, {place}: {error}") from error
        image = row.image if row.image.is_absolute() else path.parent / row.image
        found.setdefault(image, {}).setdefault(row.object, []).append(row)
    if not found:
        raise DataError(f"{path} without a row", "a row for every object or click")
    return {image: {name: _together(rows) for name, rows in objects.items()} for image, objects in found.items()}


def _together(rows: list[PromptRow]) -> list[Prompt]:
    """The prompts of one object: those that say where it is before the clicks off it."""
    last = {name: value for row in rows for name in ("box", "text") if (value := getattr(row, name)) is not None}
    clicks = {name: tuple(p for row in rows for p in getattr(row, name)) for name in ("click", "background_click")}
    return PromptFields(**last, **clicks).prompts()


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, fields) of every row."""
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
            if unknown or "image" not in (reader.fieldnames or ()):
                arrived = f"the column '{unknown[0]}' in {path}" if unknown else f"{path} without a column 'image'"
                raise DataError(arrived, f"columns out of: {', '.join(COLUMNS)}", "name them in the first line")
            for values in reader:
                yield f"line {reader.line_num}", _fields_of_line(values)
        return
    if path.suffix.lower() == ".jsonl":
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                yield _object(path, f"line {number}", _parsed(path, number, line))
        return
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}, which is no list", "a list of rows with image and click, box or text")
    for number, row in enumerate(rows, start=1):
        yield _object(path, f"row {number}", row)


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}, which is no JSON ({error.msg})", "one object on every line") from error


def _object(path: Path, place: str, row: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(row, dict):
        raise DataError(f"{path}, {place}: {row!r}", "an object with image and click, box or text")
    clicks = {k: [row[k]] for k in ("click", "background_click") if isinstance(row.get(k), list) and _is_point(row[k])}
    return place, {**row, **clicks, **({"object": str(row["object"])} if "object" in row else {})}


def _is_point(value: list[Any]) -> bool:
    return len(value) == 2 and not any(isinstance(part, list) for part in value)


def _fields_of_line(values: Mapping[str, str | None]) -> dict[str, Any]:
    """A line of CSV with the names that JSON has."""
    given = {name: value.strip() for name, value in values.items() if value and value.strip()}
    fields: dict[str, Any] = {name: given[name] for name in ("image", "object", "text") if name in given}
    if "x" in given or "y" in given:
        side = "background_click" if given.get("positive", "1").lower() in NO else "click"
        fields[side] = [(given.get("x"), given.get("y"))]
    if any(name in given for name in ("x0", "y0", "x1", "y1")):
        fields["box"] = tuple(given.get(name) for name in ("x0", "y0", "x1", "y1"))
    return fields
