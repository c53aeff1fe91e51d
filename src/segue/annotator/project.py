"""A project: one folder, one database, one model. What the routes call; every method is safe from any thread."""

from __future__ import annotations

import colorsys
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

import segue
from segue.annotator import attributes, journal, schemas, serializers
from segue.annotator.actions import ActionService, Window, encode_id, frame_of
from segue.annotator.budget import MemoryBudget
from segue.annotator.config import AnnotateConfig
from segue.annotator.library import Library, shot
from segue.annotator.store import (
    ActionMeta,
    ChangeSet,
    Conflict,
    Store,
    entry_of,
    hold,
    image_row,
    live_labels,
    setting,
    sync_images,
)
from segue.annotator.tables import Finding, ImageRow, JournalEntry, Label, ObjectRow, Setting
from segue.annotator.worker import Worker
from segue.core.errors import ImageError, InputError, MissingFile
from segue.core.segmenter import Segmenter
from segue.data.io.clip import Slices

PALETTE = (
    "#4C8DFF",
    "#FF7A59",
    "#2FB67C",
    "#E0559A",
    "#F2B33D",
    "#8A6BF2",
    "#22B8CF",
    "#B5C334",
    "#E5484D",
    "#9C7A5B",
)
GOLDEN = 0.618033988749895  # turns of the colour wheel from one class to the next
FIRST_LABEL = "object"
RESCAN = 10.0  # seconds between two looks for new files


