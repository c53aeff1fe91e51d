"""What each action without the model does to an image's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segue.annotator import schemas
from segue.annotator.codec import pack, unpack
from segue.annotator.store import (
    ChangeSet,
    Conflict,
    check_label,
    get_mask,
    get_masks,
    image_row,
    live_objects,
    put_mask,
)
from segue.annotator.tables import Finding, ObjectRow
from segue.core.errors import InputError, MissingFile
from segue.core.types import Mask


def stroke(changes: ChangeSet, action: schemas.Stroke, spent: float) -> None:
    """Paint pixels in or out; the model continues from the painted mask."""
    pixels = unpack(action.pixels.packed(), changes.size)
    target = changes.paintable(action.object)
    before = None
    if target is not None and target.mask_id is not None:
        before = unpack(get_mask(changes.db, target.mask_id), changes.size)
    if before is None:
        if action.erase:
            raise InputError("an eraser stroke on an object that is not there", "an object with a mask")
        before = pixels
    mask_id = put_mask(changes.db, pack(before & ~pixels if action.erase else before | pixels))
    now = {"mask_id": mask_id, "base_id": mask_id}
    if target is None:
        changes.create_object(action.object, action.label, origin="brush", strokes=1, seconds=spent, **now)
        return
    changes.change(target, prompts=[], strokes=target.strokes + 1, seconds=target.seconds + spent, **now)


def edit(changes: ChangeSet, action: schemas.Edit, spent: float) -> None:
    """Class, lock, visibility and place of an object."""
    target = _existing(changes, action.object)
    now: dict[str, Any] = {"seconds": target.seconds + spent}
    if action.label is not None:
        check_label(changes.db, action.label)
        now["label_id"] = action.label
    now |= action.model_dump(include={"locked", "hidden"}, exclude_none=True)
    changes.change(target, **now)
    if action.place is not None:
        others = [other for other in live_objects(changes.db, target.image_id) if other.id != target.id]
        others.insert(action.place, target)
        for rank, other in enumerate(others):
            changes.change(other, rank=rank)


def remove(changes: ChangeSet, action: schemas.Remove, _spent: float) -> None:
    """Take an object away."""
    target = _existing(changes, action.object)
    if target.locked:
        raise InputError("the removal of a locked object", "an unlocked object", "unlock it first")
    changes.change(target, deleted=True)


def copy(changes: ChangeSet, action: schemas.Copy, _spent: float) -> None:
    """Objects of other images, at the same pixels; parts outside this image are cut off."""
    for source_id, new_id in action.objects.items():
        source = changes.db.get(ObjectRow, source_id)
        if source is None or source.deleted or source.mask_id is None:
            raise MissingFile(f"object {source_id}", "an object with a mask", "choose another object to copy")
        _check_free(changes, new_id)
        origin, packed = image_row(changes.db, source.image_id), get_mask(changes.db, source.mask_id)
        if origin.size != changes.size:
            packed = pack(_fitted(unpack(packed, origin.size), changes.size))
        mask_id = put_mask(changes.db, packed)
        changes.create_object(new_id, source.label_id, mask_id=mask_id, base_id=mask_id, origin="copy")


def set_state(changes: ChangeSet, action: schemas.SetState, _spent: float) -> None:
    """Accepted, skipped, or open again. Raises ``InputError`` for accepting an object without a pixel."""
    assert changes.image is not None
    assert changes.image.id is not None
    if action.state == "accepted":
        rows = live_objects(changes.db, changes.image.id)
        masks = get_masks(changes.db, [row.mask_id for row in rows])
        empty = sum(row.mask_id is None or not masks[row.mask_id].area for row in rows)
        if empty:
            raise InputError(
                f"an image with {empty} {'object' if empty == 1 else 'objects'} without a single pixel",
                "objects with pixels",
                "remove them, or take back what emptied them",
            )
    changes.change(changes.image, state=action.state)


def decide(changes: ChangeSet, action: schemas.Decide, _spent: float) -> None:
    """A found mask becomes an object, or is put aside."""
    assert changes.image is not None
    finding = changes.db.get(Finding, action.finding)
    if finding is None or finding.image_id != changes.image.id:
        raise MissingFile(f"finding {action.finding}", "a proposal for this image", "reload the page")
    if finding.state != "open":
        raise Conflict(f"finding {action.finding}, which is {finding.state} already", "an open proposal")
    changes.change(finding, state="accepted" if action.accept else "rejected")
    if action.accept:
        _check_free(changes, action.object)
        masks = {"mask_id": finding.mask_id, "base_id": finding.mask_id}
        changes.create_object(action.object, finding.label_id, origin="found", score=finding.score, **masks)


EFFECTS: dict[type, Callable[[ChangeSet, Any, float], None]] = {
    schemas.Stroke: stroke,
    schemas.Edit: edit,
    schemas.Remove: remove,
    schemas.Copy: copy,
    schemas.SetState: set_state,
    schemas.Decide: decide,
}


def _existing(changes: ChangeSet, object_id: str) -> ObjectRow:
    target = changes.object_row(object_id)
    if target is None:
        raise MissingFile(f"object {object_id}", "an object of this image", "reload the page")
    return target


def _check_free(changes: ChangeSet, object_id: str) -> None:
    if changes.paintable(object_id) is not None:
        raise Conflict(f"object {object_id}, which exists already", "a new object id")


def _fitted(mask: Mask, size: tuple[int, int]) -> Mask:
    """The part of ``mask`` that lies inside (H, W)."""
    height, width = min(mask.shape[0], size[0]), min(mask.shape[1], size[1])
    fitted = np.zeros(size, bool)
    fitted[:height, :width] = mask[:height, :width]
    if not fitted.any():
        raise InputError("an object that lies outside this image", "an object that fits into it")
    return fitted
