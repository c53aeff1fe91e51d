"""What a page asks for: the actions on an image."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from segue.annotator.codec import Key, Packed, SentPrompt
from segue.annotator.schemas import Frame, Head, Ids, Name, Seconds, Strict
from segue.core.errors import InputError


class Runs(Strict):
    """A mask: ``box`` (x0, y0, x1, y1) in pixels, right and bottom exclusive, and ``data``: base64 of deflated
    varints, the row-major run lengths inside the box, background first."""

    box: tuple[int, int, int, int]
    data: Annotated[str, StringConstraints(max_length=8_000_000)]

    def packed(self) -> Packed:
        """The stored form; its area is not known before it is unpacked."""
        try:
            return Packed(self.box, 0, base64.b64decode(self.data, validate=True))
        except (binascii.Error, ValueError) as error:
            raise InputError("mask data that is not base64", "base64 of deflated runs") from error


class Prompted(Strict):
    """Prompts for the model; the object is made when it does not exist yet."""

    kind: Literal["prompt"]
    object: Key
    prompts: Annotated[list[SentPrompt], Field(min_length=1, max_length=64)]
    label: Ids | None = None


class Stroke(Strict):
    """Pixels painted into (or erased from) an object; it is made when it does not exist yet."""

    kind: Literal["stroke"]
    object: Key
    erase: bool = False
    pixels: Runs
    label: Ids | None = None


class Edit(Strict):
    """An object's class, lock, visibility or place in the stack (0 is the bottom)."""

    kind: Literal["edit"]
    object: Key
    label: Ids | None = None
    locked: bool | None = None
    hidden: bool | None = None
    place: Annotated[int, Field(ge=0, le=100_000)] | None = None


class Remove(Strict):
    """Take an object away."""

    kind: Literal["remove"]
    object: Key


class Copy(Strict):
    """Copy objects of other images into this one, at the same pixels."""

    kind: Literal["copy"]
    objects: Annotated[dict[Key, Key], Field(min_length=1, max_length=500)]


class SetState(Strict):
    """Accept an image, skip it, or open it again."""

    kind: Literal["state"]
    state: Literal["started", "accepted", "skipped"]


class Undo(Strict):
    """Take the newest action on the image back."""

    kind: Literal["undo"]


class Redo(Strict):
    """Repeat the action last taken back."""

    kind: Literal["redo"]


class Decide(Strict):
    """Accept a found mask as a new object, or reject it."""

    kind: Literal["decide"]
    finding: Ids
    accept: bool
    object: Key


class AdoptedMask(Strict):
    """One mask that becomes an object or a part of it, and the model's score for it in [0, 1]."""

    pixels: Runs
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0


class Adopt(Strict):
    """Make objects from masks that the page shows: every object is all of its masks together."""

    kind: Literal["adopt"]
    adopted: Annotated[
        dict[Key, Annotated[list[AdoptedMask], Field(min_length=1, max_length=500)]],
        Field(min_length=1, max_length=500),
    ]
    label: Ids | None = None


class Replaced(Strict):
    """The file is another one than its masks were made on: keep them, fitted to its size, or remove them."""

    kind: Literal["replaced"]
    masks: Literal["keep", "remove"]


Rule = Literal["fill-holes", "drop-islands", "smooth", "grow", "shrink"]
Amount = Annotated[float, Field(ge=0, le=100_000_000, allow_inf_nan=False)]
Amounts = Annotated[float, Field(allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=-100_000, le=200_000, allow_inf_nan=False)]


class Shape(Strict):
    """Shape a mask by a rule: ``amount`` is pixels of area for holes and islands, else of distance (at most 200)."""

    kind: Literal["shape"]
    object: Key
    how: Rule
    amount: Amount


class Reshape(Strict):
    """``ring`` of the polygon view at ``tolerance`` became ``points`` (x, y, x, y, ...): none remove it, and the number
    after the last ring adds one. The mask follows where the ring was edited, and nowhere else."""

    kind: Literal["reshape"]
    object: Key
    tolerance: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
    ring: Annotated[int, Field(ge=0, le=100_000)]
    points: Annotated[list[Coordinate], Field(max_length=200_000)]


class Split(Strict):
    """Make every part of an object one of its own; the largest keeps the object, the ids of the others begin with
    ``parts``."""

    kind: Literal["split"]
    object: Key
    parts: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,56}$")]


class Combine(Strict):
    """Merge ``others`` into an object (they are gone then), or subtract their pixels from it."""

    kind: Literal["combine"]
    object: Key
    others: Annotated[list[Key], Field(min_length=1, max_length=500)]
    how: Literal["merge", "subtract"]


class Relabel(Strict):
    """Give every object that is not locked a class."""

    kind: Literal["relabel"]
    label: Ids


class Clear(Strict):
    """Take every object away that is not locked."""

    kind: Literal["clear"]


class Review(Strict):
    """A reviewer's verdict on an accepted image; a returned one is open again."""

    kind: Literal["review"]
    verdict: Literal["approved", "returned"]


class Say(Strict):
    """A new comment, by ``name``, on the image, a place (x, y) or an object; with the id of one that is there, whether
    it is ``done``."""

    kind: Literal["comment"]
    comment: Key
    text: Annotated[str, StringConstraints(max_length=2000, strip_whitespace=True, pattern=r"^[^\x00]*$")] = ""
    name: Annotated[str, StringConstraints(max_length=60, pattern=r"^[^\x00]*$")] = ""
    x: Coordinate | None = None
    y: Coordinate | None = None
    object: Key | None = None
    done: bool = False


class Describe(Strict):
    """Attributes of an object, or tags of the image without one; null takes one away."""

    kind: Literal["describe"]
    object: Key | None = None
    values: Annotated[
        dict[Name, Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] | bool | Amounts | None],
        Field(min_length=1, max_length=100),
    ]


class Marking(Strict):
    """An object of a clip goes out of sight in this frame ("gone"), is to be looked for again from it on ("back"), or
    is no key frame here any more ("none")."""

    kind: Literal["mark"]
    object: Key
    mark: Literal["gone", "back", "none"]


class Axis(Strict):
    """Look at a stack along another axis, before anything is drawn in it."""

    kind: Literal["axis"]
    axis: Annotated[int, Field(ge=0, le=2)]


class Propagate(Strict):
    """Carry objects of a clip (all without ``objects``) on from their key frames: "forward" or "backward" from this
    frame, "both" through the whole clip, "between" only up to the key frames beside this one."""

    kind: Literal["propagate"]
    direction: Literal["forward", "backward", "both", "between"]
    objects: Annotated[list[Key], Field(max_length=500, default_factory=list)]


AnyAction = Annotated[
    Prompted
    | Stroke
    | Edit
    | Remove
    | Copy
    | SetState
    | Undo
    | Redo
    | Decide
    | Adopt
    | Replaced
    | Shape
    | Reshape
    | Split
    | Combine
    | Relabel
    | Clear
    | Review
    | Say
    | Describe
    | Marking
    | Axis
    | Propagate,
    Field(discriminator="kind"),
]


class Act(Strict):
    """One action on an image. ``key`` is unique per action, so a repeated request acts once; ``seen`` is the
    newest journal entry that the page knows of this image; ``seconds`` the active time since its last action;
    ``frame`` the frame of a clip that is acted on."""

    key: Key
    seen: Head
    frame: Frame | None = None
    seconds: Seconds = 0.0
    action: AnyAction


class Guess(Strict):
    """The action that will probably follow; ``seen`` and ``frame`` as in an action."""

    seen: Head
    frame: Frame | None = None
    action: Prompted
