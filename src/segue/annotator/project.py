"""A project: one folder, one database, one model. What the routes call; every method is safe from any thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, select

import segue
from segue.annotator import actions, journal, schemas, views
from segue.annotator.actions import Scene
from segue.annotator.codec import Packed, pack, unpack
from segue.annotator.config import AnnotateConfig
from segue.annotator.journal import Draft, Stamp
from segue.annotator.library import Library
from segue.annotator.store import (
    PALETTE,
    Conflict,
    Store,
    check_holder,
    entry_of,
    get_mask,
    hold,
    image_row,
    live_labels,
    setting,
)
from segue.annotator.tables import Entry, Finding, ImageRow, Item, Label, Setting
from segue.annotator.workers import Answer, Ask, Worker
from segue.core.errors import InputError, MissingFile
from segue.core.segmenter import Segmenter

FIRST_LABEL = "object"


class Project:
    """The opened folder with everything drawn in it; ``load`` opens the model (default: the configured one).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     project = Project(AnnotateConfig(db=f"sqlite:///{home}/p.db"))
    ...     [line.path for line in project.images().images]
    ['astronaut.jpg', 'cat.jpg', 'coffee.jpg', 'rocket.jpg']
    """

    def __init__(self, config: AnnotateConfig, load: Callable[[], Segmenter] | None = None) -> None:
        self.config = config
        self.library = Library(config.images, config.home, config.max_pixels)
        self.store = Store(config.database)
        self.adapter: str | None = None if config.adapter is None else str(config.adapter)
        self.worker = Worker(load or config.load, self.library.pixels, config.features)
        self._locks: dict[int, threading.RLock] = {}
        self._making = threading.Lock()
        with self.store.write() as db:
            self.store.sync_images(db, self.library.scan())
            if not live_labels(db):
                draft = Draft(db)
                draft.create(Label(name=FIRST_LABEL, colour=PALETTE[0]))
                _record_once(draft, Stamp("first-label", "segue", "label", {}))

    def close(self) -> None:
        """Stop the model and close the database."""
        self.worker.stop()
        self.store.close()

    # reading

    def overview(self) -> schemas.Project:
        """What the page needs at its start."""
        with self.store.read() as db:
            counts = dict(
                db.exec(
                    select(ImageRow.state, func.count()).where(col(ImageRow.present)).group_by(col(ImageRow.state))
                ).all()
            )
            worked = select(func.count(), func.avg(Item.clicks), func.avg(Item.strokes), func.avg(Item.seconds)).where(
                ~col(Item.deleted), col(Item.clicks) + col(Item.strokes) > 0
            )
            objects, clicks, strokes, seconds = db.exec(worked).one()
            last = select(Entry.image_id).where(col(Entry.image_id).is_not(None)).order_by(col(Entry.id).desc())
            return schemas.Project(
                name=self.library.folder.name,
                version=segue.__version__,
                labels=[views.label_out(label) for label in live_labels(db)],
                overlap=setting(db, "overlap", "allow"),
                counts=schemas.Counts(**counts),
                effort=schemas.Effort(objects=objects, clicks=clicks or 0, strokes=strokes or 0, seconds=seconds or 0),
                model=self.model_out(),
                last=db.exec(last.limit(1)).first(),
            )

    def model_out(self) -> schemas.ModelOut:
        """The model for the status line."""
        state, message = self.worker.state
        return schemas.ModelOut(
            name=Path(self.config.model).name,
            state=state,
            accepts=self.worker.accepts,
            message=message,
            adapter=self.adapter,
        )

    def images(
        self, state: str | None = None, search: str = "", offset: int = 0, limit: int = 200
    ) -> schemas.ImagePage:
        """Part of the list: images in one ``state`` (or all) whose path contains ``search``."""
        query = select(ImageRow).where(col(ImageRow.present))
        if state == "open":
            query = query.where(col(ImageRow.state).in_(("new", "started")))
        elif state:
            query = query.where(ImageRow.state == state)
        if search:
            query = query.where(func.lower(ImageRow.path).contains(search.lower(), autoescape=True))
        with self.store.read() as db:
            total = db.exec(select(func.count()).select_from(query.subquery())).one()
            rows = db.exec(query.order_by(col(ImageRow.id)).offset(offset).limit(limit))
            return schemas.ImagePage(total=total, offset=offset, images=[views.image_line(row) for row in rows])

    def look(self, image_id: int, who: str) -> schemas.ImageOut:
        """One image and everything on it."""
        shown = self.library.shown(self.path_of(image_id))
        with self.store.write() as db:  # the size is noted when an image is first looked at
            row = self.sized(db, image_row(db, image_id))
            findings = db.exec(select(Finding).where(Finding.image_id == image_id, Finding.state == "open").limit(50))
            return views.image_out(db, row, who, list(findings), self._neighbours(db, image_id), shown)

    def status(self, image_id: int | None) -> schemas.Status:
        """What the model is doing."""
        if image_id is None:
            return schemas.Status(model=self.model_out())
        state, progress, message, milliseconds = self.worker.encoder.progress(image_id)
        with self.store.read() as db:
            row = image_row(db, image_id)
            return schemas.Status(
                model=self.model_out(),
                image=schemas.Encoding(state=state, progress=progress, message=message, encode_ms=milliseconds),
                head=row.head,
                holder=views.holder_of(row),
            )

    def path_of(self, image_id: int) -> str:
        """The relative path of an image."""
        with self.store.read() as db:
            return image_row(db, image_id).path

    # working

    def open(self, image_id: int, who: str, name: str, *, force: bool = False) -> schemas.ImageOut:
        """Look at an image, hold it if it is free, encode it now and its successors afterwards."""
        with contextlib.suppress(Conflict):
            self.claim(image_id, who, name, force=force)
        shown = self.look(image_id, who)
        with self.store.read() as db:
            query = select(ImageRow.id, ImageRow.path).where(
                col(ImageRow.present), col(ImageRow.id) > image_id, col(ImageRow.state).in_(("new", "started"))
            )
            after = db.exec(query.order_by(col(ImageRow.id)).limit(self.config.prefetch)).all()
        self.worker.open(who, image_id, shown.path, [(int(i or 0), path) for i, path in after])
        return shown

    def claim(self, image_id: int, who: str, name: str, *, force: bool = False) -> None:
        """Hold an image for the next 45 seconds. Raises ``Conflict`` when another page holds it."""
        with self.store.write() as db:
            row = image_row(db, image_id, lock=True)
            if not force:
                check_holder(row, who)
            hold(row, who, name)
            db.add(row)

    def release(self, image_id: int, who: str) -> None:
        """Let the image go."""
        with self.store.write() as db:
            row = image_row(db, image_id, lock=True)
            if row.holder == who:
                row.holder, row.held_until = None, 0.0
                db.add(row)

    def act(
        self,
        image_id: int,
        who: str,
        name: str,
        request: schemas.Act,
        early: Callable[[schemas.Early], None] | None = None,
    ) -> schemas.Outcome:
        """Carry out one action: its effect and its journal entry are saved together, or neither is.

        The model's mask is handed to ``early`` before it is saved, and then left out of the outcome.
        Raises ``Conflict`` when the page has not seen the newest entry or somebody else holds the image.
        A request whose key is in the journal already is answered with the present state.
        """
        with self._image_lock(image_id):
            reply: _Reply | None = None
            if isinstance(request.action, schemas.Prompted):
                reply = self._reply(image_id, who, request, request.action)
                if reply is not None and early is not None:
                    early(schemas.Early.of(request.action.object, reply.packed))
            began = time.perf_counter()
            try:
                outcome = self._save(image_id, who, name, request, reply, sent=early is not None)
            except IntegrityError as error:
                raise Conflict("an action that another server saved at the same time", "", "try again") from error
            outcome.took.save = 1000 * (time.perf_counter() - began)
            if reply is not None:
                outcome.took.wait, outcome.took.model = reply.answer.wait, reply.answer.model
            return outcome

    def guess(self, image_id: int, who: str, request: schemas.Guess) -> None:
        """Let the model begin with what an action will probably ask, unless an action is under way."""
        with self._image_lock(image_id, wait=False) as free:
            if not free:
                return
            with self.store.read() as db:
                row = image_row(db, image_id)
                ask, _ = self._ask(db, row, who, request.seen, request.action)
            self.worker.guess(image_id, row.path, ask)

    def _reply(self, image_id: int, who: str, request: schemas.Act, action: schemas.Prompted) -> _Reply | None:
        """What the model says; None when this request was carried out before."""
        with self.store.read() as db:
            row = image_row(db, image_id)
            if entry_of(db, request.key, image_id) is not None:
                return None
            ask, stored = self._ask(db, row, who, request.seen, action)
        answer = self.worker.answer(image_id, row.path, ask)
        return _Reply(answer, pack(answer.mask), stored)

    def _ask(
        self, db: Session, row: ImageRow, who: str, seen: int, action: schemas.Prompted
    ) -> tuple[Ask, list[dict[str, Any]]]:
        """What the model is to answer, and the prompts as the journal keeps them; raises what the action would."""
        if row.width is None:
            row.height, row.width = self.library.size(row.path)
        _check_current(row, who, seen)
        scene = Scene.of(db, row)
        item = scene.paintable(action.object)
        if item is None:
            actions.check_label(db, action.label)
        stored = actions.to_stored(db, action.prompts)
        groups = actions.to_prompts(db, [*(item.prompts if item else []), stored], self.library.pixels)
        base_id, size = item.base_id if item else None, scene.size
        packed = None if base_id is None else get_mask(db, base_id)
        base = None if packed is None else (lambda: unpack(packed, size))
        return Ask(action.object, base_id, base, groups[:-1], groups[-1]), stored

    def _save(
        self,
        image_id: int,
        who: str,
        name: str,
        request: schemas.Act,
        reply: _Reply | None,
        *,
        sent: bool,
    ) -> schemas.Outcome:
        with self.store.write() as db:
            row = self.sized(db, image_row(db, image_id, lock=True))
            entry = entry_of(db, request.key, image_id)
            seen = sent and reply is not None and entry is None  # the page has the mask that is saved now
            if entry is None:
                _check_current(row, who, request.seen)
                hold(row, who, name)
                scene = Scene.of(db, row)
                entry = _carry_out(scene, request, who, reply)
                db.flush()
            outcome = views.outcome(db, row, entry, with_masks=not seen)
            row.objects = len(outcome.order)
            db.add(row)
        return outcome

    def set_label(self, who: str, request: schemas.LabelIn) -> list[schemas.LabelOut]:
        """Add, rename, recolour or remove a class."""
        with self.store.write() as db:
            if entry_of(db, request.key, None) is None:
                draft = Draft(db)
                self._draft_label(draft, request)
                _record_once(draft, Stamp(request.key, who, "label", request.model_dump(exclude={"key"})))
            return [views.label_out(label) for label in live_labels(db)]

    def set_settings(self, who: str, request: schemas.SettingsIn) -> None:
        """Change project-wide settings."""
        with self.store.write() as db:
            if entry_of(db, request.key, None) is not None:
                return
            row = db.get(Setting, "overlap") or Setting(key="overlap", value="allow")
            db.add(row)
            draft = Draft(db)
            draft.change(row, value=request.overlap)
            _record_once(draft, Stamp(request.key, who, "settings", {"overlap": request.overlap}))

    def journal(self, image_id: int | None, after: int, limit: int) -> list[schemas.EntryOut]:
        """Lines of the journal."""
        with self.store.read() as db:
            return [views.entry_out(entry) for entry in journal.entries(db, image_id, after, limit)]

    def _draft_label(self, draft: Draft, request: schemas.LabelIn) -> None:
        labels = live_labels(draft.db)
        if request.name and any(k.name == request.name and k.id != request.id for k in labels):
            raise InputError(f"the class name '{request.name}'", "a name that is not taken", "choose another name")
        if request.id is None:
            if not request.name:
                raise InputError("a class without a name", "a name")
            rank = 1 + max((label.rank for label in labels), default=-1)
            colour = request.colour or PALETTE[rank % len(PALETTE)]
            draft.create(Label(name=request.name, colour=colour, rank=rank))
            return
        row = next((label for label in labels if label.id == request.id), None)
        if row is None:
            raise MissingFile(f"class {request.id}", "a class of this project", "reload the page")
        if not request.remove:
            draft.change(row, name=request.name or row.name, colour=request.colour or row.colour)
            return
        used = draft.db.exec(select(func.count()).where(Item.label_id == row.id, ~col(Item.deleted))).one()
        if used or len(labels) == 1:
            raise InputError(
                f"the removal of class '{row.name}', which {used} objects have"
                if used
                else "the removal of the last class",
                "a class without objects, and one class left",
                "give its objects another class first" if used else "rename it instead",
            )
        draft.change(row, deleted=True)

    def sized(self, db: Session, row: ImageRow) -> ImageRow:
        """The row with its width and height, read from the file's header when they are not known yet."""
        if row.width is None:
            row.height, row.width = self.library.size(row.path)
            db.add(row)
            db.flush()
        return row

    def _neighbours(self, db: Session, image_id: int) -> tuple[int | None, int | None]:
        here, ids = col(ImageRow.present), col(ImageRow.id)
        following = db.exec(select(func.min(ImageRow.id)).where(here, ids > image_id)).one()
        previous = db.exec(select(func.max(ImageRow.id)).where(here, ids < image_id)).one()
        return following, previous

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


