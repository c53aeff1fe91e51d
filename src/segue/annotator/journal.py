"""The append-only journal: every action with its whole effect, undo and redo as entries of their own.

Undo needs no search: each entry names its ``parent``, the entry that undo takes back next, and an undo entry
names the next redo, so both stacks are linked lists inside the journal and survive a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlmodel import Session, col, select

from segue.annotator.store import TABLES, ActionMeta, ChangeSet
from segue.annotator.tables import ImageRow, JournalEntry
from segue.core.errors import InputError

EFFORT = ("clicks", "strokes", "seconds")  # undo gives the mask back, not the time it took


def undo(changes: ChangeSet, meta: ActionMeta) -> JournalEntry:
    """Take the newest action on the image back. Raises ``InputError`` when there is none."""
    image = _image_of(changes)
    taken = changes.db.get(JournalEntry, image.undo_head) if image.undo_head else None
    if taken is None:
        raise InputError("undo", "an action to take back", "there is nothing left to undo in this image")
    for change in reversed(taken.changes):
        _apply(changes, change, change["was"])
    entry = changes.append(meta, of=taken.id, parent=taken.parent, next_redo=image.redo_head)
    image.undo_head, image.redo_head = taken.parent, entry.id
    return entry


def redo(changes: ChangeSet, meta: ActionMeta) -> JournalEntry:
    """Repeat the action last undone. Raises ``InputError`` when there is none."""
    image = _image_of(changes)
    undone = changes.db.get(JournalEntry, image.redo_head) if image.redo_head else None
    if undone is None or undone.of is None:
        raise InputError("redo", "an undone action to repeat", "there is nothing to redo in this image")
    again = changes.db.get(JournalEntry, undone.of)
    assert again is not None
    for change in again.changes:
        _apply(changes, change, change["now"])
    entry = changes.append(meta, of=again.id, parent=again.parent)
    image.undo_head, image.redo_head = again.id, undone.next_redo
    return entry


def entries(db: Session, image_id: int | None = None, after: int = 0, limit: int | None = None) -> list[JournalEntry]:
    """Entries in the order they happened, of one image or of the whole project."""
    query = select(JournalEntry).where(col(JournalEntry.id) > after).order_by(col(JournalEntry.id)).limit(limit)
    if image_id is not None:
        query = query.where(JournalEntry.image_id == image_id)
    return list(db.exec(query))


def replay(journal: Iterable[JournalEntry]) -> dict[tuple[str, Any], dict[str, Any]]:
    """What the tables must hold if the journal is the truth: (table, id) -> the fields it ever set.

    >>> first = JournalEntry(key="a", at="", who="", kind="label", changes=[
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
    differing = []
    for (table, identity), fields in replay(entries(db)).items():
        row = db.get(TABLES[table], identity)
        for key, value in fields.items():
            held = None if row is None else getattr(row, key)
            if row is None or held != value:
                differing.append(f"{table} {identity}: {key} is {held!r}, the journal says {value!r}")
    return differing


def _image_of(changes: ChangeSet) -> ImageRow:
    assert changes.image is not None, "only actions on an image are taken back"
    return changes.image


def _apply(changes: ChangeSet, change: dict[str, Any], values: dict[str, Any]) -> None:
    row = changes.db.get(TABLES[change["table"]], change["id"])
    assert row is not None, "journal entries name rows that are never removed"
    changes.change(row, **{key: value for key, value in values.items() if key not in EFFORT})
