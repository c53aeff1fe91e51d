"""Messages about import, export, adapting and finding."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field

from segue.annotator.codec import Key
from segue.annotator.schemas import Ids, Strict

TaskState: TypeAlias = Literal["idle", "running", "done", "failed"]


class Gain(BaseModel):
    """What an adapter gained on held-out images: clicks an object at an IoU of 0.85 before and after, and the 95 %
    interval of the clicks saved; ``helps`` when it lies above zero."""

    before: float
    after: float
    low: float
    high: float
    helps: bool
    minutes: float


class AdaptOut(BaseModel):
    """The state of adapting: ``accepted`` objects in ``images``, at least ``needed`` of which are wanted."""

    state: TaskState
    progress: float
    message: str
    accepted: int
    images: int
    needed: int
    used: bool
    report: Gain | None


class AdaptIn(Strict):
    """Train an adapter for so many minutes."""

    minutes: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 10.0


class UseIn(Strict):
    """Answer with the newest adapter, or without."""

    key: Key
    on: bool


class FindOut(BaseModel):
    """The state of the search; ``open`` proposals wait."""

    state: TaskState
    progress: float
    message: str
    open: int


class FindIn(Strict):
    """The example to look for: its likeliest other in each image, or ``every`` one, in its own image too."""

    image: Ids
    object: Key
    every: bool = False


class KeyOut(BaseModel):
    """A key frame: a "mask", or that the object is "gone" or "back" from there on."""

    frame: int
    mark: str


class TrackOut(BaseModel):
    """One object along a clip: its key frames, and the ``frames`` that were propagated with their ``scores``, in
    [0, 1], and whether it was ``seen`` there."""

    id: str
    keys: list[KeyOut]
    frames: list[int]
    scores: list[float]
    seen: list[bool]


class TimelineOut(BaseModel):
    """A clip's objects along its frames, and the state of propagation in it; ``broken`` frames were stepped over."""

    objects: list[TrackOut]
    state: TaskState
    progress: float
    message: str
    broken: list[int]


class FormatOut(BaseModel):
    """A format to export to."""

    name: str
    title: str
    about: str


class Imported(BaseModel):
    """What an import did; ``known`` objects were there already."""

    images: int
    objects: int
    known: int = 0
    skipped: list[str]


class ImportOut(BaseModel):
    """The state of importing, and what the last import did."""

    state: TaskState
    progress: float
    message: str
    result: Imported | None


class ProposalOut(BaseModel):
    """A mask that the model proposes, with its predicted IoU in [0, 1]."""

    box: tuple[int, int, int, int]
    area: int
    data: str
    score: float


class ProposalsOut(BaseModel):
    """How far the search for an image's objects is; its ``proposals`` once it is done, the surest first."""

    state: Literal["idle", "running", "done", "failed"]
    progress: float
    message: str
    proposals: list[ProposalOut]