@dataclass(frozen=True)
class _Reply:
    """The model's answer, its mask as it is stored and sent, and the prompts as the journal keeps them."""

    answer: Answer
    packed: Packed
    stored: list[dict[str, Any]]


def _carry_out(scene: Scene, request: schemas.Act, who: str, reply: _Reply | None) -> Entry:
    action, spent = request.action, request.seconds
    stamp = Stamp(request.key, who, action.kind, action.model_dump(exclude={"kind", "pixels"}, exclude_none=True))
    if isinstance(action, schemas.Undo):
        return journal.undo(scene.draft, scene.image, stamp)
    if isinstance(action, schemas.Redo):
        return journal.redo(scene.draft, scene.image, stamp)
    if isinstance(action, schemas.Prompted):
        assert reply is not None, "only a request that is in the journal already is not answered"
        actions.prompted(scene, action, reply.stored, reply.packed, reply.answer.score, spent)
    elif isinstance(action, schemas.Stroke):
        actions.stroke(scene, action, spent)
    elif isinstance(action, schemas.Edit):
        actions.edit(scene, action, spent)
    elif isinstance(action, schemas.Remove):
        actions.remove(scene, action)
    elif isinstance(action, schemas.Copy):
        actions.copy(scene, action)
    elif isinstance(action, schemas.SetState):
        actions.set_state(scene, action)
    else:
        actions.decide(scene, action)
    return journal.record(scene.draft, scene.image, stamp)


def _record_once(draft: Draft, stamp: Stamp) -> None:
    if entry_of(draft.db, stamp.key, None) is None:
        journal.record(draft, None, stamp)


def _check_current(row: ImageRow, who: str, seen: int) -> None:
    check_holder(row, who)
    if row.head != seen:
        raise Conflict(
            f"an action on version {seen} of the image",
            f"its newest version, {row.head}",
            "it was changed in another window; it is shown now, nothing was overwritten",
        )
