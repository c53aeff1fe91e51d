"""Rows as messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

from sqlmodel import Session

from segue.annotator import schemas
from segue.annotator.store import get_masks, live_items
from segue.annotator.tables import Entry, Finding, ImageRow, Item, Label


def label_out(row: Label) -> schemas.LabelOut:
    """A class."""
    assert row.id is not None
    return schemas.LabelOut(id=row.id, name=row.name, colour=row.colour)


def image_line(row: ImageRow) -> schemas.ImageLine:
    """An image in the list."""
    assert row.id is not None
    state = cast(schemas.State, row.state)
    return schemas.ImageLine(id=row.id, path=row.path, state=state, objects=row.objects, holder=holder_of(row))


def holder_of(row: ImageRow) -> str | None:
    """Who is working on an image; None when nobody is."""
    held = row.holder is not None and row.held_until > time.time()
    return (row.holder_name or "another window") if held else None


def image_out(
    db: Session, row: ImageRow, who: str, findings: Sequence[Finding], around: tuple[int | None, int | None]
) -> schemas.ImageOut:
    """An image with its objects, masks included."""
    assert row.id is not None
    assert row.width is not None
    assert row.height is not None
    items = live_items(db, row.id)
    masks = get_masks(db, [i.mask_id for i in items] + [f.mask_id for f in findings])
    mine = row.holder == who and row.held_until > time.time()
    return schemas.ImageOut(
        id=row.id,
        path=row.path,
        width=row.width,
        height=row.height,
        state=cast(schemas.State, row.state),
        head=row.head,
        can_undo=row.undo_head is not None,
        can_redo=row.redo_head is not None,
        mine=mine,
        holder=None if mine else holder_of(row),
        objects=[object_out(item, masks) for item in items],
        findings=[finding_out(f, row.path, masks) for f in findings],
        next=around[0],
        previous=around[1],
    )


def object_out(item: Item, masks: dict[int, Any]) -> schemas.ObjectOut:
    """An object, with its mask if that is among ``masks``."""
    mask = None
    if item.mask_id is not None and item.mask_id in masks:
        mask = schemas.MaskOut.of(item.mask_id, masks[item.mask_id])
    return schemas.ObjectOut(
        id=item.id,
        label=item.label_id,
        locked=item.locked,
        hidden=item.hidden,
        mask_id=item.mask_id,
        mask=mask,
        prompts=item.prompts,
        origin=item.origin,
        score=item.score,
        clicks=item.clicks,
        strokes=item.strokes,
        seconds=item.seconds,
    )


def finding_out(row: Finding, path: str, masks: dict[int, Any]) -> schemas.FindingOut:
    """A proposal, with its mask if that is among ``masks``."""
    assert row.id is not None
    mask = schemas.MaskOut.of(row.mask_id, masks[row.mask_id]) if row.mask_id in masks else None
    return schemas.FindingOut(
        id=row.id, image=row.image_id, path=path, label=row.label_id, score=row.score, mask=mask
    )


def mask_ids(items: Sequence[Item]) -> set[int | None]:
    """The masks that a page which has seen ``items`` already holds."""
    return {item.mask_id for item in items}


def outcome(db: Session, row: ImageRow, entry: Entry, known: set[int | None]) -> schemas.Outcome:
    """What ``entry`` changed; masks that the page does not know yet are included."""
    assert row.id is not None
    items = live_items(db, row.id)
    alive = {item.id for item in items}
    touched = {change["id"] for change in entry.changes if change["table"] == "item"}
    changed = [item for item in items if item.id in touched]
    masks = get_masks(db, [item.mask_id for item in changed if item.mask_id not in known])
    return schemas.Outcome(
        head=row.head,
        state=cast(schemas.State, row.state),
        can_undo=row.undo_head is not None,
        can_redo=row.redo_head is not None,
        order=[item.id for item in items],
        changed=[object_out(item, masks) for item in changed],
        removed=sorted(touched - alive),
        took=schemas.Milliseconds(),
    )


def entry_out(entry: Entry) -> schemas.EntryOut:
    """A line of the journal."""
    assert entry.id is not None
    return schemas.EntryOut(
        id=entry.id, at=entry.at, who=entry.who, image=entry.image_id, kind=entry.kind, action=entry.action
    )
