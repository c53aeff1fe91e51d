"""The list of images: what filters and orders show is what is walked; changes of many at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from segue.annotator import journal
from segue.annotator.project import Project
from tests.annotator.person import BLUE, RED, Person, runs, square


def listed(client: TestClient, **wanted: Any) -> list[int]:
    answer = client.get("/api/images", params=wanted)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == len(answer.json()["images"])
    return [line["id"] for line in answer.json()["images"]]


def walked(client: TestClient, of: int, step: int = 1, **wanted: Any) -> list[int]:
    found = []
    while of := client.get("/api/images/neighbour", params={**wanted, "of": of, "step": str(step)}).json()["id"] or 0:
        found.append(of)
        assert len(found) < 10
    return found


@pytest.fixture
def worked(client: TestClient) -> TestClient:
    """Two objects in the second image, one drawn by hand of another class in the third, by somebody else."""
    second, third = Person(client, 2, "ann"), Person(client, 3, "bob")
    client.post("/api/labels", json={"key": "l", "name": "fish"})
    second.open()
    second.click("a", *RED, label=1)
    second.click("b", *BLUE, label=1)
    third.open()
    third.act(kind="stroke", object="c", pixels=runs(square(5, 5)), label=2)
    return client


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"state": "started"}, [2, 3]),
        ({"label": 2}, [3]),
        ({"label": 1}, [2]),
        ({"score": 0.95}, [2]),
        ({"score": 0.5}, []),
        ({"least": 1, "most": 1}, [3]),
        ({"most": 0}, [1]),
        ({"who": "ann"}, [2]),
        ({"days": 1}, [2, 3]),
        ({"search": "deep"}, [3]),
        ({"sort": "objects"}, [2, 3, 1]),
        ({"sort": "recent"}, [3, 2, 1]),
        ({"sort": "score"}, [3, 2, 1]),
        ({"sort": "objects", "state": "open", "least": 1}, [2, 3]),
    ],
)
def test_what_is_listed_is_walked_both_ways(worked: TestClient, wanted: dict[str, Any], expected: list[int]) -> None:
    assert listed(worked, **wanted) == expected
    if expected:
        assert walked(worked, expected[0], **wanted) == expected[1:]
        assert walked(worked, expected[-1], -1, **wanted) == expected[-2::-1]


def test_images_that_failed_are_found(client: TestClient, folder: Path) -> None:
    (folder / "a.png").write_bytes(b"")
    assert client.post("/api/images/1/open", json={}).status_code == 422
    assert listed(client, failed=True) == [1]
    assert "empty" in client.get("/api/images", params={"failed": True}).json()["images"][0]["problem"]


def test_people_are_named(worked: TestClient) -> None:
    assert worked.get("/api/people").json() == ["ann", "bob"]


def test_many_images_are_changed_each_with_its_own_undo(worked: TestClient, project: Project) -> None:
    headers = {"segue-window": "w9"}
    ask = {"key": "many", "images": [1, 2, 99, 2], "change": {"kind": "state", "state": "skipped"}}
    for other in ("ann", "bob"):
        for image in (2, 3):
            worked.delete(f"/api/images/{image}/hold", headers={"segue-window": other})
    answer = worked.post("/api/bulk", json=ask, headers=headers).json()
    assert answer["changed"] == 2
    assert "99" in answer["skipped"][0]
    assert worked.post("/api/bulk", json=ask, headers=headers).json()["changed"] == 2, "sent again it does nothing more"
    assert listed(worked, state="skipped") == [1, 2]
    for number, change in enumerate(({"kind": "relabel", "label": 2}, {"kind": "clear"})):
        assert worked.post(
            "/api/bulk", json={"key": f"c{number}", "images": [2, 3], "change": change}, headers=headers
        ).json() == {"changed": 2, "skipped": []}
    assert listed(worked, most=0) == [1, 2, 3]
    person = Person(worked, 2, "w9")
    person.open()
    assert len(person.act(kind="undo")["order"]) == 2
    assert {one["label"] for one in person.look()["objects"]} == {2}
    person.act(kind="undo")
    person.act(kind="undo")
    assert {one["label"] for one in person.look()["objects"]} == {1}
    assert person.look()["state"] == "started"
    with project.store.read() as db:
        assert journal.disagreements(db) == []


def test_images_that_others_hold_and_locked_objects_are_left(worked: TestClient) -> None:
    ask = {"key": "many", "images": [2], "change": {"kind": "clear"}}
    answer = worked.post("/api/bulk", json=ask, headers={"segue-window": "w9"}).json()
    assert answer["changed"] == 0
    assert "ann" in answer["skipped"][0]
    person = Person(worked, 2, "ann")
    person.open()
    person.act(kind="edit", object="a", locked=True)
    worked.post("/api/bulk", json={**ask, "key": "mine"}, headers={"segue-window": "ann"})
    assert [one["id"] for one in person.look()["objects"]] == ["a"]


def test_thumbnails_show_masks(worked: TestClient) -> None:
    def pixels(query: str) -> np.ndarray:
        content = worked.get(f"/api/images/2/thumbnail{query}").content
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).astype(int)

    difference = np.abs(pixels("") - pixels("?masks=3")).sum(2)
    assert difference[RED[1], RED[0]] > 60
    assert difference[5:10, 100:150].max() < 40
