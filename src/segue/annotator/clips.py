"""Objects of clips: the mask that each has in a frame, from its key frames and from what was propagated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from segue.annotator.tables import FrameMask, ImageRow, JournalEntry, MaskRow, ObjectRow, Run, RunMask

SEEN = ("mask_id", "base_id", "prompts", "score")  # what an object of a clip has in every frame anew


def frame_id(object_id: str, frame: int) -> str:
    """The key of an object's key frame.

    >>> frame_id("cat", 12)
    'cat:12'
    """
    return f"{object_id}:{frame}"


def show(row: ObjectRow, values: dict[str, Any]) -> None:
    """Give an object the mask that it has in a frame, without writing that to its row."""
    for key, value in values.items():
        sa.orm.attributes.set_committed_value(row, key, value)


def live_keys(db: Session, image_id: int) -> list[FrameMask]:
    """The key frames of a clip's objects, by object and frame."""
    query = select(FrameMask).join(ObjectRow, col(FrameMask.object_id) == ObjectRow.id)
    query = query.where(ObjectRow.image_id == image_id, ~col(ObjectRow.deleted), ~col(FrameMask.deleted))
    return list(db.exec(query.order_by(col(FrameMask.object_id), col(FrameMask.frame))))


def see(db: Session, image: ImageRow, rows: Sequence[ObjectRow], frame: int) -> dict[str, str]:
    """Give the objects of a clip the masks that they have in ``frame``; what each is there, by id.

    "key": a person said so; "gone": out of sight since a key frame; "back": looked for again from here on;
    "propagated": from the newest run; "": nothing is known.
    """
    assert image.id is not None
    keys = {(key.object_id, key.frame): key for key in live_keys(db, image.id)}
    query = select(RunMask).join(Run, col(RunMask.run_id) == Run.id)
    query = query.where(Run.image_id == image.id, ~col(Run.deleted), RunMask.frame == frame)
    runs = {one.object_id: one for one in db.exec(query.order_by(col(RunMask.run_id), col(RunMask.id)))}
    marks: dict[str, str] = {}
    for row in rows:
        earlier = max((at for owner, at in keys if owner == row.id and at <= frame), default=None)
        last = None if earlier is None else keys[row.id, earlier]
        run = runs.get(row.id)
        values: dict[str, Any] = {"mask_id": None, "base_id": None, "prompts": [], "score": 0.0}
        if last is not None and last.mark == "gone":
            marks[row.id] = "gone"
        elif last is not None and last.frame == frame and last.mark == "mask":
            marks[row.id] = "key"
            values = {key: getattr(last, key) for key in SEEN}
        elif run is not None:
            marks[row.id] = "propagated"
            values = {"mask_id": run.mask_id, "base_id": run.mask_id, "prompts": [], "score": run.score}
        else:
            marks[row.id] = "back" if last is not None and last.frame == frame else ""
        show(row, values)
    return marks


def propagated(db: Session, image_id: int) -> dict[str, dict[int, tuple[int | None, float]]]:
    """What runs say, the newest first to be asked: object -> frame -> (mask or None, score)."""
    table: sa.Table = RunMask.__table__  # type: ignore[attr-defined]
    query = sa.select(table.c.object_id, table.c.frame, table.c.mask_id, table.c.score).join(Run.__table__)  # type: ignore[attr-defined]
    query = query.where(col(Run.image_id) == image_id, ~col(Run.deleted)).order_by(table.c.run_id, table.c.id)
    found: dict[str, dict[int, tuple[int | None, float]]] = {}
    for object_id, frame, mask_id, score in db.connection().execute(query):
        found.setdefault(object_id, {})[frame] = mask_id, score
    return found


def masks_by_frame(db: Session, image_id: int) -> dict[int, dict[str, int]]:
    """Frame -> object -> mask, of all that can be seen in a clip: key frames before what was propagated."""
    keys: dict[str, list[FrameMask]] = {}
    for key in live_keys(db, image_id):
        keys.setdefault(key.object_id, []).append(key)
    alive = select(ObjectRow.id).where(ObjectRow.image_id == image_id, ~col(ObjectRow.deleted))
    runs = propagated(db, image_id)
    frames: dict[int, dict[str, int]] = {}
    for object_id in db.exec(alive.order_by(col(ObjectRow.rank), col(ObjectRow.id))):
        own = {frame: mask for frame, (mask, _) in runs.get(object_id, {}).items()}
        marks = keys.get(object_id, [])
        for key, after in zip(marks, [*marks[1:], None], strict=True):
            if key.mark == "gone":
                end = max(own, default=0) + 1 if after is None else after.frame
                own = {frame: mask for frame, mask in own.items() if not key.frame <= frame < end}
            elif key.mark == "mask":
                own[key.frame] = key.mask_id
        for frame, mask in own.items():
            if mask is not None:
                frames.setdefault(frame, {})[object_id] = mask
    return dict(sorted(frames.items()))


def without_masks(db: Session, objects: Sequence[ObjectRow]) -> int:
    """How many objects of a clip have no pixel in any of its key frames."""
    query = select(FrameMask.object_id).join(MaskRow, col(FrameMask.mask_id) == MaskRow.id)
    drawn = set(db.exec(query.where(~col(FrameMask.deleted), col(MaskRow.area) > 0)))
    return sum(one.id not in drawn for one in objects)


def note_changes(entry: JournalEntry, order: Sequence[str], frame: int, changes: dict[str, dict[str, Any]]) -> int:
    """Add to ``changes`` the objects whose masks an entry changed; the frame in which that is seen: that of the page,
    unless an undo or redo concerns another."""
    frames = []
    for change in entry.changes:
        if change["table"] == "frame_mask":
            object_id, _, number = change["id"].rpartition(":")
            changes.setdefault(object_id, {})["mask_id"] = None
            frames.append(int(number))
        elif change["table"] == "run":
            for object_id in order:
                changes.setdefault(object_id, {})["mask_id"] = None
    elsewhere = entry.kind in ("undo", "redo") and frames and frame not in frames
    return frames[0] if elsewhere else frame
