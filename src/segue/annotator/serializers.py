"""Rows as messages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sqlmodel import Session, col, select

from segue.annotator import schemas
from segue.annotator.clips import see
from segue.annotator.codec import Packed
from segue.annotator.reviewing import comments_of
from segue.annotator.store import get_masks, live_objects
from segue.annotator.tables import Finding, ImageRow, ObjectRow

MOST_FINDINGS = 50  # sent at once


def image_line(row: ImageRow) -> schemas.ImageLine:
    """An image in the list."""
    return schemas.ImageLine.model_validate(row).model_copy(update={"holder": holder_of(row)})


def holder_of(row: ImageRow) -> str | None:
    """Who is working on an image; None when nobody is."""
    held = row.holder is not None and row.held_until > time.time()
    return (row.holder_name or "another window") if held else None


def image_out(
    db: Session,
    row: ImageRow,
    who: str,
    shown: str,
    stamp: str,
    *,
    replaced: bool,
    frame: int | None = None,
) -> schemas.ImageOut:
    """An image with its objects, masks included; ``shown`` says how its picture was made, where that matters. Of a clip
    the objects are as in ``frame``."""
    assert row.id is not None
    height, width = row.size
    rows = live_objects(db, row.id)
    mine = row.holder == who and row.held_until > time.time()
    objects = object_outs(db, row, rows, frame)
    masks = get_masks(db, [out.mask_id for out in objects])
    for out in objects:
        out.mask = mask_out(out.mask_id, masks)
    return schemas.ImageOut(
        id=row.id,
        path=row.path,
        width=width,
        height=height,
        shown=shown,
        stamp=stamp,
        replaced=replaced,
        state=row.state,
        head=row.head,
        can_undo=row.undo_head is not None,
        can_redo=row.redo_head is not None,
        mine=mine,
        holder=None if mine else holder_of(row),
        objects=objects,
        findings=findings_out(db, row),
        review=row.review,
        tags=row.tags,
        comments=comments_out(db, row),
        frames=row.frames,
        frame=frame or 0,
        axis=row.axis,
    )


def object_outs(db: Session, row: ImageRow, objects: Sequence[ObjectRow], frame: int | None) -> list[schemas.ObjectOut]:
    """Objects without their masks; of a clip as they are in ``frame``."""
    marks = {} if frame is None else see(db, row, objects, frame)
    outs = [schemas.ObjectOut.model_validate(one) for one in objects]
    for out in outs:
        out.mark = schemas.MARK.validate_python(marks.get(out.id, ""))
    return outs


def comments_out(db: Session, row: ImageRow) -> list[schemas.CommentOut]:
    """What was said about an image."""
    assert row.id is not None
    return [schemas.CommentOut.model_validate(one) for one in comments_of(db, row.id)]


def findings_out(db: Session, row: ImageRow) -> list[schemas.FindingOut]:
    """The proposals for an image that wait for a decision."""
    query = select(Finding).where(Finding.image_id == row.id, Finding.state == "open").order_by(col(Finding.id))
    findings = list(db.exec(query.limit(MOST_FINDINGS)))
    masks = get_masks(db, [finding.mask_id for finding in findings])
    return [finding_out(finding, row.path, masks) for finding in findings]


def finding_out(row: Finding, path: str, masks: Mapping[int, Packed]) -> schemas.FindingOut:
    """A proposal, with its mask if that is among ``masks``."""
    assert row.id is not None
    mask = mask_out(row.mask_id, masks)
    return schemas.FindingOut(id=row.id, image=row.image_id, path=path, label=row.label_id, score=row.score, mask=mask)


def mask_out(mask_id: int | None, masks: Mapping[int, Packed]) -> schemas.MaskOut | None:
    """A mask if it is among ``masks``."""
    if mask_id is None or mask_id not in masks:
        return None
    packed = masks[mask_id]
    return schemas.MaskOut(id=mask_id, box=packed.box, area=packed.area, data=packed.text)
