"""Sessions of a project's database, the rows they read, and the changes that go into the journal."""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session, SQLModel, col, select

from segue.annotator.clips import SEEN, frame_id, see, show
from segue.annotator.codec import Packed
from segue.annotator.database import first_line, open_database
from segue.annotator.tables import (
    Comment,
    Finding,
    FrameMask,
    ImageRow,
    JournalEntry,
    Label,
    MaskRow,
    ObjectRow,
    Run,
    Setting,
)
from segue.core.errors import InputError, MissingFile, SegueError, StorageError

HOLD_SECONDS = 45.0
TABLES: dict[str, type[SQLModel]] = {
    "item": ObjectRow,
    "image": ImageRow,
    "label": Label,
    "setting": Setting,
    "finding": Finding,
    "comment": Comment,
    "frame_mask": FrameMask,
    "run": Run,
}  # by the names that journals use


class Conflict(SegueError, RuntimeError):
    """Somebody else changed or holds the image; nothing was written."""


class Store:
    """A project's database at an SQLAlchemy ``url``; SQLite and PostgreSQL are tested.

    SQLite runs with a write-ahead log that is flushed at every commit, so what was answered as saved survives
    a killed process and a power cut. Raises ``StorageError`` where the database cannot be reached.

    >>> store = Store("sqlite://")
    >>> with store.write() as db:
    ...     sync_images(db, ["a.jpg", "b.jpg"])
    >>> with store.read() as db:
    ...     [row.path for row in db.exec(select(ImageRow))]
    ['a.jpg', 'b.jpg']
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = open_database(url)
        self._writing = threading.RLock()

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state, and that ``write`` may go on with."""
        with Session(self.engine, autoflush=False, expire_on_commit=False) as db:
            self._begin(db, "BEGIN")
            yield db

    @contextlib.contextmanager
    def write(self, db: Session | None = None) -> Iterator[Session]:
        """One transaction: everything in it is kept, or nothing; with ``db`` on the rows that it has read.

        Raises ``StorageError`` if it cannot be kept, and ``Conflict`` if another server was faster.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._writing)
            if db is None:
                db = stack.enter_context(Session(self.engine, autoflush=False, expire_on_commit=False))
            db.commit()  # reading ends
            try:
                self._begin(db, "BEGIN IMMEDIATE")
                yield db
                db.commit()
            except OperationalError as error:
                db.rollback()
                raise StorageError(
                    f"a database error while saving ({first_line(error)})",
                    "a database with free space that accepts writes",
                    "free some disk space or check the database; what was saved before is intact",
                ) from error
            except IntegrityError as error:
                db.rollback()
                raise Conflict("an action that another server saved at the same time", "", "try again") from error
            except BaseException:
                db.rollback()
                raise

    def _begin(self, db: Session, statement: str) -> None:
        connection = db.connection()
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(statement)


@dataclass(frozen=True)
class ActionMeta:
    """Who asks for what: ``key`` is unique per request, so that a request sent twice acts once."""

    key: str
    who: str
    kind: str
    action: dict[str, Any]


@dataclass
class ChangeSet:
    """The changes of one action, each noted as it is made, and at the end recorded in the journal; ``image`` is the
    image that is acted on, None for the whole project; of a clip it is one ``frame``, and masks become key frames.
    Objects are read one by one, so that a click costs the same in an image of two hundred."""

    db: Session
    image: ImageRow | None = None
    frame: int | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)

    def change(self, row: SQLModel, **now: Any) -> None:
        """Set fields of ``row``; fields that keep their value are not noted."""
        if self.frame is not None and isinstance(row, ObjectRow):
            self._make_key(row, {key: now.pop(key) for key in SEEN if key in now})
        name = next(name for name, kind in TABLES.items() if isinstance(row, kind))
        was = {key: getattr(row, key) for key in now}
        different = {key: value for key, value in now.items() if was[key] != value}
        if not different:
            return
        for key, value in different.items():
            setattr(row, key, value)
        self.db.add(row)
        identity = getattr(row, "key", None) if name == "setting" else getattr(row, "id", None)
        self.changes.append(
            {"table": name, "id": identity, "was": {key: was[key] for key in different}, "now": different}
        )

    def _make_key(self, row: ObjectRow, drawn: dict[str, Any]) -> None:
        """What was drawn becomes the object's key frame, on top of what is seen there."""
        assert self.frame is not None
        if not drawn:
            return
        values = {key: getattr(row, key) for key in SEEN} | drawn
        key = self.db.get(FrameMask, frame_id(row.id, self.frame))
        if key is None:
            self.create(FrameMask(id=frame_id(row.id, self.frame), object_id=row.id, frame=self.frame, **values))
        else:
            self.change(key, deleted=False, mark="mask", **values)
        show(row, values)

    def create(self, row: ObjectRow | Label | Comment | FrameMask | Run) -> None:
        """Add ``row``; taking it back marks it deleted."""
        row.deleted = False
        self.db.add(row)
        self.db.flush()
        name = next(name for name, kind in TABLES.items() if isinstance(row, kind))
        now = row.model_dump(exclude={"id"})
        self.changes.append({"table": name, "id": row.id, "was": {"deleted": True}, "now": now})

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image."""
        assert self.image is not None
        return self.image.size

    def object_row(self, object_id: str) -> ObjectRow | None:
        """An object of the image that is not removed."""
        row = self.db.get(ObjectRow, object_id)
        if row is None or self.image is None or row.image_id != self.image.id or row.deleted:
            return None
        if self.frame is not None:
            see(self.db, self.image, [row], self.frame)
        return row

    def paintable(self, object_id: str) -> ObjectRow | None:
        """The object if it exists; ``InputError`` if it is locked, ``Conflict`` if the id is in use elsewhere."""
        row = self.object_row(object_id)
        if row is None and self.db.get(ObjectRow, object_id) is not None:
            raise Conflict(f"object {object_id}, which was removed or is in another image", "a new object id")
        if row is not None and row.locked:
            raise InputError("an action on a locked object", "an unlocked object", "unlock it first")
        return row

    def create_object(self, object_id: str, label: int | None, **fields: Any) -> ObjectRow:
        """A new object on top of the stack."""
        assert self.image is not None
        assert self.image.id is not None
        check_label(self.db, label)
        here = ObjectRow.image_id == self.image.id, ~col(ObjectRow.deleted)
        highest = self.db.exec(select(sa.func.max(ObjectRow.rank)).where(*here)).one()
        rank = 0 if highest is None else highest + 1
        drawn = {key: fields.pop(key) for key in SEEN if key in fields} if self.frame is not None else {}
        row = ObjectRow(id=object_id, image_id=self.image.id, label_id=label, rank=rank, **fields)
        self.create(row)
        if self.frame is not None:
            self._make_key(row, drawn)
        if self.image.state == "new":
            self.change(self.image, state="started")
        return row

    def record(self, meta: ActionMeta) -> JournalEntry:
        """Append the journal entry; it becomes what undo takes back, and nothing is left to redo."""
        image = self.image
        entry = self.append(meta, parent=None if image is None else image.undo_head)
        if image is not None:
            image.undo_head, image.redo_head = entry.id, None
        return entry

    def append(self, meta: ActionMeta, **links: int | None) -> JournalEntry:
        """The entry of all changes, at the journal's end; ``links`` to others: parent, of, next_redo."""
        entry = JournalEntry(
            key=meta.key,
            at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            who=meta.who,
            image_id=None if self.image is None else self.image.id,
            kind=meta.kind,
            action=meta.action,
            changes=self.changes,
            **links,
        )
        self.db.add(entry)
        self.db.flush()
        if self.image is not None:
            assert entry.id is not None
            self.image.head = entry.id
            self.db.add(self.image)
        return entry


def sync_images(db: Session, paths: Sequence[str]) -> None:
    """Make the table name exactly ``paths`` as present; rows of vanished files are kept, not shown."""
    table: sa.Table = ImageRow.__table__  # type: ignore[attr-defined]
    known = dict(db.exec(select(ImageRow.path, ImageRow.present)).all())
    fresh = [path for path in paths if path not in known]
    if fresh:
        blank = ImageRow(path="").model_dump(exclude={"id", "path"})
        db.execute(sa.insert(table), [{**blank, "path": path} for path in fresh])
    now = set(paths)
    for present, changed in (
        (False, [path for path, here in known.items() if here and path not in now]),
        (True, [path for path, here in known.items() if not here and path in now]),
    ):
        for start in range(0, len(changed), 500):
            some = changed[start : start + 500]
            db.execute(sa.update(table).where(table.c.path.in_(some)).values(present=present))


def image_row(db: Session, image_id: int) -> ImageRow:
    """The row of an image that is still in the folder."""
    row = db.exec(select(ImageRow).where(ImageRow.id == image_id, col(ImageRow.present))).first()
    if row is None:
        raise MissingFile(f"image {image_id}", "an image of this folder", "reload the page")
    return row


def live_objects(db: Session, image_id: int) -> list[ObjectRow]:
    """The objects of an image, bottom first."""
    query = select(ObjectRow).where(ObjectRow.image_id == image_id, ~col(ObjectRow.deleted))
    return list(db.exec(query.order_by(col(ObjectRow.rank), col(ObjectRow.id))))


