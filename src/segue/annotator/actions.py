"""Carrying out an action on an image: the model's answer, its effect and the journal entry, in one transaction."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from sqlmodel import Session, col, select

from segue.annotator import clips, journal, schemas, schemas_actions
from segue.annotator.codec import STORED, MaskLink, ObjectLink, Packed, SentPrompt, pack, unpack
from segue.annotator.edits import EFFECTS
from segue.annotator.library import Library, shot
from segue.annotator.serializers import comments_out, findings_out, mask_out, object_outs
from segue.annotator.store import (
    ActionMeta,
    ChangeSet,
    Conflict,
    Store,
    check_holder,
    check_label,
    entry_of,
    get_mask,
    get_masks,
    hold,
    image_row,
    live_objects,
    put_mask,
)
from segue.annotator.tables import ImageRow, JournalEntry, ObjectRow
from segue.annotator.worker import DecodeRequest, DecodeResult, Worker
from segue.core.errors import InputError, MissingFile
from segue.core.types import Box, Click, Mask, Prompt, Reference, Text


class Window(NamedTuple):
    """Who acts: a random id per browser tab, and the name that others see."""

    id: str
    name: str = ""


class Answer(NamedTuple):
    """The model's result, its mask as it is stored and sent, and the prompts as the journal keeps them."""

    result: DecodeResult
    packed: Packed
    stored: list[dict[str, Any]]


class Propagating(Protocol):
    """What carries objects through a clip."""

    def check(self, db: Session, row: ImageRow, action: schemas_actions.Propagate, frame: int | None) -> None: ...

    def begin(self, row: ImageRow, action: schemas_actions.Propagate, frame: int, run: int) -> None: ...


