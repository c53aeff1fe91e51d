"""A project of an earlier segue opens with its history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from segue.annotator import journal
from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from tests.annotator.fake_model import ColourModel
from tests.annotator.person import BLUE, RED, Person, mask_of, square

EARLIER = Path(__file__).with_name("project-0001.sql")  # 17 actions of every kind on the three photos of `folder`


@pytest.fixture
def earlier(folder: Path) -> Iterator[TestClient]:
    """A server on the database as the first schema's segue left it."""
    db = folder / "earlier.db"
    with sqlite3.connect(db) as disk:
        disk.executescript(EARLIER.read_text())
    disk.close()
    config = AnnotateConfig(folder=folder, db=f"sqlite:///{db}")
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as client:
        yield client


def areas(image: dict[str, Any]) -> dict[str, int]:
    return {one["id"]: one["mask"]["area"] for one in image["objects"]}


def test_its_objects_are_there_and_the_journal_agrees(earlier: TestClient) -> None:
    looks = [Person(earlier, image=number).look() for number in (1, 2, 3)]
    assert [areas(look) for look in looks] == [{"o1": 1420, "o2": 600}, {"o4": 1200, "o5": 1420}, {"o6": 400}]
    assert [look["state"] for look in looks] == ["accepted", "started", "started"]
    assert earlier.get("/api/project").json()["overlap"] == "new"
    with earlier.app.state.project.store.read() as db:  # type: ignore[attr-defined]
        assert journal.disagreements(db) == []
        assert len(journal.entries(db)) == 19


def test_its_actions_are_taken_back_and_repeated(earlier: TestClient) -> None:
    person = Person(earlier)
    person.open(force=True)
    seen = [areas(person.look())]
    while person.look()["can_undo"]:
        person.act(kind="undo")
        seen.append(areas(person.look()))
    assert {"o1": 1420, "o2": 600, "o3": 1200} in seen
    assert {"o1": 1320, "o2": 600} not in seen
    assert seen[-1] == {}
    while person.look()["can_redo"]:
        person.act(kind="redo")
    assert areas(person.look()) == seen[0]


def test_its_prompts_go_on(earlier: TestClient) -> None:
    example = Person(earlier, image=2)
    example.open(force=True)
    assert mask_of(example.click("o4", *BLUE)["changed"][0])[BLUE[1], BLUE[0]]
    person = Person(earlier)
    person.open(force=True)
    more = mask_of(person.click("o1", *BLUE)["changed"][0])
    assert more[BLUE[1], BLUE[0]]
    assert more[RED[1], RED[0]]
    assert (more & square(120, 5)).sum() == 100, "the stroke is what the click went on from"
