"""Large JSON files read element by element, so that a file of any size needs the memory of one element."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from segue.core.errors import DataError, MissingFile
from segue.core.files import read_text

_CHUNK = 1 << 18
_SPACE = " \t\r\n"


class Element(NamedTuple):
    """One element: the ``key`` of its array ('' where the file is an array itself), the ``value``, and its bytes'
    place in the file. A value under a key that is no array has ``listed`` false."""

    key: str
    value: Any
    start: int
    length: int
    listed: bool


def elements(path: Path) -> Iterator[Element]:
    """Every element of the arrays in a JSON object, or of a JSON array, in the file's order; other members of
    the object whole. Raises ``DataError`` for what is no such JSON.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.json")
    ...     _ = file.write_text('{"info": {"v": 1}, "images": [{"id": 1}, {"id": 2}]}')
    ...     [(e.key, e.value, e.listed) for e in elements(file)]
    [('info', {'v': 1}, False), ('images', {'id': 1}, True), ('images', {'id': 2}, True)]
    """
    with open_json(path) as file:
        yield from _Scanner(file, path).elements()


def open_json(path: Path) -> BinaryIO:
    """The bytes of a JSON file as UTF-8; a file in UTF-16 is turned into that in memory. Raises ``MissingFile``."""
    if not path.is_file():
        raise MissingFile(f"{path}", "a JSON file", "check the path")
    file = path.open("rb")
    if b"\0" not in file.read(4):
        file.seek(0)
        return file
    file.close()
    return BytesIO(read_text(path).encode())


def element_at(file: BinaryIO, start: int, length: int) -> Any:
    """Read one element of what ``open_json`` opened again."""
    file.seek(start)
    return json.loads(file.read(length))


class _Scanner:
    """Bytes are looked at as latin-1, so that places in the text are places in the file; values are decoded as
    UTF-8 from their own bytes."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decode = json.JSONDecoder().raw_decode
        self._text, self._at, self._passed = "", 0, 0

    def elements(self) -> Iterator[Element]:
        if self._text == "" and self._more() and self._text.startswith("\xef\xbb\xbf"):
            self._at = 3  # a byte order mark
        first = self._next("[{")
        if first == "[":
            yield from self._array("")
        else:
            yield from self._object()
        if self._peek():
            raise self._wrong("more text after the end")

    def _object(self) -> Iterator[Element]:
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            key, _, _ = self._value()
            if not isinstance(key, str):
                raise self._wrong("a key that is no string")
            self._next(":")
            if self._peek() == "[":
                self._at += 1
                yield from self._array(key)
            else:
                value, start, length = self._value()
                yield Element(key, value, start, length, False)
            if self._next(",}") == "}":
                return

    def _array(self, key: str) -> Iterator[Element]:
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            value, start, length = self._value()
            yield Element(key, value, start, length, True)
            if self._next(",]") == "]":
                return

    def _value(self) -> tuple[Any, int, int]:
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self._wrong(error.msg) from error
                continue
            except (RecursionError, ValueError) as error:
                raise self._wrong(str(error)) from error
            if end == len(self._text) and self._more():
                continue  # a number may go on
            break
        start, at = self._passed + self._at, self._at
        self._at = end
        if not self._text.isascii():
            try:
                value = json.loads(self._text[at:end].encode("latin-1"))
            except ValueError as error:
                raise self._wrong(str(error)) from error
        return value, start, end - at

    def _next(self, expected: str) -> str:
        mark = self._peek()
        if not mark or mark not in expected:
            raise self._wrong(f"{mark!r} where one of {expected!r} belongs")
        self._at += 1
        return mark

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Forget what is passed and read on, twice as far when one element fills the buffer."""
        self._passed += self._at
        rest = self._text[self._at :]
        new = self._file.read(max(_CHUNK, len(rest)))
        self._text, self._at = rest + new.decode("latin-1"), 0
        return bool(new)

    def _wrong(self, what: str) -> DataError:
        place = self._passed + self._at
        return DataError(f"{self._path}, which is no JSON ({what}, byte {place})", "a JSON object or array")
