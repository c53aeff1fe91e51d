"""What each action does to the rows of an image; the model's part is done before, the journal's after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlmodel import Session, col, func, select

from segue.annotator import schemas
from segue.annotator.codec import Packed, pack, unpack
from segue.annotator.journal import Draft
from segue.annotator.store import Conflict, get_mask, image_row, live_items, put_mask
from segue.annotator.tables import Finding, ImageRow, Item, Label
from segue.core.errors import InputError, MissingFile
from segue.core.types import Box, Click, Mask, Prompt, Reference, Text


@dataclass
class Scene:
    """The image under an action: its row, and the draft that notes every change. Objects are read one by one, so
    that a click costs the same in an image of two hundred."""

    db: Session
    image: ImageRow
    draft: Draft

    @classmethod
    def of(cls, db: Session, image: ImageRow) -> Scene:
        """The scene as the database holds it."""
        return cls(db, image, Draft(db))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        assert self.image.height is not None
        assert self.image.width is not None
        return self.image.height, self.image.width

    def item(self, item_id: str) -> Item:
        """An object of this image that is not removed."""
        item = self._here(item_id)
        if item is None:
            raise MissingFile(f"object {item_id}", "an object of this image", "reload the page")
        return item

    def paintable(self, item_id: str) -> Item | None:
        """The object if it exists; ``InputError`` if it is locked, ``Conflict`` if the id is in use elsewhere."""
        item = self._here(item_id)
        if item is None and self.db.get(Item, item_id) is not None:
            raise Conflict(f"object {item_id}, which was removed or is in another image", "a new object id")
        if item is not None and item.locked:
            raise InputError("an action on a locked object", "an unlocked object", "unlock it first")
        return item

    def create(self, item_id: str, label: int | None, **fields: Any) -> Item:
        """A new object on top of the stack."""
        assert self.image.id is not None
        check_label(self.db, label)
        highest = select(func.max(Item.rank)).where(Item.image_id == self.image.id, ~col(Item.deleted))
        rank = self.db.exec(highest).one()
        item = Item(id=item_id, image_id=self.image.id, label_id=label, rank=0 if rank is None else rank + 1, **fields)
        self.draft.create(item)
        if self.image.state == "new":
            self.draft.change(self.image, state="started")
        return item

    def _here(self, item_id: str) -> Item | None:
        item = self.db.get(Item, item_id)
        return item if item is not None and item.image_id == self.image.id and not item.deleted else None

    def mask(self, mask_id: int | None) -> Mask | None:
        """(H, W) bool of a stored mask."""
        return None if mask_id is None else unpack(get_mask(self.db, mask_id), self.size)


def to_prompts(db: Session, groups: Sequence[Sequence[Any]], pixels: Callable[[str], Any]) -> list[tuple[Prompt, ...]]:
    """Stored prompts as segue's own; an example is read again from the image it was taken from."""
    return [tuple(_to_prompt(db, prompt, pixels) for prompt in group) for group in groups]


def _to_prompt(db: Session, prompt: dict[str, Any], pixels: Callable[[str], Any]) -> Prompt:
    kind = prompt["type"]
    if kind == "click":
        return Click(prompt["x"], prompt["y"], prompt["positive"])
    if kind == "box":
        return Box(prompt["x0"], prompt["y0"], prompt["x1"], prompt["y1"])
    if kind == "text":
        return Text(prompt["words"])
    row = image_row(db, prompt["image"])
    image = pixels(row.path)
    return Reference(image, unpack(get_mask(db, prompt["mask"]), image.shape[:2]))


def to_stored(db: Session, prompts: Sequence[schemas.AnyPrompt]) -> list[dict[str, Any]]:
    """Prompts as the journal keeps them; an example becomes the mask that the object has now."""
    stored = []
    for prompt in prompts:
        if isinstance(prompt, schemas.ExamplePrompt):
            source = db.get(Item, prompt.object)
            if source is None or source.mask_id is None:
                raise MissingFile(f"object {prompt.object}", "an object with a mask", "choose another example")
            stored.append({"type": "example", "image": source.image_id, "mask": source.mask_id})
        else:
            stored.append(prompt.model_dump())
    return stored


def prompted(
    scene: Scene, action: schemas.Prompted, stored: list[dict[str, Any]], packed: Packed, score: float, spent: float
) -> None:
    """Keep the model's answer: the new mask, on top of all prompts before."""
    mask_id = put_mask(scene.db, packed)
    item = scene.paintable(action.object)
    clicks = len(stored)  # a box or a text is one interaction, as a click is
    if item is None:
        fields = {"mask_id": mask_id, "prompts": [stored], "score": score, "clicks": clicks, "seconds": spent}
        scene.create(action.object, action.label, **fields)
        return
    scene.draft.change(
        item,
        mask_id=mask_id,
        prompts=[*item.prompts, stored],
        score=score,
        clicks=item.clicks + clicks,
        seconds=item.seconds + spent,
    )


