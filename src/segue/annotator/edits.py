"""What each action without the model does to an image's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segue.annotator import attributes, clips, reviewing, schemas_actions, shaping
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
from segue.annotator.tables import Finding, FrameMask, ObjectRow, Run
from segue.core.errors import InputError, MissingFile
from segue.core.types import Mask

MOST_DISTANCE = 200  # pixels


def stroke(changes: ChangeSet, action: schemas_actions.Stroke, spent: float) -> None:
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


def edit(changes: ChangeSet, action: schemas_actions.Edit, spent: float) -> None:
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


def remove(changes: ChangeSet, action: schemas_actions.Remove, _spent: float) -> None:
    """Take an object away."""
    target = _existing(changes, action.object)
    if target.locked:
        raise InputError("the removal of a locked object", "an unlocked object", "unlock it first")
    changes.change(target, deleted=True)


def copy(changes: ChangeSet, action: schemas_actions.Copy, _spent: float) -> None:
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


def set_state(changes: ChangeSet, action: schemas_actions.SetState, _spent: float) -> None:
    """Accepted, skipped, or open again. Raises ``InputError`` for accepting an object without a pixel."""
    assert changes.image is not None
    assert changes.image.id is not None
    if action.state == "accepted":
        rows = live_objects(changes.db, changes.image.id)
        if changes.image.frames:
            empty = clips.without_masks(changes.db, rows)
        else:
            masks = get_masks(changes.db, [row.mask_id for row in rows])
            empty = sum(row.mask_id is None or not masks[row.mask_id].area for row in rows)
        if empty:
            raise InputError(
                f"an image with {empty} {'object' if empty == 1 else 'objects'} without a single pixel",
                "objects with pixels",
                "remove them, or take back what emptied them",
            )
    changes.change(changes.image, state=action.state, review="")


def decide(changes: ChangeSet, action: schemas_actions.Decide, _spent: float) -> None:
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


def adopt(changes: ChangeSet, action: schemas_actions.Adopt, spent: float) -> None:
    """Proposed masks become objects, each all of its masks together and as sure as the least sure of them."""
    for object_id, found in action.adopted.items():
        _check_free(changes, object_id)
        mask = np.zeros(changes.size, bool)
        for one in found:
            mask |= unpack(one.pixels.packed(), changes.size)
        mask_id = put_mask(changes.db, pack(shaping.checked(mask)))
        masks = {"mask_id": mask_id, "base_id": mask_id, "score": min(one.score for one in found)}
        seconds = spent / len(action.adopted)
        changes.create_object(object_id, action.label, origin="proposed", seconds=seconds, **masks)


def shape(changes: ChangeSet, action: schemas_actions.Shape, spent: float) -> None:
    """A rule on an object's mask."""
    target, mask = _mask_of(changes, action.object)
    _set_mask(changes, target, shaping.shaped(mask, action.how, limited(action.how, action.amount)), spent)


def reshape(changes: ChangeSet, action: schemas_actions.Reshape, spent: float) -> None:
    """A ring of the polygon view that was edited."""
    target, mask = _mask_of(changes, action.object)
    if len(action.points) % 2 or 0 < len(action.points) < 6:
        raise InputError(f"a ring of {len(action.points)} numbers", "x and y of at least three points, or none")
    _set_mask(changes, target, shaping.reshaped(mask, action.tolerance, action.ring, action.points), spent)


def split(changes: ChangeSet, action: schemas_actions.Split, spent: float) -> None:
    """Every part an object of its own."""
    target, mask = _mask_of(changes, action.object)
    largest, *rest = shaping.parts(mask)
    _set_mask(changes, target, largest, spent)
    for number, part in enumerate(rest):
        _check_free(changes, f"{action.parts}-{number}")
        mask_id = put_mask(changes.db, pack(part))
        masks = {"mask_id": mask_id, "base_id": mask_id}
        changes.create_object(f"{action.parts}-{number}", target.label_id, origin="split", **masks)


def combine(changes: ChangeSet, action: schemas_actions.Combine, spent: float) -> None:
    """Other objects merged into one, or taken from it."""
    target, mask = _mask_of(changes, action.object)
    for other_id in dict.fromkeys(action.others):
        if other_id == action.object:
            raise InputError("an object with itself", "other objects")
        merging = action.how == "merge"
        other, pixels = _mask_of(changes, other_id, locked=not merging)
        mask = mask | pixels if merging else mask & ~pixels
        if merging:
            changes.change(other, deleted=True)
    _set_mask(changes, target, shaping.checked(mask), spent)


