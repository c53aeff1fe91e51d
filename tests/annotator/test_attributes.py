"""Typed attributes of objects and tags of images, in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from segue.annotator import journal
from segue.annotator.exporting import packed_export
from segue.annotator.importing import import_files
from segue.annotator.project import Project
from tests.annotator.person import Person, runs, square

DEFINED = [
    {"name": "age", "type": "number", "of": "object", "options": []},
    {"name": "ripe", "type": "flag", "of": "object", "options": []},
    {"name": "side", "type": "choice", "of": "object", "options": ["left", "right"]},
    {"name": "note", "type": "text", "of": "object", "options": []},
    {"name": "night", "type": "flag", "of": "image", "options": []},
]
VALUES = {"age": 2.5, "ripe": True, "side": "left", "note": "a <b> & c"}


@pytest.fixture
def described(client: TestClient, person: Person) -> Person:
    """An object with four attributes in an image with a tag."""
    assert client.post("/api/settings", json={"key": "s", "attributes": DEFINED}).status_code == 204
    person.act(kind="stroke", object="a", pixels=runs(square(20, 20)))
    person.act(kind="describe", object="a", values=VALUES)
    person.act(kind="describe", values={"night": True})
    return person


def test_values_are_kept_undone_and_found(client: TestClient, described: Person, project: Project) -> None:
    assert client.get("/api/project").json()["attributes"] == DEFINED
    shown = described.look()
    assert shown["objects"][0]["attributes"] == VALUES
    assert shown["tags"] == {"night": True}
    for wanted, total in (
        ({"attribute": "side"}, 1),
        ({"attribute": "side", "value": "left"}, 1),
        ({"attribute": "side", "value": "right"}, 0),
        ({"attribute": "age", "value": "2.5"}, 1),
        ({"attribute": "night", "value": "true"}, 1),
        ({"attribute": "ripe", "value": "false"}, 0),
    ):
        assert client.get("/api/images", params=wanted).json()["total"] == total, wanted
    assert described.act(kind="undo")["tags"] == {}
    assert described.act(kind="describe", object="a", values={"age": None})["changed"][0]["attributes"].keys() == {
        "ripe",
        "side",
        "note",
    }
    with project.store.read() as db:
        assert journal.disagreements(db) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"age": "old"}, "a number"),
        ({"ripe": "perhaps"}, "true or false"),
        ({"side": "up"}, "one of left, right"),
        ({"other": 1}, "define it first"),
        ({"night": True}, "define it first"),
    ],
)
def test_values_of_another_type_are_refused(described: Person, values: dict[str, Any], words: str) -> None:
    answer = described.send(kind="describe", object="a", values=values)
    assert answer.status_code == 422
    assert words in answer.text


def test_definitions_are_checked(client: TestClient) -> None:
    twice = {"key": "a", "attributes": [DEFINED[0], DEFINED[0]]}
    assert "twice" in client.post("/api/settings", json=twice).text
    empty = {"key": "b", "attributes": [{"name": "x", "type": "choice"}]}
    assert "without options" in client.post("/api/settings", json=empty).text


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "labelme"])
def test_they_leave_and_come_back(
    name: str, described: Person, project: Project, client: TestClient, tmp_path: Path
) -> None:
    described.act(kind="state", state="accepted")
    path, _, _ = packed_export(project, name, accepted=True)
    described.act(kind="clear")
    described.act(kind="describe", values={"night": None})
    file = tmp_path / f"in{path.suffix}"
    file.write_bytes(path.read_bytes())
    result = import_files(project, [file], "w1")
    assert (result.objects, result.skipped) == (1, [])
    shown = described.look()
    assert shown["objects"][0]["attributes"] == VALUES
    assert shown["tags"] == ({} if name == "cvat" else {"night": True})


def test_attributes_that_a_file_brings_are_defined(project: Project, client: TestClient, tmp_path: Path) -> None:
    row = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [5, 5, 10, 10]}
    row |= {"segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]], "attributes": {"wet": True, "mass": 3, "x\u0000y": "z"}}
    image = {"id": 1, "file_name": "a.png", "width": 160, "height": 120}
    file = tmp_path / "new.json"
    file.write_text(json.dumps({"images": [image], "annotations": [row], "categories": [{"id": 1, "name": "cat"}]}))
    assert import_files(project, [file], "somebody").objects == 1
    defined = {one["name"]: one["type"] for one in client.get("/api/project").json()["attributes"]}
    assert defined == {"wet": "flag", "mass": "number", "xy": "text"}
    (one,) = client.get("/api/images/1").json()["objects"]
    assert one["attributes"] == {"wet": True, "mass": 3.0, "xy": "z"}
