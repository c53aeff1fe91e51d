"""Where the images, or the tracks' shapes, of a CVAT file stand: three numbers each, whatever the file's size."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

from segue.core.errors import DataError
from segue.core.files import natural_sort_key
from segue.data.formats.locate import images_below
from segue.data.record import Loss

_CHUNK = 1 << 18


class XmlIndex:
    """``images``: (name, start, length); ``shapes`` of tracks by frame, those outside left out: (track, start,
    length); ``tracks``: their attributes; ``meta``: that element; ``losses``: frames that a track says nothing of.

    Raises ``DataError`` for what is no XML, or XML with entities of its own.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.images: list[tuple[str, int, int]] = []
        self.shapes: dict[int, list[tuple[int, int, int]]] = {}
        self.tracks: list[Mapping[str, str]] = []
        self.meta: ET.Element | None = None
        self.losses: list[Loss] = []
        self._encoding: str | None = None
        self._depth = 0
        self._open: list[tuple[str, int, Mapping[str, str]]] = []  # an element of the root, and one inside it
        self._last: tuple[int, bool] | None = None  # the track's frame before, and whether an object is in it
        parser = expat.ParserCreate()
        parser.StartElementHandler = lambda name, attributes: self._start(name, attributes, parser.CurrentByteIndex)
        parser.EndElementHandler = lambda name: self._end(parser.CurrentByteIndex)
        parser.EntityDeclHandler = self._entity
        parser.XmlDeclHandler = self._declared
        try:
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    parser.Parse(chunk, False)
                parser.Parse(b"", True)
        except (expat.ExpatError, ET.ParseError, LookupError) as error:
            raise DataError(f"{file}, which is no XML ({error})", "CVAT 1.1 for images or for video") from error

    def element(self, start: int, length: int) -> ET.Element:
        """Read one element again."""
        with self.file.open("rb") as stream:
            stream.seek(start)
            return ET.fromstring(stream.read(length), ET.XMLParser(encoding=self._encoding))

    def _start(self, name: str, attributes: Mapping[str, str], at: int) -> None:
        self._close(self._depth, at)
        if self._depth in (1, 2):
            self._open.append((name, at, attributes))
        if self._depth == 1 and name == "track":
            self.tracks.append(attributes)
            self._last = None
        self._depth += 1

    def _end(self, at: int) -> None:
        self._close(self._depth, at)
        self._depth -= 1

    def _close(self, depth: int, at: int) -> None:
        """An element ends where the next one at its depth begins, or where its parent ends."""
        while depth and len(self._open) >= depth:
            name, start, attributes = self._open.pop()
            if self._open:
                if self._open[0][0] == "track":
                    self._add_shape(name, attributes, start, at - start)
            elif name == "image":
                if "name" not in attributes:
                    raise DataError(f"an image without name in {self.file}", "<image name=...>")
                self.images.append((attributes["name"], start, at - start))
            elif name == "meta" and self.meta is None:
                self.meta = self.element(start, at - start)

    def _add_shape(self, name: str, attributes: Mapping[str, str], start: int, length: int) -> None:
        number = len(self.tracks) - 1
        try:
            frame = int(attributes["frame"])
        except (KeyError, ValueError) as error:
            raise DataError(f"a {name} without frame in track {number} of {self.file}", "a frame number") from error
        live = attributes.get("outside") != "1"
        if self._last is not None and self._last[1] and frame - self._last[0] > 1:
            between = f"frames {self._last[0] + 1} to {frame - 1} between two key frames left out"
            id = self.tracks[number].get("id", number)
            self.losses.append(Loss("", between, f"track {id}", file=self.file.name))
        self._last = frame, live
        if live:
            self.shapes.setdefault(frame, []).append((number, start, length))

    def _entity(self, *declaration: object) -> None:
        raise DataError(f"{self.file}, which declares entities of its own", "plain XML, as CVAT writes it")

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        self._encoding = encoding


def frame_files(folder: Path, index: XmlIndex) -> dict[int, Path | None]:
    """The image file of every frame of a video: by its place in natural order where there are as many as frames, else
    by the number at the end of its name; None for a frame with objects whose image is not there."""
    at = folder / "images" if (folder / "images").is_dir() else folder
    images = sorted(images_below(at), key=lambda path: natural_sort_key(str(path)))
    text = (index.meta.findtext(".//size") if index.meta is not None else "") or ""
    size = int(text) if text.isdigit() else 0
    numbers = [re.search(r"(\d+)$", path.stem) for path in images]
    by_number = {int(number[1]): path for number, path in zip(numbers, images, strict=True) if number}
    files: dict[int, Path] = {}
    if size == len(images) and all(number < size for number in index.shapes):
        files = dict(enumerate(images))
    elif len(by_number) == len(images) and set(index.shapes) & set(by_number):
        files = by_number
    elif size == 0:
        files = dict(enumerate(images))
    return {number: files.get(number) for number in sorted({*index.shapes, *files})}
