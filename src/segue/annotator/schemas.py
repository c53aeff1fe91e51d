"""What the page and the server say to each other; the OpenAPI document is generated from these models."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from segue.annotator.codec import Key
from segue.core.errors import InputError

LONGEST_NAME = 80  # characters of a class name
LONGEST_VALUE = 500  # characters of an attribute
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_NAME, strip_whitespace=True, pattern=r"^[^\x00-\x1f]+$")
]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]
Value: TypeAlias = str | float | bool
Policy = Literal["allow", "new", "old"]
Verdict = Literal["", "approved", "returned"]
Mark = Literal["", "key", "propagated", "gone", "back"]
MARK: TypeAdapter[Mark] = TypeAdapter(Mark)
Kind = Literal["", "video", "frames", "stack"]
KIND: TypeAdapter[Kind] = TypeAdapter(Kind)
State = Literal["new", "started", "accepted", "skipped"]
Ids = Annotated[int, Field(ge=1, le=2**31 - 1)]
Head = Annotated[int, Field(ge=0, le=2**31 - 1)]
Frame = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class FromRow(BaseModel):
    """A message whose fields are read from a row of the database."""

    model_config = ConfigDict(from_attributes=True)


class Strict(BaseModel):
    """A message whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class MaskOut(BaseModel):
    """A stored mask; ``id`` never changes its meaning, so a page may keep it."""

    id: int
    box: tuple[int, int, int, int]
    area: int
    data: str


class ObjectOut(FromRow):
    """An object; ``mask`` is left out when the page already has it. ``mark``: what it is in a clip's frame."""

    id: str
    label: Annotated[int | None, Field(validation_alias=AliasChoices("label_id", "label"))]
    locked: bool
    hidden: bool
    mask_id: int | None
    mask: MaskOut | None = None
    prompts: list[Any]
    attributes: dict[str, Any] = Field(default_factory=dict)
    origin: str
    score: float
    clicks: int
    strokes: int
    seconds: float
    mark: Mark = ""


class Preview(BaseModel):
    """A mask that is not saved."""

    box: tuple[int, int, int, int]
    area: int
    data: str


class Early(Preview):
    """The model's mask for ``object`` before it is saved; the outcome follows in the same answer without it."""

    object: str


class Milliseconds(BaseModel):
    """Where the time of an action went on the server."""

    wait: float = 0.0
    model: float = 0.0
    save: float = 0.0


class Outcome(BaseModel):
    """What an action changed, after it was saved as journal entry ``head``; of a clip as it is in ``frame``."""

    head: int
    state: State
    can_undo: bool
    can_redo: bool
    order: list[str]
    changed: list[ObjectOut]
    removed: list[str]
    findings: list[FindingOut] | None = None
    review: Verdict = ""
    tags: dict[str, Any] = Field(default_factory=dict)
    comments: list[CommentOut] | None = None
    frame: int | None = None
    took: Milliseconds


class ImageLine(FromRow):
    """An image in the list."""

    id: int
    path: str
    state: State
    objects: int
    head: int
    problem: str = ""
    review: Verdict = ""
    holder: str | None = None


class ImagePage(BaseModel):
    """Part of the list: ``total`` images match, these begin at ``offset``."""

    total: int
    offset: int
    images: list[ImageLine]


class ImageOut(BaseModel):
    """One image and everything drawn on it, bottom object first; of a clip, which has ``frames``, in one ``frame``;
    ``axis`` is that of a stack's slices, ``kind`` and ``rate`` (frames a second) say how it is played, ``spacing`` what
    lies between slices, rows and columns."""

    id: int
    path: str
    width: int
    height: int
    shown: str
    stamp: str
    replaced: bool
    state: State
    head: int
    can_undo: bool
    can_redo: bool
    mine: bool
    holder: str | None
    objects: list[ObjectOut]
    findings: list[FindingOut]
    review: Verdict
    tags: dict[str, Any]
    comments: list[CommentOut]
    frames: int = 0
    frame: int = 0
    axis: int = 0
    kind: Kind = ""
    rate: float = 0.0
    spacing: tuple[float, float, float] | None = None


class CommentOut(FromRow):
    """What somebody said about an image, a place or an object of it."""

    id: str
    object: Annotated[str | None, Field(validation_alias=AliasChoices("object_id", "object"))]
    x: float | None
    y: float | None
    text: str
    who: str
    at: str
    done: bool


class FindingOut(BaseModel):
    """A proposed mask that waits for accept or reject."""

    id: int
    image: int
    path: str
    label: int | None
    score: float
    mask: MaskOut | None = None


