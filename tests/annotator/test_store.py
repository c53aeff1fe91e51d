"""The database: its schema, its refusals, many images, and PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient
from sqlmodel import SQLModel

from segue.annotator import journal
from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.annotator.store import Store
from segue.core.errors import ConfigError, StorageError
from tests.annotator.fake_model import ColourModel, photo
from tests.annotator.person import BLUE, RED, Person


def test_the_migrations_build_exactly_the_tables(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/p.db")
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_sqlite_keeps_a_flushed_log_and_checks_references(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/p.db")
    with store.engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert values == ["wal", 2, 1]


def test_a_full_disk_refuses_the_action_and_keeps_what_was_saved(
    folder: Path, client: TestClient, person: Person
) -> None:
    person.click("o1", *RED)
    before = person.look()
    store = client.app.state.project.store  # type: ignore[attr-defined]
    pages = store.engine.connect().exec_driver_sql("PRAGMA page_count").scalar()

    @sa.event.listens_for(store.engine, "begin")
    def full(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    statuses = set()
    for step in range(60):
        answer = person.send(kind="prompt", object=f"n{step}", prompts=[{"type": "click", "x": 2 * step, "y": 90}])
        statuses.add(answer.status_code)
        if answer.status_code == 507:
            assert "what was saved before is intact" in answer.json()["message"]
            break
    assert 507 in statuses
    assert person.look()["objects"][0] == before["objects"][0]


@pytest.mark.parametrize("url", ["nonsense", "oracle-of-delphi://x"])
def test_an_address_that_is_none_is_a_clear_mistake(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///FILE"):
        Store(url)


def test_a_database_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--db"):
        Store(f"sqlite:///{tmp_path}/file/p.db")
    with pytest.raises(StorageError, match="cannot be opened") as raised:
        Store("postgresql://me:hush@127.0.0.1:1/none")
    assert "hush" not in str(raised.value)


def test_a_damaged_database_and_one_of_a_newer_version_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "damaged.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}/damaged.db")
    newer = Store(f"sqlite:///{tmp_path}/newer.db")
    with newer.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    newer.close()
    with pytest.raises(StorageError, match="newer segue"):
        Store(f"sqlite:///{tmp_path}/newer.db")


def test_five_thousand_images_are_listed_without_opening_one(tmp_path: Path) -> None:
    first = photo(tmp_path / "photos" / "img0.png", size=(30, 40))
    for number in range(1, 5000):
        os.link(first, first.with_name(f"img{number}.png"))
    opened: list[str] = []
    sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
    with TestClient(
        build(AnnotateConfig(folder=first.parent), load=ColourModel), base_url="http://localhost"
    ) as client:
        page = client.get("/api/images?limit=100").json()
        client.get("/api/project")
    assert page["total"] == 5000
    assert [line["path"] for line in page["images"][:3]] == ["img0.png", "img1.png", "img2.png"]
    assert not [file for file in opened if file.endswith(".png")]
    first.read_bytes()
    assert [file for file in opened if file.endswith(".png")] == [str(first)], "the hook sees what is opened"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private PostgreSQL server, run by an ordinary user as it insists."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) if Path("/usr/lib/postgresql").is_dir() else []
    if not found and not shutil.which("initdb"):
        pytest.skip("needs PostgreSQL (Debian package postgresql)")
    pytest.importorskip("psycopg", reason="needs psycopg (extra 'postgres')")
    binaries = found[-1].parent if found else Path(shutil.which("initdb") or "").parent
    home = tmp_path_factory.mktemp("pg")
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(home, "nobody")
        for parent in (home, *home.parents[:3]):  # pytest-xdist puts one more folder between
            parent.chmod(parent.stat().st_mode | 0o711)
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=home, timeout=120)

    run(str(binaries / "initdb"), "-D", f"{home}/data", "-U", "segue", "--auth=trust", "--no-sync", "-E", "UTF8")
    options = f"-k {home} -c listen_addresses='' -c fsync=off"
    run(str(binaries / "pg_ctl"), "-D", f"{home}/data", "-o", options, "-l", f"{home}/log", "-w", "start")
    yield f"postgresql://segue@/postgres?host={home}"
    run(str(binaries / "pg_ctl"), "-D", f"{home}/data", "-m", "immediate", "stop")


def test_postgresql_keeps_a_project_just_as_well(postgres: str, folder: Path) -> None:
    config = AnnotateConfig(folder=folder, db=postgres)
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as client:
        person = Person(client)
        person.open()
        person.click("o1", *RED)
        person.click("o1", *BLUE)
        person.act(kind="undo")
        person.act(kind="state", state="accepted")
        shown = person.look()
        with client.app.state.project.store.read() as db:  # type: ignore[attr-defined]
            assert journal.disagreements(db) == []
        with client.app.state.project.store.engine.connect() as connection:  # type: ignore[attr-defined]
            assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as again:
        assert Person(again).look()["objects"] == shown["objects"]


def test_two_servers_on_one_postgresql_do_not_overwrite_each_other(postgres: str, folder: Path) -> None:
    apps = [build(AnnotateConfig(folder=folder, db=postgres), load=ColourModel) for _ in range(2)]
    with TestClient(apps[0], base_url="http://localhost") as a, TestClient(apps[1], base_url="http://localhost") as b:
        one, two = Person(a, image=2, window="one"), Person(b, image=2, window="two")
        one.open()
        one.click("p1", *RED)
        assert two.send(kind="remove", object="p1").status_code == 409
        two.open(force=True)
        two.click("p2", *BLUE)
        assert one.send(kind="remove", object="p2").status_code == 409
        assert [item["id"] for item in two.look()["objects"]] == ["p1", "p2"]


def test_a_database_of_the_newest_schema_is_opened_without_alembic(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/a.db"
    Store(address).close()
    opened = f"import sys; from segue.annotator.database import open_database; open_database({address!r})"
    done = subprocess.run([sys.executable, "-c", f"{opened}; assert 'alembic' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr
