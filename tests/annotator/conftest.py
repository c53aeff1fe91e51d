"""A folder of small photos, a server on it, and a person who acts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.annotator.project import Project
from tests.annotator.fake_model import ColourModel, photo
from tests.annotator.person import Person


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos of 160 x 120 pixels."""
    home = tmp_path / "photos"
    for number, name in enumerate(("a.png", "b.jpg", "deep/c.png")):
        photo(home / name, seed=30 * number)
    return home


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """A server on the folder, as this machine reaches it."""
    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def project(client: TestClient) -> Project:
    """The project behind the client."""
    return client.app.state.project  # type: ignore[attr-defined]


@pytest.fixture
def person(client: TestClient) -> Person:
    """Somebody who has the first image open."""
    person = Person(client)
    person.open()
    return person
