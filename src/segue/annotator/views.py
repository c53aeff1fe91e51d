"""Rows as messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

from sqlmodel import Session, col, select

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
    db: Session,
    row: ImageRow,
    who: str,
    findings: Sequence[Finding],
    around: tuple[int | None, int | None],
    shown: str,
) -> schemas.ImageOut:
    """An image with its objects, masks included; ``shown`` says how its picture was made, where that matters."""
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
        shown=shown,
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
    return schemas.FindingOut(id=row.id, image=row.image_id, path=path, label=row.label_id, score=row.score, mask=mask)


def outcome(db: Session, row: ImageRow, entry: Entry, *, with_masks: bool = True) -> schemas.Outcome:
    """What ``entry`` changed, with the masks that it set unless the page has them."""
    assert row.id is not None
    order = order_of(db, row.id)
    changes = {change["id"]: change["now"] for change in entry.changes if change["table"] == "item"}
    alive = set(order).intersection(changes)
    changed = [item for item in (db.get(Item, item_id) for item_id in sorted(alive)) if item is not None]
    fresh = [item.mask_id for item in changed if {"mask_id", "deleted"} & changes[item.id].keys()]
    masks = get_masks(db, fresh) if with_masks else {}
    return schemas.Outcome(
        head=row.head,
        state=cast(schemas.State, row.state),
        can_undo=row.undo_head is not None,
        can_redo=row.redo_head is not None,
        order=order,
        changed=[object_out(item, masks) for item in changed],
        removed=sorted(changes.keys() - alive),
        took=schemas.Milliseconds(),
    )


def order_of(db: Session, image_id: int) -> list[str]:
    """Ids of an image's objects, bottom first."""
    query = select(Item.id).where(Item.image_id == image_id, ~col(Item.deleted))
    return list(db.exec(query.order_by(col(Item.rank), col(Item.id))))


def entry_out(entry: Entry) -> schemas.EntryOut:
    """A line of the journal."""
    assert entry.id is not None
    return schemas.EntryOut(
        id=entry.id, at=entry.at, who=entry.who, image=entry.image_id, kind=entry.kind, action=entry.action
    )