def relabel(changes: ChangeSet, action: schemas_actions.Relabel, _spent: float) -> None:
    """One class for all objects."""
    check_label(changes.db, action.label)
    for row in _unlocked(changes):
        changes.change(row, label_id=action.label)


def clear(changes: ChangeSet, _action: schemas_actions.Clear, _spent: float) -> None:
    """No objects but the locked ones."""
    for row in _unlocked(changes):
        changes.change(row, deleted=True)


def mark(changes: ChangeSet, action: schemas_actions.Marking, spent: float) -> None:
    """An object of a clip goes, comes back, or has no key frame here."""
    target = _existing(changes, action.object)
    if changes.frame is None:
        raise InputError("a mark in a single image", "a frame of a clip")
    if target.locked:
        raise InputError("a mark of a locked object", "an unlocked object", "unlock it first")
    key = changes.db.get(FrameMask, clips.frame_id(target.id, changes.frame))
    if action.mark == "none":
        if key is None or key.deleted:
            raise InputError("no key frame to take away here", "a key frame of this object")
        changes.change(key, deleted=True)
        return
    blank: dict[str, Any] = {"mark": action.mark, "mask_id": None, "base_id": None, "prompts": [], "score": 0.0}
    if key is None:
        number = clips.frame_id(target.id, changes.frame)
        changes.create(FrameMask(id=number, object_id=target.id, frame=changes.frame, **blank))
    else:
        changes.change(key, deleted=False, **blank)
    changes.change(target, seconds=target.seconds + spent)


def propagate(changes: ChangeSet, _action: schemas_actions.Propagate, _spent: float) -> None:
    """A run that the process will fill."""
    assert changes.image is not None
    assert changes.image.id is not None
    changes.create(Run(image_id=changes.image.id))


def limited(how: str, amount: float) -> float:
    """``amount`` where the rule can take it. Raises ``InputError`` for distances above 200 pixels."""
    if how not in ("fill-holes", "drop-islands") and amount > MOST_DISTANCE:
        raise InputError(f"a distance of {amount:g} pixels", f"at most {MOST_DISTANCE}")
    return amount


EFFECTS: dict[type, Callable[[ChangeSet, Any, float], None]] = {
    schemas_actions.Stroke: stroke,
    schemas_actions.Edit: edit,
    schemas_actions.Remove: remove,
    schemas_actions.Copy: copy,
    schemas_actions.SetState: set_state,
    schemas_actions.Decide: decide,
    schemas_actions.Adopt: adopt,
    schemas_actions.Shape: shape,
    schemas_actions.Reshape: reshape,
    schemas_actions.Split: split,
    schemas_actions.Combine: combine,
    schemas_actions.Relabel: relabel,
    schemas_actions.Clear: clear,
    schemas_actions.Review: reviewing.review,
    schemas_actions.Say: reviewing.comment,
    schemas_actions.Describe: attributes.describe,
    schemas_actions.Marking: mark,
    schemas_actions.Propagate: propagate,
}


def _existing(changes: ChangeSet, object_id: str) -> ObjectRow:
    target = changes.object_row(object_id)
    if target is None:
        raise MissingFile(f"object {object_id}", "an object of this image", "reload the page")
    return target


def _unlocked(changes: ChangeSet) -> list[ObjectRow]:
    assert changes.image is not None
    assert changes.image.id is not None
    return [row for row in live_objects(changes.db, changes.image.id) if not row.locked]


def _mask_of(changes: ChangeSet, object_id: str, *, locked: bool = False) -> tuple[ObjectRow, Mask]:
    """An object that may be changed (or, with ``locked``, only read), and its mask (H, W)."""
    target = _existing(changes, object_id)
    if target.locked and not locked:
        raise InputError("an action on a locked object", "an unlocked object", "unlock it first")
    if target.mask_id is None:
        raise InputError("an object without a mask", "an object with pixels", "draw it first")
    return target, unpack(get_mask(changes.db, target.mask_id), changes.size)


def _set_mask(changes: ChangeSet, target: ObjectRow, mask: Mask, spent: float) -> None:
    """The model goes on from this mask, without the prompts of before."""
    mask_id = put_mask(changes.db, pack(mask))
    changes.change(target, mask_id=mask_id, base_id=mask_id, prompts=[], seconds=target.seconds + spent)


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
