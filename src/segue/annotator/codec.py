"""Masks and prompts as they are stored and sent.

A mask becomes few bytes: row-major runs inside the bounding box, as varints, deflated. The same bytes are stored in the
database, sent to the page and received from its brush, so that no copy of a mask can differ from another. A prompt is
the JSON of ``segue.core.types``, told by its ``type``.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints, Tag, TypeAdapter
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from segue.core.errors import InputError
from segue.core.geometry import mask_box
from segue.core.types import Box, Click, Mask, Text

Integers = NDArray[np.int64]
LONGEST_TEXT = 500  # characters
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


@dataclass(frozen=True)
class Packed:
    """A mask's bounding box (x0, y0, x1, y1; right and bottom exclusive), its ``area`` in pixels, and ``data``.

    ``data`` holds deflated LEB128 varints: the lengths of the runs of the box in row-major order, starting with
    background. An empty mask has the box (0, 0, 0, 0) and no data.
    """

    box: tuple[int, int, int, int]
    area: int
    data: bytes

    @property
    def text(self) -> str:
        """``data`` in base64, for JSON."""
        return base64.b64encode(self.data).decode()


def pack(mask: Mask) -> Packed:
    """Compress ``mask`` (H, W) bool without loss.

    >>> mask = np.zeros((4, 6), bool); mask[1:3, 2:5] = True
    >>> packed = pack(mask)
    >>> packed.box, packed.area, bool((unpack(packed, (4, 6)) == mask).all())
    ((2, 1, 5, 3), 6, True)
    """
    box = mask_box(mask)
    if box is None:
        return Packed((0, 0, 0, 0), 0, b"")
    x0, y0, x1, y1 = box
    flat = np.ascontiguousarray(mask[y0:y1, x0:x1]).reshape(-1)
    edges = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]))
    runs = np.diff(edges)
    if flat[0]:
        runs = np.concatenate(([0], runs))
    return Packed((x0, y0, x1, y1), int(runs[1::2].sum()), zlib.compress(_to_varints(runs).tobytes(), 1))


def unpack(packed: Packed, size: Sequence[int]) -> Mask:
    """The mask (H, W) bool of ``size``.

    Raises ``InputError`` where the box leaves the image or the runs do not fill the box, so that bytes from
    outside can be given to it.

    >>> unpack(Packed((0, 0, 0, 0), 0, b""), (2, 3)).any().item()
    False
    """
    height, width = size
    mask = np.zeros((height, width), bool)
    x0, y0, x1, y1 = packed.box
    if packed.box == (0, 0, 0, 0) and not packed.data:
        return mask
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(f"a mask in the box {packed.box}", f"a box inside the image of {width} x {height} pixels")
    pixels = (x1 - x0) * (y1 - y0)
    runs = _from_varints(_inflate(packed.data, 5 * pixels + 16))
    if int(runs.sum()) != pixels:
        raise InputError(f"runs over {int(runs.sum())} pixels", f"{pixels} pixels, the area of the box {packed.box}")
    values = (np.arange(runs.size) & 1).astype(bool)
    mask[y0:y1, x0:x1] = np.repeat(values, runs).reshape(y1 - y0, x1 - x0)
    return mask


def _inflate(data: bytes, limit: int) -> NDArray[np.uint8]:
    """At most ``limit`` bytes: a small message must not become a large array."""
    machine = zlib.decompressobj()
    try:
        raw = machine.decompress(data, limit)
    except zlib.error as error:
        raise InputError(f"mask data that does not inflate ({error})", "zlib-compressed runs") from error
    if not machine.eof or not raw:
        raise InputError("mask data that is cut off, or longer than its box", "one complete zlib stream")
    return np.frombuffer(raw, np.uint8)


def _to_varints(values: Integers) -> NDArray[np.uint8]:
    lengths = np.ones(values.size, np.int64)
    for k in range(1, 5):
        lengths += values >= 1 << 7 * k
    ends = np.cumsum(lengths)
    starts = ends - lengths
    out = np.zeros(int(ends[-1]), np.uint8)
    for k in range(int(lengths.max())):
        has = lengths > k
        more = (lengths[has] > k + 1).astype(np.int64) << 7
        out[starts[has] + k] = ((values[has] >> 7 * k) & 127) | more
    return out


def _from_varints(raw: NDArray[np.uint8]) -> Integers:
    ends = np.flatnonzero(raw < 128)
    if ends.size == 0 or ends[-1] != raw.size - 1:
        raise InputError("mask data that ends inside a number", "complete varints")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 5:
        raise InputError("a run of more than five bytes", "runs below 2**35 pixels")
    shifts = 7 * (np.arange(raw.size) - np.repeat(starts, lengths))
    values: Integers = np.add.reduceat((raw & 127).astype(np.int64) << shifts, starts)
    return values


@dataclass(frozen=True)
class ObjectLink:
    """The example that a page gives: another object of the project, in any image."""

    object: Key


@dataclass(frozen=True)
class MaskLink:
    """The example that the journal keeps: the image, and the mask that the object had then."""

    image: int
    mask: int


@dataclass(frozen=True)
class _Json:
    """A dataclass as JSON with its ``type``; unknown fields are errors."""

    type: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        known = {"type", *source.__dataclass_fields__}

        def strictly(fields: Any) -> Any:
            if not isinstance(fields, dict):
                return fields
            if not known.issuperset(fields):
                unknown = {"unknown": ", ".join(sorted(map(str, set(fields) - known)))}
                raise PydanticCustomError("extra_forbidden", "it has no {unknown}", unknown)
            if any(isinstance(value, str) and len(value) > LONGEST_TEXT for value in fields.values()):
                raise PydanticCustomError("string_too_long", "at most {most} characters", {"most": LONGEST_TEXT})
            return {name: value for name, value in fields.items() if name != "type"}

        named = core_schema.wrap_serializer_function_ser_schema(
            lambda value, inner: {"type": self.type, **inner(value)}
        )
        return core_schema.no_info_before_validator_function(strictly, handler(source), serialization=named)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler.resolve_ref_schema(handler(schema["schema"]))
        properties = {"type": {"const": self.type, "type": "string"}, **described["properties"]}
        required = ["type", *described.get("required", [])]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _type_of(prompt: Any) -> str | None:
    if isinstance(prompt, dict):
        return prompt.get("type")
    return "example" if isinstance(prompt, ObjectLink | MaskLink) else type(prompt).__name__.lower()


_ClickJson = Annotated[Click, _Json("click"), Tag("click")]
_BoxJson = Annotated[Box, _Json("box"), Tag("box")]
_TextJson = Annotated[Text, _Json("text"), Tag("text")]
SentPrompt = Annotated[
    _ClickJson | _BoxJson | _TextJson | Annotated[ObjectLink, _Json("example"), Tag("example")], Discriminator(_type_of)
]
StoredPrompt = Annotated[
    _ClickJson | _BoxJson | _TextJson | Annotated[MaskLink, _Json("example"), Tag("example")], Discriminator(_type_of)
]
STORED: TypeAdapter[list[list[Click | Box | Text | MaskLink]]] = TypeAdapter(list[list[StoredPrompt]])
