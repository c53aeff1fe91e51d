"""What the database holds: images, labels, objects, their masks, and the journal.

Rows of ``mask``, ``run_mask`` and ``journal`` are only ever added; everything else is the journal's present effect and
can be computed from it again (``journal.replay``).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel


class ImageRow(SQLModel, table=True):
    """One image of the folder. ``head`` is the newest journal entry; ``undo_head`` the entry that undo would take
    back; ``redo_head`` the undo entry that redo would reverse; ``holder`` the page that is working on it; ``stamp`` the
    content of the file that width, height and masks belong to; ``touched_by`` who acted last, at ``touched_at`` (Unix
    seconds); ``review`` a reviewer's verdict: "approved" or "returned"; ``problem`` why it could not be opened. A clip
    has ``frames``, slices along ``axis`` in a stack; a still image has none."""

    __tablename__ = "image"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    path: str = Field(unique=True, index=True)
    present: bool = True
    width: int | None = None
    height: int | None = None
    stamp: str = Field(default="", sa_column_kwargs={"server_default": ""})
    state: str = Field(default="new", index=True)
    objects: int = 0
    head: int = 0
    undo_head: int | None = None
    redo_head: int | None = None
    holder: str | None = None
    holder_name: str | None = None
    held_until: float = 0.0
    touched_by: str = Field(default="", sa_column_kwargs={"server_default": ""})
    touched_at: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    review: str = Field(default="", sa_column_kwargs={"server_default": ""})
    tags: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}"))
    problem: str = Field(default="", sa_column_kwargs={"server_default": ""})
    frames: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    axis: int = Field(default=0, sa_column_kwargs={"server_default": "0"})

    @property
    def size_known(self) -> tuple[int, int] | None:
        """(H, W), None before the image was opened."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W); known once the image was opened."""
        assert self.height is not None
        assert self.width is not None
        return self.height, self.width


class Label(SQLModel, table=True):
    """A class of objects."""

    __tablename__ = "label"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    colour: str
    rank: int = 0
    deleted: bool = False


class MaskRow(SQLModel, table=True):
    """A mask, never changed: ``data`` as ``codec.pack`` makes it, the box in pixels."""

    __tablename__ = "mask"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    x0: int
    y0: int
    x1: int
    y1: int
    area: int
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ObjectRow(SQLModel, table=True):
    """An object in an image. ``prompts`` (groups given at once) were answered on top of the mask ``base_id``."""

    __tablename__ = "item"

    id: str = Field(primary_key=True)
    image_id: int = Field(foreign_key="image.id", index=True)
    label_id: int | None = Field(default=None, foreign_key="label.id")
    rank: int = 0
    locked: bool = False
    hidden: bool = False
    deleted: bool = False
    mask_id: int | None = Field(default=None, foreign_key="mask.id")
    base_id: int | None = Field(default=None, foreign_key="mask.id")
    prompts: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    attributes: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}")
    )
    origin: str = "prompt"
    score: float = 0.0
    clicks: int = 0
    strokes: int = 0
    seconds: float = 0.0


class FrameMask(SQLModel, table=True):
    """A key frame: what a person said of an object in one frame of a clip. ``id`` is object:frame; ``mark`` is "mask",
    "gone" (out of sight from here to the next key frame) or "back" (to be looked for again); ``prompts`` were answered
    on top of the mask ``base_id``."""

    __tablename__ = "frame_mask"

    id: str = Field(primary_key=True)
    object_id: str = Field(foreign_key="item.id", index=True)
    frame: int
    mark: str = "mask"
    mask_id: int | None = Field(default=None, foreign_key="mask.id")
    base_id: int | None = Field(default=None, foreign_key="mask.id")
    prompts: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    score: float = 0.0
    deleted: bool = False


class Run(SQLModel, table=True):
    """One propagation through a clip; ``deleted`` while it is undone, so that what was there before is seen again."""

    __tablename__ = "run"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    image_id: int = Field(foreign_key="image.id", index=True)
    deleted: bool = False


class RunMask(SQLModel, table=True):
    """What a run says of an object in a frame: its mask, None where it is not in sight, and how sure it is. Only ever
    added, frame by frame while the run goes on."""

    __tablename__ = "run_mask"
    __table_args__ = (Index("ix_run_mask_run_id_frame", "run_id", "frame"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id")
    object_id: str = Field(foreign_key="item.id")
    frame: int
    mask_id: int | None = Field(default=None, foreign_key="mask.id")
    score: float = 0.0


class JournalEntry(SQLModel, table=True):
    """One action and its whole effect: ``changes`` lists what each object was and is. ``parent`` is what undo
    would take back after this entry; ``of`` is the entry that an undo or redo concerns."""

    __tablename__ = "journal"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, index=True)
    at: str
    who: str
    image_id: int | None = Field(default=None, foreign_key="image.id", index=True)
    kind: str
    action: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    changes: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    parent: int | None = None
    of: int | None = None
    next_redo: int | None = None


class Setting(SQLModel, table=True):
    """A project-wide value, such as the overlap policy."""

    __tablename__ = "setting"

    key: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_column=Column(JSON))


class Comment(SQLModel, table=True):
    """What somebody (``who``) said about an image, a place or an object of it; ``done`` once it is settled."""

    __tablename__ = "comment"

    id: str = Field(primary_key=True)
    image_id: int = Field(foreign_key="image.id", index=True)
    object_id: str | None = None
    x: float | None = None
    y: float | None = None
    text: str
    who: str = ""
    at: str = ""
    done: bool = False
    deleted: bool = False


class Finding(SQLModel, table=True):
    """A mask that the one-shot search proposes for an image: open, accepted or rejected."""

    __tablename__ = "finding"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    image_id: int = Field(foreign_key="image.id", index=True)
    label_id: int | None = Field(default=None, foreign_key="label.id")
    mask_id: int = Field(foreign_key="mask.id")
    score: float = 0.0
    state: str = Field(default="open", index=True)