def stroke(scene: Scene, action: schemas.Stroke, spent: float) -> None:
    """Paint pixels in or out; the model continues from the painted mask."""
    pixels = unpack(action.pixels.packed(), scene.size)
    item = scene.paintable(action.object)
    before = None if item is None else scene.mask(item.mask_id)
    if before is None:
        if action.erase:
            raise InputError("an eraser stroke on an object that is not there", "an object with a mask")
        before = pixels
    painted = before & ~pixels if action.erase else before | pixels
    mask_id = put_mask(scene.db, pack(painted))
    if item is None:
        fields = {"mask_id": mask_id, "base_id": mask_id, "origin": "brush", "strokes": 1, "seconds": spent}
        scene.create(action.object, action.label, **fields)
        return
    scene.draft.change(
        item, mask_id=mask_id, base_id=mask_id, prompts=[], strokes=item.strokes + 1, seconds=item.seconds + spent
    )


def edit(scene: Scene, action: schemas.Edit, spent: float) -> None:
    """Class, lock, visibility and place of an object."""
    item = scene.item(action.object)
    now: dict[str, Any] = {"seconds": item.seconds + spent}
    if action.label is not None:
        check_label(scene.db, action.label)
        now["label_id"] = action.label
    if action.locked is not None:
        now["locked"] = action.locked
    if action.hidden is not None:
        now["hidden"] = action.hidden
    scene.draft.change(item, **now)
    if action.place is not None:
        assert scene.image.id is not None
        others = [other for other in live_items(scene.db, scene.image.id) if other.id != item.id]
        others.insert(action.place, item)
        for rank, other in enumerate(others):
            scene.draft.change(other, rank=rank)


def remove(scene: Scene, action: schemas.Remove) -> None:
    """Take an object away."""
    item = scene.item(action.object)
    if item.locked:
        raise InputError("the removal of a locked object", "an unlocked object", "unlock it first")
    scene.draft.change(item, deleted=True)


def copy(scene: Scene, action: schemas.Copy) -> None:
    """Objects of other images, at the same pixels; parts outside this image are cut off."""
    for source_id, new_id in action.objects.items():
        source = scene.db.get(Item, source_id)
        if source is None or source.deleted or source.mask_id is None:
            raise MissingFile(f"object {source_id}", "an object with a mask", "choose another object to copy")
        if scene.paintable(new_id) is not None:
            raise Conflict(f"object {new_id}, which exists already", "a new object id")
        origin = image_row(scene.db, source.image_id)
        assert origin.height is not None
        assert origin.width is not None
        packed = get_mask(scene.db, source.mask_id)
        if (origin.height, origin.width) != scene.size:
            packed = pack(_fitted(unpack(packed, (origin.height, origin.width)), scene.size))
        mask_id = put_mask(scene.db, packed)
        scene.create(new_id, source.label_id, mask_id=mask_id, base_id=mask_id, origin="copy")


def set_state(scene: Scene, action: schemas.SetState) -> None:
    """Accepted, skipped, or open again."""
    scene.draft.change(scene.image, state=action.state)


def decide(scene: Scene, action: schemas.Decide) -> None:
    """A found mask becomes an object, or is put aside."""
    finding = scene.db.get(Finding, action.finding)
    if finding is None or finding.image_id != scene.image.id:
        raise MissingFile(f"finding {action.finding}", "a proposal for this image", "reload the page")
    if finding.state != "open":
        raise Conflict(f"finding {action.finding}, which is {finding.state} already", "an open proposal")
    scene.draft.change(finding, state="accepted" if action.accept else "rejected")
    if action.accept:
        if scene.paintable(action.object) is not None:
            raise Conflict(f"object {action.object}, which exists already", "a new object id")
        fields = {"mask_id": finding.mask_id, "base_id": finding.mask_id, "score": finding.score}
        scene.create(action.object, finding.label_id, origin="found", **fields)


def check_label(db: Session, label: int | None) -> None:
    """Raise ``MissingFile`` unless the class exists."""
    row = None if label is None else db.get(Label, label)
    if label is not None and (row is None or row.deleted):
        raise MissingFile(f"class {label}", "a class of this project", "reload the page")


def _fitted(mask: Mask, size: tuple[int, int]) -> Mask:
    """The part of ``mask`` that lies inside (H, W)."""
    height, width = min(mask.shape[0], size[0]), min(mask.shape[1], size[1])
    fitted = np.zeros(size, bool)
    fitted[:height, :width] = mask[:height, :width]
    if not fitted.any():
        raise InputError("an object that lies outside this image", "an object that fits into it")
    return fitted
