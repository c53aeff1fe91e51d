"""Masks leave as they are on screen and come back as they were."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from pycocotools import mask as rle

from segue.annotator import journal
from segue.annotator.exchange import formats
from segue.annotator.project import Project
from tests.annotator.person import RED, Person, mask_of, runs, square

FIRST, SECOND = square(10, 10, 40), square(30, 30, 40) & ~square(50, 50, 5)


@pytest.fixture
def drawn(client: TestClient, person: Person) -> Person:
    """Two overlapping objects of two classes, accepted; the upper one has a hole."""
    label = client.post("/api/labels", json={"key": "l", "name": "fish"}).json()[-1]["id"]
    person.act(kind="stroke", object="o1", pixels=runs(FIRST))
    person.act(kind="stroke", object="o2", pixels=runs(SECOND), label=label)
    person.act(kind="state", state="accepted")
    return person


def coco(client: TestClient, **query: Any) -> dict[str, Any]:
    return json.loads(client.get("/api/export", params={"format": "coco", **query}).content)


@pytest.mark.parametrize(
    ("policy", "masks"),
    [("allow", (FIRST, SECOND)), ("new", (FIRST & ~SECOND, SECOND)), ("old", (FIRST, SECOND & ~FIRST))],
)
def test_coco_read_by_pycocotools_is_the_mask_under_every_overlap_policy(
    client: TestClient, drawn: Person, policy: str, masks: tuple[np.ndarray, np.ndarray]
) -> None:
    client.post("/api/settings", json={"key": "s", "overlap": policy})
    content = coco(client)
    names = {kind["id"]: kind["name"] for kind in content["categories"]}
    for row, mask in zip(content["annotations"], masks, strict=True):
        assert (rle.decode(row["segmentation"]).astype(bool) == mask).all()
        assert row["area"] == mask.sum()
        assert row["bbox"] == rle.toBbox(row["segmentation"]).tolist()
    assert [names[row["category_id"]] for row in content["annotations"]] == ["object", "fish"]
    assert content["images"][0] | {"id": 0} == {"id": 0, "file_name": "a.png", "width": 160, "height": 120}


def test_only_accepted_images_leave_unless_all_are_asked_for(client: TestClient, drawn: Person) -> None:
    other = Person(client, image=2)
    other.click("x", *RED)
    assert len(coco(client)["images"]) == 1
    assert len(coco(client, accepted=False)["images"]) == 2


def test_png_label_maps_hold_the_upper_object_on_top(client: TestClient, drawn: Person) -> None:
    archive = zipfile.ZipFile(io.BytesIO(client.get("/api/export?format=png").content))
    labels = np.asarray(PIL.Image.open(archive.open("masks/a.png")))
    assert ((labels == 2) == SECOND).all()
    assert ((labels == 1) == (FIRST & ~SECOND)).all()
    assert json.loads(archive.read("classes.json"))["a"]["2"] == "fish"


@pytest.mark.parametrize("name", [row.name for row in formats()])
def test_every_format_can_be_downloaded(client: TestClient, drawn: Person, name: str) -> None:
    answer = client.get("/api/export", params={"format": name})
    assert answer.status_code == 200
    assert len(answer.content) > 100
    assert "attachment" in answer.headers["content-disposition"]


def test_what_was_exported_can_be_imported_corrected_and_taken_back(client: TestClient, drawn: Person) -> None:
    content = json.dumps(coco(client)).encode().replace(b"a.png", b"b.jpg")
    done = client.post("/api/import", files=[("files", ("x.json", content))]).json()
    assert (done["images"], done["objects"], done["skipped"]) == (1, 2, [])
    other = Person(client, image=2)
    objects = other.open()["objects"]
    assert [(mask_of(item) == mask).all() for item, mask in zip(objects, (FIRST, SECOND), strict=True)] == [
        True,
        True,
    ]
    assert [item["label"] for item in objects] == [1, 2]
    corrected = other.click(objects[0]["id"], *RED, positive=False)["changed"][0]
    assert 0 < mask_of(corrected).sum() < FIRST.sum()
    other.act(kind="undo")
    assert other.act(kind="undo")["order"] == []


def png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def test_label_maps_and_binary_masks_are_imported(client: TestClient, project: Project) -> None:
    labels = (FIRST * 3).astype(np.uint8)
    labels[SECOND] = 7
    labels[100:, 150:] = 255
    binary = square(5, 5).astype(np.uint8) * 255
    files = [
        ("files", ("a.png", png(labels))),
        ("files", ("c.png", png(binary))),
        ("files", ("who.png", png(binary))),
    ]
    done = client.post("/api/import", files=files).json()
    assert (done["images"], done["objects"]) == (2, 3)
    assert "who.png" in done["skipped"][0]
    first, third = Person(client).look()["objects"], Person(client, image=3).look()["objects"]
    assert [mask_of(item).sum() for item in first] == [(FIRST & ~SECOND).sum(), SECOND.sum()]
    assert (mask_of(third[0]) == square(5, 5)).all()
    with project.store.read() as db:
        assert journal.disagreements(db) == []


def test_masks_of_another_size_and_files_that_do_not_read_are_named(client: TestClient) -> None:
    small = png(np.ones((5, 5), np.uint8))
    done = client.post("/api/import", files=[("files", ("a.png", small))]).json()
    assert (done["objects"], "5 x 5" in done["skipped"][0]) == (0, True)
    for name, content in (("x.json", b"{"), ("x.txt", b"hello"), ("a.png", b"no picture"), ("x.json", b"[1]")):
        answer = client.post("/api/import", files=[("files", (name, content))])
        assert answer.status_code == 422, (name, content)
        assert answer.json()["message"]
    assert Person(client).look()["objects"] == []