class Project:
    """The opened folder with everything drawn in it; ``load`` opens the model (default: the configured one).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     project = Project(AnnotateConfig(db=f"sqlite:///{home}/p.db"))
    ...     project.overview().images
    4
    """

    def __init__(self, config: AnnotateConfig, load: Callable[[], Segmenter] | None = None) -> None:
        self.config = config
        budget = MemoryBudget(config.memory)
        self.library = Library(config.images, config.home, config.max_pixels, budget, frames=config.frames)
        self.store = Store(config.database)
        self.adapter: str | None = None if config.adapter is None else str(config.adapter)
        self.worker = Worker(load or config.load, self.library.pixels, budget, self.library.stamp)
        self.actions = ActionService(self.store, self.library, self.worker)
        self._scanning, self._next_scan = threading.Lock(), time.monotonic() + RESCAN
        with self.store.write() as db:
            sync_images(db, self.library.scan())
            if not live_labels(db):
                changes = ChangeSet(db)
                changes.create(Label(name=FIRST_LABEL, colour=PALETTE[0]))
                _record_once(changes, ActionMeta("first-label", "segue", "label", {}))

    def close(self) -> None:
        """Stop the model and close the database."""
        self.worker.stop()
        self.store.close()

    # reading

    def overview(self) -> schemas.ProjectOut:
        """What the page needs at its start."""
        with self.store.read() as db:
            states = select(ImageRow.state, func.count()).where(col(ImageRow.present)).group_by(col(ImageRow.state))
            acted = select(JournalEntry.image_id).where(col(JournalEntry.image_id).is_not(None))
            return schemas.ProjectOut(
                name=self.library.folder.name,
                version=segue.__version__,
                labels=[schemas.LabelOut.model_validate(label) for label in live_labels(db)],
                overlap=setting(db, "overlap", "allow"),
                attributes=attributes.definitions(db),
                counts=schemas.Counts(**dict(db.exec(states).all())),
                effort=_effort(db),
                model=self.model_out(),
                last=db.exec(acted.order_by(col(JournalEntry.id).desc()).limit(1)).first(),
                head=_head(db),
                images=_count(db),
                skipped=self.library.skipped,
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

    def look(self, image_id: int, who: Window, frame: int | None = None) -> schemas.ImageOut:
        """One image and everything on it; of a clip as it is in ``frame``."""
        with self.store.read() as db:
            row = image_row(db, image_id)
            replaced = not self.actions.note_file(db, row)
            shown, stamp = self.library.shown(row.path), self.library.stamp(row.path)
            number = frame_of(row, frame)
            out = serializers.image_out(db, row, who.id, shown, stamp, replaced=replaced, frame=number)
        if number is not None:
            clip = self.library.clip(out.path, out.axis)
            out.kind, out.rate = schemas.KIND.validate_python(clip.kind), clip.rate
            out.spacing = clip.volume.spacing if isinstance(clip, Slices) else None
        return out

    def status(self, image_id: int | None, who: Window, frame: int | None = None) -> schemas.Status:
        """What the model is doing, and what changed elsewhere."""
        self._rescan()
        with self.store.read() as db:
            waiting = db.exec(select(func.count()).where(Finding.state == "open")).one()
            common = {"model": self.model_out(), "project_head": _head(db), "images": _count(db), "proposals": waiting}
            if image_id is None:
                return schemas.Status(**common)
            row = image_row(db, image_id)
            number = encode_id(image_id, frame if row.frames else None)
            state, progress, message, milliseconds = self.worker.encoder.progress(number)
            holder = serializers.holder_of(row)
            return schemas.Status(
                **common,
                image=schemas.Encoding(state=state, progress=progress, message=message, encode_ms=milliseconds),
                head=row.head,
                stamp=self.library.stamp(row.path),
                holder=holder,
                mine=holder is not None and row.holder == who.id,
            )

    def _rescan(self) -> None:
        """Look for new and vanished files, at most every few seconds."""
        if time.monotonic() < self._next_scan or not self._scanning.acquire(blocking=False):
            return
        try:
            with self.store.write() as db:
                sync_images(db, self.library.scan())
            self._next_scan = time.monotonic() + RESCAN
        finally:
            self._scanning.release()

    def path_of(self, image_id: int, frame: int | None = None) -> str:
        """The relative path of an image; with ``frame`` that of a clip's frame, as ``library.shot`` has it."""
        with self.store.read() as db:
            row = image_row(db, image_id)
            return row.path if frame is None else shot(row.path, row.axis, frame_of(row, frame))

    # working

    def open(self, image_id: int, who: Window, *, force: bool = False, frame: int | None = None) -> schemas.ImageOut:
        """Look at an image, hold it if it is free, encode it now and its successors afterwards; of a clip the frame and
        the one after it."""
        with contextlib.suppress(Conflict):
            self.claim(image_id, who, force=force)
        try:
            shown = self.look(image_id, who, frame)
        except ImageError as error:
            self._note_problem(image_id, str(error))
            raise
        self._note_problem(image_id, "")
        if shown.frames:
            here, after_it = shown.frame, range(shown.frame + 1, min(shown.frame + 2, shown.frames))
            later = [(encode_id(image_id, k), shot(shown.path, shown.axis, k)) for k in after_it]
            number = encode_id(image_id, here)
            self.worker.open(who.id, number, shot(shown.path, shown.axis, here), shown.stamp, later)
            return shown
        with self.store.read() as db:
            query = select(ImageRow.id, ImageRow.path).where(
                col(ImageRow.present), col(ImageRow.id) > image_id, col(ImageRow.state).in_(("new", "started"))
            )
            after = db.exec(query.order_by(col(ImageRow.id)).limit(self.config.prefetch)).all()
        self.worker.open(who.id, image_id, shown.path, shown.stamp, [(int(i or 0), path) for i, path in after])
        return shown

    def claim(self, image_id: int, who: Window, *, force: bool = False) -> None:
        """Hold an image for the next 45 seconds. Raises ``Conflict`` when another page holds it."""
        with self.store.write() as db:
            hold(db, image_row(db, image_id), who.id, who.name, force=force)

    def _note_problem(self, image_id: int, problem: str) -> None:
        with self.store.read() as db:
            row = image_row(db, image_id)
            if row.problem != problem:
                with self.store.write(db):
                    row.problem = problem
                    db.add(row)

    def release(self, image_id: int, who: Window) -> None:
        """Let the image go."""
        with self.store.write() as db:
            row = image_row(db, image_id)
            if row.holder == who.id:
                row.holder, row.held_until = None, 0.0
                db.add(row)

    def set_label(self, who: str, request: schemas.LabelIn) -> list[schemas.LabelOut]:
        """Add, rename, recolour or remove a class."""
        with self.store.write() as db:
            if entry_of(db, request.key, None) is None:
                changes = ChangeSet(db)
                self._change_label(changes, request)
                _record_once(changes, ActionMeta(request.key, who, "label", request.model_dump(exclude={"key"})))
            return [schemas.LabelOut.model_validate(label) for label in live_labels(db)]

    def set_settings(self, who: str, request: schemas.SettingsIn) -> None:
        """Change project-wide settings."""
        with self.store.write() as db:
            if entry_of(db, request.key, None) is not None:
                return
            changes = ChangeSet(db)
            if request.overlap is not None:
                row = db.get(Setting, "overlap") or Setting(key="overlap", value="allow")
                db.add(row)
                changes.change(row, value=request.overlap)
            if request.attributes is not None:
                attributes.define(changes, request.attributes)
            what = request.model_dump(exclude={"key"}, exclude_none=True)
            _record_once(changes, ActionMeta(request.key, who, "settings", what))

    def journal(self, image_id: int | None, after: int, limit: int) -> list[schemas.EntryOut]:
        """Lines of the journal."""
        with self.store.read() as db:
            return [schemas.EntryOut.model_validate(entry) for entry in journal.entries(db, image_id, after, limit)]

    def _change_label(self, changes: ChangeSet, request: schemas.LabelIn) -> None:
        labels = live_labels(changes.db)
        if request.name and any(k.name == request.name and k.id != request.id for k in labels):
            raise InputError(f"the class name '{request.name}'", "a name that is not taken", "choose another name")
        if request.id is None:
            if not request.name:
                raise InputError("a class without a name", "a name")
            rank = 1 + max((label.rank for label in labels), default=-1)
            colour = request.colour or class_colour(rank)
            changes.create(Label(name=request.name, colour=colour, rank=rank))
            return
        row = next((label for label in labels if label.id == request.id), None)
        if row is None:
            raise MissingFile(f"class {request.id}", "a class of this project", "reload the page")
        if not request.remove:
            changes.change(row, name=request.name or row.name, colour=request.colour or row.colour)
            return
        used = changes.db.exec(select(func.count()).where(ObjectRow.label_id == row.id, ~col(ObjectRow.deleted))).one()
        if used or len(labels) == 1:
            raise InputError(
                f"the removal of class '{row.name}', which {used} objects have"
                if used
                else "the removal of the last class",
                "a class without objects, and one class left",
                "give its objects another class first" if used else "rename it instead",
            )
        changes.change(row, deleted=True)


def class_colour(rank: int) -> str:
    """The colour of the class ``rank`` places from the first: a chosen one, then ever other hues.

    >>> class_colour(0), class_colour(10) == class_colour(11)
    ('#4C8DFF', False)
    """
    if rank < len(PALETTE):
        return PALETTE[rank]
    lightness, saturation = (0.62, 0.5, 0.72)[rank % 3], (0.75, 0.6)[rank % 2]
    channels = colorsys.hls_to_rgb(rank * GOLDEN % 1, lightness, saturation)
    return "#" + "".join(f"{round(255 * channel):02X}" for channel in channels)


def _head(db: Session) -> int:
    """The newest journal entry that concerns no single image."""
    return db.exec(select(func.max(JournalEntry.id)).where(col(JournalEntry.image_id).is_(None))).one() or 0


def _count(db: Session) -> int:
    return db.exec(select(func.count()).select_from(ImageRow).where(col(ImageRow.present))).one()


def _effort(db: Session) -> schemas.Effort:
    """Means over the objects that a person has worked on."""
    means = (func.avg(column) for column in (ObjectRow.clicks, ObjectRow.strokes, ObjectRow.seconds))
    worked = ~col(ObjectRow.deleted), col(ObjectRow.clicks) + col(ObjectRow.strokes) > 0
    objects, clicks, strokes, seconds = db.execute(sa.select(func.count(), *means).where(*worked)).one()
    return schemas.Effort(objects=objects, clicks=clicks or 0, strokes=strokes or 0, seconds=seconds or 0)


def _record_once(changes: ChangeSet, meta: ActionMeta) -> None:
    if entry_of(changes.db, meta.key, None) is None:
        changes.record(meta)