class ActionService:
    """Actions on the images of one project, one at a time on an image; safe from any thread."""

    def __init__(self, store: Store, library: Library, worker: Worker) -> None:
        self.store, self.library, self.worker = store, library, worker
        self.propagating: Propagating | None = None
        self._locks: dict[int, threading.RLock] = {}
        self._making = threading.Lock()

    def act(
        self,
        image_id: int,
        who: Window,
        request: schemas_actions.Act,
        early: Callable[[schemas.Early], None] | None = None,
    ) -> schemas.Outcome:
        """Carry out one action: its effect and its journal entry are saved together, or neither is.

        The model's mask is handed to ``early`` before it is saved, and then left out of the outcome.
        Raises ``Conflict`` when the page has not seen the newest entry or somebody else holds the image.
        A request whose key is in the journal already is answered with the present state.
        """
        action = request.action
        with self._image_lock(image_id), self.store.read() as db:
            row = self.measured(db, image_id)
            frame = frame_of(row, request.frame)
            entry = entry_of(db, request.key, image_id)
            if entry is not None:
                return _outcome(db, row, entry, frame)
            _check_current(row, who, request.seen)
            answer = None
            if isinstance(action, schemas_actions.Propagate):
                assert self.propagating is not None, "the server sets it"
                self.propagating.check(db, row, action, frame)
            if isinstance(action, schemas_actions.Prompted):
                answer = self._answer(db, row, action, frame)
                if early is not None:
                    early(_early(action.object, answer.packed))
            began = time.perf_counter()
            with self.store.write(db):
                hold(db, row, who.id, who.name)
                entry = self._carry_out(ChangeSet(db, row, frame), request, who, answer)
                outcome = _outcome(db, row, entry, frame, with_masks=answer is None or early is None)
                row.objects = len(outcome.order)
                row.touched_by, row.touched_at = who.name, time.time()
            if isinstance(action, schemas_actions.Propagate) and self.propagating and frame is not None:
                self.propagating.begin(row, action, frame, entry.changes[0]["id"])
            outcome.took.save = 1000 * (time.perf_counter() - began)
            if answer is not None:
                outcome.took.wait, outcome.took.model = answer.result.wait, answer.result.model
            return outcome

    def guess(self, image_id: int, who: Window, request: schemas_actions.Guess) -> Future[DecodeResult] | None:
        """Let the model begin with what an action will probably ask; None while an action or an answer is under way."""
        with self._image_lock(image_id, wait=False) as free:
            if not free:
                return None
            with self.store.read() as db:
                row = self.measured(db, image_id)
                _check_current(row, who, request.seen)
                question, _ = self._question(db, row, request.action, frame_of(row, request.frame))
            return self.worker.guess(question)

    def preview(self, image_id: int, who: Window, request: schemas_actions.Guess) -> schemas.Preview | None:
        """The mask that an action would give; None while anything else is waited for. Nothing is saved."""
        begun = self.guess(image_id, who, request)
        if begun is None:
            return None
        packed = pack(begun.result().mask)
        return schemas.Preview(box=packed.box, area=packed.area, data=packed.text)

    def measured(self, db: Session, image_id: int) -> ImageRow:
        """The image's row, with width, height and content noted when they are not known yet."""
        row = image_row(db, image_id)
        if row.width is None:
            self.note_file(db, row)
        return row

    def note_file(self, db: Session, row: ImageRow) -> bool:
        """Note what the file holds now; False where masks lie on another file of the same name."""
        stamp, size = self.library.stamp(row.path), self.library.size(row.path, row.axis)
        if row.stamp.startswith(f"{stamp}:") and row.size_known == size:
            return True
        frames = self.library.frames(row.path, row.axis)
        digest = self.library.digest(row.path)
        other_content = row.stamp and not row.stamp.endswith(f":{digest}")
        if row.objects and (other_content or row.size_known not in (None, size)):
            return False
        with self.store.write(db):
            row.height, row.width = size
            row.frames = frames
            row.stamp = f"{stamp}:{digest}"
            db.add(row)
        return True

    def _keep_masks(self, changes: ChangeSet, action: schemas_actions.Replaced) -> None:
        """Masks on another file of the same name: fitted to its size, or removed."""
        row = changes.image
        assert row is not None
        assert row.id is not None
        if row.frames:
            raise InputError(
                "a decision about the masks of a clip whose file was replaced", "the file that they are on"
            )
        before, size = row.size, self.library.size(row.path)
        for one in live_objects(changes.db, row.id):
            if action.masks == "remove" or one.mask_id is None:
                changes.change(one, deleted=True)
            elif size != before:
                mask = unpack(get_mask(changes.db, one.mask_id), before)
                fitted = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
                mask_id = put_mask(changes.db, pack(fitted))
                changes.change(one, mask_id=mask_id, base_id=mask_id, prompts=[])
        changes.change(row, height=size[0], width=size[1])
        row.stamp = f"{self.library.stamp(row.path)}:{self.library.digest(row.path)}"

    def _turn(self, changes: ChangeSet, axis: int) -> None:
        """A stack along another axis. Raises ``InputError`` where something is drawn along this one."""
        row = changes.image
        assert row is not None
        assert row.id is not None
        if live_objects(changes.db, row.id):
            raise InputError("another axis for a stack with objects", "a stack without", "remove them first")
        clip = self.library.clip(row.path, axis)
        changes.change(row, axis=axis, frames=clip.frames, height=clip.size[0], width=clip.size[1])

    def _answer(self, db: Session, row: ImageRow, action: schemas_actions.Prompted, frame: int | None) -> Answer:
        question, stored = self._question(db, row, action, frame)
        db.commit()  # nothing is read while the model is waited for
        result = self.worker.answer(question)
        if not result.mask.any():
            raise InputError(
                "an answer without a single pixel",
                "a mask",
                "nothing was changed; click elsewhere, or remove the object as a whole",
            )
        return Answer(result, pack(result.mask), stored)

    def _question(
        self, db: Session, row: ImageRow, action: schemas_actions.Prompted, frame: int | None
    ) -> tuple[DecodeRequest, list[dict[str, Any]]]:
        """What the model is to answer, and the new prompts as the journal keeps them; raises what the action would."""
        assert row.id is not None
        target = ChangeSet(db, row, frame).paintable(action.object)
        if target is None:
            check_label(db, action.label)
        links = [_stored(db, prompt) for prompt in action.prompts]
        stored = STORED.dump_python([links], mode="json")[0]
        size = row.height or 0, row.width or 0
        base_id, before = (target.base_id, target.prompts) if target and not _begins_again(stored) else (None, [])
        groups = [*STORED.validate_python(before), links]
        packed = None if base_id is None else get_mask(db, base_id)
        base: Callable[[], Mask] | None = None if packed is None else (lambda: unpack(packed, size))
        *answered, prompts = (tuple(self._prompt(db, prompt) for prompt in group) for group in groups)
        path, number = shot(row.path, row.axis, frame), encode_id(row.id, frame)
        return DecodeRequest(number, path, size, action.object, base_id, base, answered, prompts), stored

    def _prompt(self, db: Session, prompt: Click | Box | Text | MaskLink) -> Prompt:
        """A prompt as the model takes it; an example is read again from the image it was taken from."""
        if not isinstance(prompt, MaskLink):
            return prompt
        image = self.library.pixels(image_row(db, prompt.image).path)
        return Reference(image, unpack(get_mask(db, prompt.mask), image.shape[:2]))

    def _carry_out(
        self, changes: ChangeSet, request: schemas_actions.Act, who: Window, answer: Answer | None
    ) -> JournalEntry:
        action = request.action
        what = action.model_dump(exclude={"kind", "pixels", "adopted"}, exclude_none=True)
        if who.name:
            what["by"] = who.name
        meta = ActionMeta(request.key, who.id, action.kind, what)
        if isinstance(action, schemas_actions.Undo):
            return journal.undo(changes, meta)
        if isinstance(action, schemas_actions.Redo):
            return journal.redo(changes, meta)
        if isinstance(action, schemas_actions.Prompted):
            assert answer is not None
            _keep_answer(changes, action, answer, request.seconds)
        elif isinstance(action, schemas_actions.Replaced):
            self._keep_masks(changes, action)
        elif isinstance(action, schemas_actions.Axis):
            self._turn(changes, action.axis)
        else:
            EFFECTS[type(action)](changes, action, request.seconds)
        image = changes.image
        if image is not None and image.review == "approved" and any(one["table"] == "item" for one in changes.changes):
            changes.change(image, review="")  # what was approved is not what is there now
        return changes.record(meta)

    @contextlib.contextmanager
    def _image_lock(self, image_id: int, *, wait: bool = True) -> Iterator[bool]:
        """One action at a time on an image; False where another is under way and nobody wants to ``wait``."""
        with self._making:
            lock = self._locks.setdefault(image_id, threading.RLock())
        held = lock.acquire(blocking=wait)
        try:
            yield held
        finally:
            if held:
                lock.release()


