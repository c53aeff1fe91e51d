"""The database: opened, brought to the newest schema, and written in short transactions."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError, SQLAlchemyError
from sqlmodel import Session, col, create_engine, select

from segue.annotator.codec import Packed
from segue.annotator.tables import Entry, ImageRow, Item, Label, MaskRow, Setting
from segue.core.errors import ConfigError, MissingExtra, MissingFile, SegueError, StorageError

HOLD_SECONDS = 45.0
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


class Conflict(SegueError, RuntimeError):
    """Somebody else changed or holds the image; nothing was written."""


class Store:
    """A project's database at an SQLAlchemy ``url``; SQLite and PostgreSQL are tested.

    SQLite runs with a write-ahead log that is flushed at every commit, so what was answered as saved survives
    a killed process and a power cut. Raises ``StorageError`` where the database cannot be reached.

    >>> store = Store("sqlite://")
    >>> with store.write() as db:
    ...     store.sync_images(db, ["a.jpg", "b.jpg"])
    >>> with store.read() as db:
    ...     [row.path for row in db.exec(select(ImageRow))]
    ['a.jpg', 'b.jpg']
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._writing = threading.RLock()
        self.engine = _engine(url)
        self.sqlite = self.engine.dialect.name == "sqlite"
        try:
            self.migrate()
        except CommandError as error:  # it has a revision that is not among ours
            raise StorageError(
                f"the database {_shown(url)}, which a newer segue has written",
                "one of this version or older",
                "update segue, or choose another with --db",
            ) from error
        except (DatabaseError, OSError) as error:
            raise _unreachable(url, error) from error

    def migrate(self) -> None:
        """Bring the schema to the newest revision; a database newer than this segue is refused."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state and writes nothing."""
        with Session(self.engine, autoflush=False) as db:
            yield db

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: everything in it is kept, or nothing. Raises ``StorageError`` if it cannot be kept."""
        with self._writing, Session(self.engine, expire_on_commit=False) as db:
            try:
                if self.sqlite:
                    db.connection(execution_options={"segue_write": True})
                yield db
                db.commit()
            except OperationalError as error:
                db.rollback()
                raise StorageError(
                    f"a database error while saving ({_first_line(error)})",
                    "a database with free space that accepts writes",
                    "free some disk space or check the database; what was saved before is intact",
                ) from error
            except BaseException:
                db.rollback()
                raise

    def sync_images(self, db: Session, paths: Sequence[str]) -> None:
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


def image_row(db: Session, image_id: int, *, lock: bool = False) -> ImageRow:
    """The row of an image that is still in the folder; ``lock`` keeps other writers away until the commit."""
    query = select(ImageRow).where(ImageRow.id == image_id, col(ImageRow.present))
    row = db.exec(query.with_for_update() if lock else query).first()
    if row is None:
        raise MissingFile(f"image {image_id}", "an image of this folder", "reload the page")
    return row


def live_items(db: Session, image_id: int) -> list[Item]:
    """The objects of an image, bottom first."""
    query = select(Item).where(Item.image_id == image_id, ~col(Item.deleted))
    return list(db.exec(query.order_by(col(Item.rank), col(Item.id))))


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
    found: dict[int, Packed] = {}
    for start in range(0, len(wanted), 500):
        for row in db.exec(select(MaskRow).where(col(MaskRow.id).in_(wanted[start : start + 500]))):
            assert row.id is not None
            found[row.id] = Packed((row.x0, row.y0, row.x1, row.y1), row.area, row.data)
    return found


def get_mask(db: Session, mask_id: int) -> Packed:
    """One mask."""
    found = get_masks(db, [mask_id])
    if mask_id not in found:
        raise MissingFile(f"mask {mask_id}", "a mask of this project")
    return found[mask_id]


def live_labels(db: Session) -> list[Label]:
    """The classes in their order."""
    return list(db.exec(select(Label).where(~col(Label.deleted)).order_by(col(Label.rank), col(Label.id))))


def setting(db: Session, key: str, default: Any) -> Any:
    """A project-wide value."""
    row = db.get(Setting, key)
    return default if row is None else row.value


def entry_of(db: Session, key: str, image_id: int | None) -> Entry | None:
    """The entry of a request that was carried out before; a key of another image is a mistake."""
    entry = db.exec(select(Entry).where(Entry.key == key)).first()
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


def hold(row: ImageRow, who: str, name: str) -> None:
    """Let ``who`` hold the image for the next 45 seconds."""
    row.holder, row.holder_name, row.held_until = who, name or None, time.time() + HOLD_SECONDS


def _engine(url: str) -> sa.Engine:
    try:
        address = sa.engine.make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        if not address.drivername.startswith("sqlite"):
            return create_engine(address, pool_pre_ping=True)
        if address.database in (None, "", ":memory:"):
            engine = create_engine(address, poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
        else:
            Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(address, connect_args={"check_same_thread": False, "timeout": 20})
    except ModuleNotFoundError as error:
        raise MissingExtra.for_library(error.name or "the database driver", "postgres") from error
    except (ArgumentError, sa.exc.NoSuchModuleError) as error:
        raise ConfigError(
            f"the database address '{url}'", "sqlite:///FILE or postgresql://USER@HOST/NAME", str(error)
        ) from error
    except OSError as error:
        raise _unreachable(url, error) from error
    _tune_sqlite(engine)
    return engine


def _tune_sqlite(engine: sa.Engine) -> None:
    """Write-ahead log, checked foreign keys, and transactions that begin when we say so (the driver would
    otherwise begin them late, after the first read)."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=20000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("segue_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _unreachable(url: str, error: Exception) -> StorageError:
    return StorageError(
        f"the database {_shown(url)}, which cannot be opened ({_first_line(error)})",
        "a database that can be reached and written",
        "choose another with --db",
    )


def _shown(url: str) -> str:
    return sa.engine.make_url(url).render_as_string(hide_password=True)


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, SQLAlchemyError) and hasattr(error, "orig") else error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(error).__name__