class Attribute(Strict):
    """What a project notes ``of`` every object, or of every image (a tag): a text, a number, one of ``options``, or a
    flag."""

    name: Name
    type: Literal["text", "number", "choice", "flag"]
    of: Literal["object", "image"] = "object"
    options: Annotated[list[Name], Field(max_length=200)] = []

    def checked(self, value: Value) -> Value:
        """``value`` as it is kept. Raises ``InputError`` where it is of another type.

        >>> Attribute(name="age", type="number").checked("2.5")
        2.5
        """
        if self.type == "flag" and str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        if self.type == "number" and not isinstance(value, bool):
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                return number
        if self.type == "text":
            return str(value)[:LONGEST_VALUE]
        if self.type == "choice" and value in self.options:
            return value
        expected = {"flag": "true or false", "number": "a number"}.get(self.type, f"one of {', '.join(self.options)}")
        raise InputError(f"'{value}' as {self.name}", expected)


class LabelOut(FromRow):
    """A class of objects."""

    id: int
    name: str
    colour: str


class LabelIn(Strict):
    """A class to add (``id`` absent), change, or remove."""

    key: Key
    id: Ids | None = None
    name: Name | None = None
    colour: Colour | None = None
    remove: bool = False


class SettingsIn(Strict):
    """Project-wide settings."""

    key: Key
    overlap: Policy | None = None
    attributes: Annotated[list[Attribute], Field(max_length=200)] | None = None


class Counts(BaseModel):
    """Images by state."""

    new: int = 0
    started: int = 0
    accepted: int = 0
    skipped: int = 0


class Effort(BaseModel):
    """The person's own number of clicks: objects with at least one click or stroke."""

    objects: int = 0
    clicks: float = 0.0
    strokes: float = 0.0
    seconds: float = 0.0


class ModelOut(BaseModel):
    """The model: ``state`` is off, loading, ready or failed; ``accepts`` lists prompt types."""

    name: str
    state: Literal["off", "loading", "ready", "failed"]
    accepts: list[str]
    message: str = ""
    adapter: str | None = None


class ProjectOut(BaseModel):
    """What the page needs at its start; ``head`` is the newest change that concerns no single image, ``images`` the
    number of files, and ``skipped`` those that look like images and are left out, with the reasons."""

    name: str
    version: str
    labels: list[LabelOut]
    overlap: Policy
    attributes: list[Attribute] = []
    counts: Counts
    effort: Effort
    model: ModelOut
    last: int | None = None
    head: int = 0
    images: int = 0
    skipped: dict[str, str] = Field(default_factory=dict)


class Encoding(BaseModel):
    """What the model is doing for an image: ``progress`` from 0 to 1 while it encodes."""

    state: Literal["idle", "queued", "encoding", "ready", "failed"]
    progress: float = 0.0
    message: str = ""
    encode_ms: float | None = None


class BackgroundOut(BaseModel):
    """Work in the background: adapting, finding, importing, propagating or proposing."""

    kind: Literal["adapt", "find", "import", "propagate", "propose"]
    state: Literal["idle", "running", "done", "failed"]
    progress: float
    message: str


class Status(BaseModel):
    """The status line, and whether the image changed elsewhere (``head`` moved on, ``stamp`` is another) or the project
    did (``project_head``, ``images``); work in the ``background``, and how many found masks wait."""

    model: ModelOut
    image: Encoding | None = None
    head: int | None = None
    stamp: str = ""
    holder: str | None = None
    mine: bool = False
    project_head: int = 0
    images: int = 0
    background: list[BackgroundOut] = []
    proposals: int = 0


class Neighbour(BaseModel):
    """The next or previous image of a list; none at its end."""

    id: int | None


class Claim(Strict):
    """Hold an image; ``force`` takes it from whoever holds it; ``frame`` is the one of a clip that is looked at."""

    force: bool = False
    frame: Frame | None = None


class ModelSwitch(Strict):
    """Load the model, or free its memory."""

    on: bool


class PolygonOut(BaseModel):
    """The polygon view of a mask: rings (x, y, x, y, ...), holes run the other way; ``iou`` with the mask."""

    rings: list[list[float]]
    points: int
    iou: float


class EntryOut(FromRow):
    """One line of the journal."""

    id: int
    at: str
    who: str
    image: Annotated[int | None, Field(validation_alias=AliasChoices("image_id", "image"))]
    kind: str
    action: dict[str, Any]


class Problem(BaseModel):
    """An error: what arrived, what was expected, how to fix it."""

    message: str
    arrived: str = ""
    expected: str = ""
    fix: str = ""


ImageOut.model_rebuild()
Outcome.model_rebuild()