def put_mask(db: Session, packed: Packed) -> int:
    """Add a mask; its id."""
    x0, y0, x1, y1 = packed.box
    row = MaskRow(x0=x0, y0=y0, x1=x1, y1=y1, area=packed.area, data=packed.data)
    db.add(row)
    db.flush()
    assert row.id is not None
    return row.id


def get_masks(db: Session, ids: Sequence[int | None]) -> dict[int, Packed]:
    """Masks by id."""
    wanted = sorted({i for i in ids if i is not None})
    masks: dict[int, Packed] = {}
    for start in range(0, len(wanted), 500):
        for row in db.exec(select(MaskRow).where(col(MaskRow.id).in_(wanted[start : start + 500]))):
            assert row.id is not None
            masks[row.id] = Packed((row.x0, row.y0, row.x1, row.y1), row.area, row.data)
    return masks


def get_mask(db: Session, mask_id: int) -> Packed:
    """One mask."""
    masks = get_masks(db, [mask_id])
    if mask_id not in masks:
        raise MissingFile(f"mask {mask_id}", "a mask of this project")
    return masks[mask_id]


def live_labels(db: Session) -> list[Label]:
    """The classes in their order."""
    return list(db.exec(select(Label).where(~col(Label.deleted)).order_by(col(Label.rank), col(Label.id))))


def check_label(db: Session, label: int | None) -> None:
    """Raise ``MissingFile`` unless the class exists."""
    row = None if label is None else db.get(Label, label)
    if label is not None and (row is None or row.deleted):
        raise MissingFile(f"class {label}", "a class of this project", "reload the page")


def setting(db: Session, key: str, default: Any) -> Any:
    """A project-wide value."""
    row = db.get(Setting, key)
    return default if row is None else row.value


def entry_of(db: Session, key: str, image_id: int | None) -> JournalEntry | None:
    """The entry of a request that was carried out before; a key of another image is a mistake."""
    entry = db.exec(select(JournalEntry).where(JournalEntry.key == key)).first()
    if entry is not None and entry.image_id != image_id:
        raise Conflict("a request key that was used elsewhere", "a new key for every action")
    return entry


def check_holder(row: ImageRow, who: str) -> None:
    """Raise ``Conflict`` when another page holds the image."""
    if row.holder not in (None, who) and row.held_until > time.time():
        raise Conflict(
            f"an action on an image that {row.holder_name or 'somebody else'} is working on",
            "an image that nobody else holds",
            "choose another image, or take it over",
        )


def hold(db: Session, row: ImageRow, who: str, name: str, *, force: bool = False) -> None:
    """Let ``who`` hold the image for the next 45 seconds, if it is still as ``row`` says.

    Raises ``Conflict`` where it was changed since, or where another page holds it, unless that is taken over by
    ``force``: check and change are one statement, also between several servers.
    """
    now = time.time()
    free = sa.or_(col(ImageRow.holder).is_(None), col(ImageRow.holder) == who, col(ImageRow.held_until) <= now)
    unchanged = col(ImageRow.head) == row.head
    query = sa.update(ImageRow).where(col(ImageRow.id) == row.id, sa.true() if force else sa.and_(free, unchanged))
    holder = {"holder": who, "holder_name": name or None, "held_until": now + HOLD_SECONDS}
    if not db.connection().execute(query.values(**holder)).rowcount:
        db.refresh(row)
        check_holder(row, who)
        raise Conflict("an action on an image that was changed at the same time", "its newest version", "try again")
    for key, value in holder.items():
        sa.orm.attributes.set_committed_value(row, key, value)