def frame_of(row: ImageRow, frame: int | None) -> int | None:
    """The frame of a clip that is acted on, its first where none is named; None for a still image."""
    if not row.frames:
        return None
    if not 0 <= (frame or 0) < row.frames:
        raise InputError(f"frame {frame}", f"a number from 0 to {row.frames - 1}", "reload the page")
    return frame or 0


def encode_id(image_id: int, frame: int | None) -> int:
    """What features are kept by: the image, and of a clip the frame.

    >>> encode_id(7, None), encode_id(7, 2) >> 32
    (7, 2)
    """
    return image_id + ((frame or 0) << 32)


def _stored(db: Session, prompt: SentPrompt) -> Any:
    """A prompt as the journal keeps it; an example becomes the mask that the object has now."""
    if not isinstance(prompt, ObjectLink):
        return prompt
    source = db.get(ObjectRow, prompt.object)
    if source is None or source.mask_id is None:
        raise MissingFile(f"object {prompt.object}", "an object with a mask", "choose another example")
    return MaskLink(source.image_id, source.mask_id)


def _keep_answer(changes: ChangeSet, action: schemas_actions.Prompted, answer: Answer, spent: float) -> None:
    """The new mask, on top of all prompts before; a box or a text is one interaction, as a click is."""
    target = changes.paintable(action.object)
    now: dict[str, Any] = {"mask_id": put_mask(changes.db, answer.packed), "score": answer.result.score}
    if target is None:
        count = len(answer.stored)
        changes.create_object(action.object, action.label, prompts=[answer.stored], clicks=count, seconds=spent, **now)
        return
    if _begins_again(answer.stored):
        now |= {"prompts": [answer.stored], "base_id": None}
    else:
        now |= {"prompts": [*target.prompts, answer.stored]}
    changes.change(target, clicks=target.clicks + len(answer.stored), seconds=target.seconds + spent, **now)


def _begins_again(prompts: list[dict[str, Any]]) -> bool:
    """A box says where the whole object is: what was there before it does not count."""
    return any(prompt["type"] == "box" for prompt in prompts)


def _check_current(row: ImageRow, who: Window, seen: int) -> None:
    check_holder(row, who.id)
    if row.head != seen:
        raise Conflict(
            f"an action on version {seen} of the image",
            f"its newest version, {row.head}",
            "it was changed in another window; it is shown now, nothing was overwritten",
        )


def _early(object_id: str, packed: Packed) -> schemas.Early:
    return schemas.Early(object=object_id, box=packed.box, area=packed.area, data=packed.text)


def _outcome(
    db: Session, row: ImageRow, entry: JournalEntry, frame: int | None, *, with_masks: bool = True
) -> schemas.Outcome:
    """What ``entry`` changed, with the masks that it set unless the page has them; of a clip as it is seen in the frame
    that was changed."""
    query = select(ObjectRow.id).where(ObjectRow.image_id == row.id, ~col(ObjectRow.deleted))
    order = list(db.exec(query.order_by(col(ObjectRow.rank), col(ObjectRow.id))))
    changes = {change["id"]: change["now"] for change in entry.changes if change["table"] == "item"}
    if frame is not None:
        frame = clips.note_changes(entry, order, frame, changes)
    alive = sorted(set(order).intersection(changes))
    changed = object_outs(db, row, [one for one in (db.get(ObjectRow, i) for i in alive) if one is not None], frame)
    if with_masks:
        fresh = [out for out in changed if {"mask_id", "deleted"} & changes[out.id].keys()]
        masks = get_masks(db, [out.mask_id for out in fresh])
        for out in fresh:
            out.mask = mask_out(out.mask_id, masks)
    touched = {change["table"] for change in entry.changes}
    return schemas.Outcome(
        head=row.head,
        state=row.state,
        can_undo=row.undo_head is not None,
        can_redo=row.redo_head is not None,
        order=order,
        changed=changed,
        removed=sorted(changes.keys() - set(alive)),
        findings=findings_out(db, row) if "finding" in touched else None,
        review=row.review,
        tags=row.tags,
        comments=comments_out(db, row) if "comment" in touched else None,
        frame=frame,
        took=schemas.Milliseconds(),
    )
