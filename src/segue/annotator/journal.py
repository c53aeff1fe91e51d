"""The append-only journal: every action with its whole effect, undo and redo as entries of their own.

Undo needs no search: each entry names its ``parent``, the entry that undo takes back next, and an undo entry
names the next redo, so both stacks are linked lists inside the journal and survive a restart.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, SQLModel, col, select

from segue.annotator.tables import Entry, Finding, ImageRow, Item, Label, Setting
from segue.core.errors import InputError

EFFORT = ("clicks", "strokes", "seconds")  # undo gives the mask back, not the time it took
TABLES: dict[str, type[SQLModel]] = {
    "item": Item,
    "image": ImageRow,
    "label": Label,
    "setting": Setting,
    "finding": Finding,
}


@dataclass(frozen=True)
class Stamp:
    """Who asks for what: ``key`` is unique per request, so that a request sent twice acts once."""

    key: str
    who: str
    kind: str
    action: dict[str, Any]


@dataclass
class Draft:
    """The changes of one action while it is carried out; each is applied to its row and noted."""

    db: Session
    changes: list[dict[str, Any]] = field(default_factory=list)

    def change(self, row: SQLModel, **now: Any) -> None:
        """Set fields of ``row``; fields that keep their value are not noted."""
        name = next(name for name, kind in TABLES.items() if isinstance(row, kind))
        was = {key: getattr(row, key) for key in now}
        different = {key: value for key, value in now.items() if was[key] != value}
        if not different:
            return
        for key, value in different.items():
            setattr(row, key, value)
        self.db.add(row)
        identity = getattr(row, "key", None) if name == "setting" else getattr(row, "id", None)
        self.changes.append(
            {"table": name, "id": identity, "was": {key: was[key] for key in different}, "now": different}
        )

    def create(self, row: Item | Label) -> None:
        """Add ``row``; taking it back marks it deleted."""
        row.deleted = False
        self.db.add(row)
        self.db.flush()
        name = "item" if isinstance(row, Item) else "label"
        now = row.model_dump(exclude={"id"})
        self.changes.append({"table": name, "id": row.id, "was": {"deleted": True}, "now": now})


def record(draft: Draft, image: ImageRow | None, stamp: Stamp) -> Entry:
    """Append the entry of a finished draft; it becomes what undo takes back, and nothing is left to redo."""
    entry = _entry(stamp, draft.changes, image)
    if image is not None:
        entry.parent = image.undo_head
    _append(draft.db, entry, image)
    if image is not None:
        image.undo_head, image.redo_head = entry.id, None
    return entry


def undo(draft: Draft, image: ImageRow, stamp: Stamp) -> Entry:
    """Take the newest action on ``image`` back. Raises ``InputError`` when there is none."""
    taken = draft.db.get(Entry, image.undo_head) if image.undo_head else None
    if taken is None:
        raise InputError("undo", "an action to take back", "there is nothing left to undo in this image")
    for change in reversed(taken.changes):
        back = {key: value for key, value in change["was"].items() if key not in EFFORT}
        _apply(draft, change, back)
    entry = _entry(stamp, draft.changes, image)
    entry.of, entry.parent, entry.next_redo = taken.id, taken.parent, image.redo_head
    _append(draft.db, entry, image)
    image.undo_head, image.redo_head = taken.parent, entry.id
    return entry


def redo(draft: Draft, image: ImageRow, stamp: Stamp) -> Entry:
    """Repeat the action last undone. Raises ``InputError`` when there is none."""
    undone = draft.db.get(Entry, image.redo_head) if image.redo_head else None
    if undone is None or undone.of is None:
        raise InputError("redo", "an undone action to repeat", "there is nothing to redo in this image")
    again = draft.db.get(Entry, undone.of)
    assert again is not None
    for change in again.changes:
        _apply(draft, change, {key: value for key, value in change["now"].items() if key not in EFFORT})
    entry = _entry(stamp, draft.changes, image)
    entry.of, entry.parent = again.id, again.parent
    _append(draft.db, entry, image)
    image.undo_head, image.redo_head = again.id, undone.next_redo
    return entry


def entries(db: Session, image_id: int | None = None, after: int = 0, limit: int | None = None) -> list[Entry]:
    """Entries in the order they happened, of one image or of the whole project."""
    query = select(Entry).where(col(Entry.id) > after).order_by(col(Entry.id)).limit(limit)
    if image_id is not None:
        query = query.where(Entry.image_id == image_id)
    return list(db.exec(query))


def replay(journal: Iterable[Entry]) -> dict[tuple[str, Any], dict[str, Any]]:
    """What the tables must hold if the journal is the truth: (table, id) -> the fields it ever set.

    >>> first = Entry(key="a", at="", who="", kind="label", changes=[
    ...     {"table": "label", "id": 1, "was": {"deleted": True}, "now": {"name": "cat", "deleted": False}}])
    >>> replay([first])
    {('label', 1): {'name': 'cat', 'deleted': False}}
    """
    state: dict[tuple[str, Any], dict[str, Any]] = {}
    for entry in journal:
        for change in entry.changes:
            state.setdefault((change["table"], change["id"]), {}).update(change["now"])
    return state


def disagreements(db: Session) -> list[str]:
    """Every field in which a table differs from the journal; empty in a sound project."""
    found = []
    for (table, identity), fields in replay(entries(db)).items():
        row = db.get(TABLES[table], identity)
        for key, value in fields.items():
            held = None if row is None else getattr(row, key)
            if row is None or held != value:
                found.append(f"{table} {identity}: {key} is {held!r}, the journal says {value!r}")
    return found


def _entry(stamp: Stamp, changes: list[dict[str, Any]], image: ImageRow | None) -> Entry:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return Entry(
        key=stamp.key,
        at=now,
        who=stamp.who,
        image_id=None if image is None else image.id,
        kind=stamp.kind,
        action=stamp.action,
        changes=changes,
    )


def _append(db: Session, entry: Entry, image: ImageRow | None) -> None:
    db.add(entry)
    db.flush()
    assert entry.id is not None
    if image is not None:
        image.head = entry.id
        db.add(image)


def _apply(draft: Draft, change: dict[str, Any], values: dict[str, Any]) -> None:
    row = draft.db.get(TABLES[change["table"]], change["id"])
    assert row is not None, "journal entries name rows that are never removed"
    draft.change(row, **values)
