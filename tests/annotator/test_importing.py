"""Masks of other tools, and our own, come in as they are."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient

from segue.annotator import importing, journal
from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.annotator.exporting import formats
from segue.annotator.project import Project
from tests.annotator.fake_model import ColourModel
from tests.annotator.person import RED, Person, mask_of, runs, square

CLICK = {"type": "click", "x": 30, "y": 40}
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


def imported(client: TestClient, *files: tuple[str, bytes], window: str = "api") -> dict[str, Any]:
    """What the import of these files did, or its state where it failed."""
    answer = client.post("/api/import", files=[("files", file) for file in files], headers={"segue-window": window})
    assert answer.status_code == 200, answer.text
    end = time.monotonic() + 60
    while (state := client.get("/api/import").json())["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.02)
    return state["result"] or state


def test_what_was_exported_can_be_imported_corrected_and_taken_back(client: TestClient, drawn: Person) -> None:
    content = json.dumps(coco(client)).encode().replace(b"a.png", b"b.jpg")
    done = imported(client, ("x.json", content))
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
    done = imported(client, ("a.png", png(labels)), ("c.png", png(binary)), ("who.png", png(binary)))
    assert (done["images"], done["objects"]) == (2, 3)
    assert "who.png" in done["skipped"][0]
    first, third = Person(client).look()["objects"], Person(client, image=3).look()["objects"]
    assert [mask_of(item).sum() for item in first] == [(FIRST & ~SECOND).sum(), SECOND.sum()]
    assert (mask_of(third[0]) == square(5, 5)).all()
    with project.store.read() as db:
        assert journal.disagreements(db) == []


def test_masks_of_another_size_and_files_that_do_not_read_are_named(client: TestClient) -> None:
    small = png(np.ones((5, 5), np.uint8))
    done = imported(client, ("a.png", small))
    assert (done["objects"], "5 x 5" in done["skipped"][0]) == (0, True)
    for name, content in (("x.json", b"{"), ("x.txt", b"hello"), ("a.png", b"no picture"), ("x.json", b"[1]")):
        state = imported(client, (name, content))
        assert (state["state"], bool(state["message"])) == ("failed", True), (name, content)
    assert Person(client).look()["objects"] == []


def test_an_import_that_is_repeated_adds_nothing(client: TestClient, drawn: Person) -> None:
    content = json.dumps(coco(client)).encode()
    for _ in range(2):
        done = imported(client, ("x.json", content), window="w1")
        assert (done["images"], done["objects"], done["known"]) == (0, 0, 2)
    assert len(drawn.look()["objects"]) == 2


def test_a_photo_is_no_mask(client: TestClient, folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    state = imported(client, ("a.png", png(noise)))
    assert state["state"] == "failed"
    assert "looks like a photo" in state["message"]
    assert Person(client).look()["objects"] == []


def test_more_objects_than_an_image_can_have_are_refused(
    client: TestClient, drawn: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = coco(client)
    content["images"][0]["file_name"] = "b.jpg"
    content["annotations"] = [row | {"id": at} for at, row in enumerate(10 * content["annotations"])]
    monkeypatch.setattr(importing, "MOST_OBJECTS", 19)
    monkeypatch.setattr(importing, "pack", lambda mask: pytest.fail("a mask was unpacked before it was refused"))
    done = imported(client, ("x.json", json.dumps(content).encode()))
    assert (done["objects"], "20 objects in one image" in done["skipped"][0]) == (0, True)
    assert Person(client, image=2).look()["objects"] == []


def test_class_names_of_a_file_are_cleaned(client: TestClient, drawn: Person) -> None:
    content = coco(client)
    content["categories"][0]["name"], content["categories"][1]["name"] = "a\x00 tall\nship", "x" * 100_000
    content["images"][0]["file_name"] = "b.jpg"
    done = imported(client, ("x.json", json.dumps(content).encode()))
    assert done["objects"] == 2
    names = [label["name"] for label in client.get("/api/project").json()["labels"]]
    assert names == ["object", "fish", "a tallship", "x" * 80]


@pytest.mark.parametrize("name", [row.name for row in formats()])
def test_what_we_export_comes_in_again_and_once(
    client: TestClient, drawn: Person, folder: Path, tmp_path: Path, name: str
) -> None:
    deep = Person(client, image=3)
    deep.act(kind="stroke", object="o3", pixels=runs(square(60, 60, 30)))
    deep.act(kind="state", state="accepted")
    client.post("/api/settings", json={"key": "s", "overlap": "new"})
    answer = client.get("/api/export", params={"format": name})
    file = ("x.zip" if "zip" in answer.headers["content-type"] else "x.json", answer.content)
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(".segue"))
    config = AnnotateConfig(folder=other)
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as again:
        assert (imported(again, file) | {"skipped": []}) == {"images": 2, "objects": 3, "known": 0, "skipped": []}
        twice = imported(again, file)
        assert (twice["objects"], twice["known"]) == (0, 3), "importing it again adds nothing"
        names = {label["id"]: label["name"] for label in again.get("/api/project").json()["labels"]}
        look = Person(again).look()["objects"]
        masks = {names[one["label"]]: mask_of(one) for one in look}
        assert set(masks) == {"object", "fish"}
        for label, mask in (("object", FIRST & ~SECOND), ("fish", SECOND)):
            iou = (masks[label] & mask).sum() / (masks[label] | mask).sum()
            assert iou > (0.97 if name == "yolo" else 0.999)
        assert [mask_of(one).sum() for one in Person(again, image=3).look()["objects"]] == [900]


def test_an_archive_that_unpacks_too_large_or_is_none_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_UNPACKED", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", b"x" * 5000)
    assert "unpacked" in imported(client, ("x.zip", buffer.getvalue()))["message"]
    assert "complete ZIP" in imported(client, ("x.zip", b"PK no"))["message"]


def test_one_import_runs_at_a_time_and_says_how_far_it_is(
    client: TestClient, drawn: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps(coco(client)).encode().replace(b"a.png", b"b.jpg")
    added, gate = importing._add, threading.Event()

    def slowly(*given: Any) -> tuple[int, int]:
        gate.wait(20)
        return added(*given)

    monkeypatch.setattr(importing, "_add", slowly)
    client.post("/api/import", files=[("files", ("x.json", content))])
    while "0 of 1 images of x.json" not in (state := client.get("/api/import").json())["message"]:
        assert state["state"] == "running"
    second = client.post("/api/import", files=[("files", ("x.json", content))])
    assert "wait for it" in second.json()["message"].lower()
    gate.set()
    while client.get("/api/import").json()["state"] == "running":
        time.sleep(0.01)
    assert client.get("/api/import").json()["result"]["objects"] == 2
