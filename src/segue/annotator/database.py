"""Database engines of a project: SQLite or PostgreSQL, opened and brought to the newest schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlmodel import create_engine

from segue.core.errors import ConfigError, MissingExtra, StorageError

MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str) -> sa.Engine:
    """The engine of the SQLAlchemy address ``url``, its schema at the newest revision.

    Raises ``ConfigError`` for an address that is none, ``MissingExtra`` without its driver, and ``StorageError`` where
    the database cannot be reached or was written by a newer segue.

    >>> open_database("sqlite://").dialect.name
    'sqlite'
    """
    engine = _engine(url)
    try:
        if not _is_newest(engine):
            _migrate(engine, url)
    except (DatabaseError, OSError) as error:
        raise _unreachable(url, error) from error
    return engine


def first_line(error: Exception) -> str:
    """What a database error says, without the statement."""
    cause = error.orig if isinstance(error, SQLAlchemyError) and hasattr(error, "orig") else error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(error).__name__


def _is_newest(engine: sa.Engine) -> bool:
    """Whether the schema is at the newest revision; the files of the revisions are named by their numbers."""
    newest = max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("v[0-9]*.py"))
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        return list(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()) == [newest]


def _migrate(engine: sa.Engine, url: str) -> None:
    from alembic import command  # slow to import, and most databases are at the newest schema
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:  # it has a revision that is not among ours
        raise StorageError(
            f"the database {_shown(url)}, which a newer segue has written",
            "one of this version or older",
            "update segue, or choose another with --db",
        ) from error


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
    event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Write-ahead log, checked foreign keys, and no transaction that the driver begins by itself: it would begin a
    writing one late, after the first read."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=20000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _unreachable(url: str, error: Exception) -> StorageError:
    return StorageError(
        f"the database {_shown(url)}, which cannot be opened ({first_line(error)})",
        "a database that can be reached and written",
        "choose another with --db",
    )


def _shown(url: str) -> str:
    return sa.engine.make_url(url).render_as_string(hide_password=True)
