"""Masks leave as they are on screen and come back as they were."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from pycocotools import mask as rle

from segue.annotator import journal
from segue.annotator.exchange import formats
from segue.annotator.project import Project
from tests.annotator.fake_model import photo
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


def test_an_import_that_is_repeated_adds_nothing(client: TestClient, drawn: Person) -> None:
    content = json.dumps(coco(client)).encode()
    for _ in range(2):
        done = client.post("/api/import", files=[("files", ("x.json", content))]).json()
        assert (done["images"], done["objects"]) == (0, 0)
    assert len(drawn.look()["objects"]) == 2


def test_a_photo_is_no_mask(client: TestClient, folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    answer = client.post("/api/import", files=[("files", ("a.png", png(noise)))])
    assert answer.status_code == 422
    assert "looks like a photo" in answer.json()["message"]
    assert Person(client).look()["objects"] == []


def test_class_names_of_a_file_are_cleaned(client: TestClient, drawn: Person) -> None:
    content = coco(client)
    content["categories"][0]["name"], content["categories"][1]["name"] = "a\x00 tall\nship", "x" * 100_000
    content["images"][0]["file_name"] = "b.jpg"
    done = client.post("/api/import", files=[("files", ("x.json", json.dumps(content).encode()))]).json()
    assert done["objects"] == 2
    names = [label["name"] for label in client.get("/api/project").json()["labels"]]
    assert names == ["object", "fish", "a tallship", "x" * 80]


@pytest.mark.parametrize("name", ["coco", "yolo", "numpy"])
def test_an_export_of_nothing_is_an_error_with_its_reason(client: TestClient, person: Person, name: str) -> None:
    person.click("o1", *RED)
    answer = client.get("/api/export", params={"format": name})
    assert answer.status_code == 422
    assert "accept one, or export all" in answer.json()["message"].lower()


def test_a_replaced_photo_leaves_every_export_whole_and_its_masks_wait(
    client: TestClient, drawn: Person, folder: Path
) -> None:
    photo(folder / "a.png", size=(240, 320))
    assert drawn.open()["replaced"]
    for name in ("coco", "png", "yolo", "label-studio"):
        answer = client.get("/api/export", params={"format": name})
        assert answer.status_code == 200
        assert "a.png" in unquote(answer.headers["segue-notice"])
    assert coco(client)["images"][0]["height"] == 120, "the size that the masks were made for"
    assert "replaced" in drawn.send(kind="prompt", object="o1", prompts=[CLICK]).json()["message"]
    kept = drawn.act(kind="replaced", masks="keep")["changed"]
    assert [mask_of(item, (240, 320)).sum() for item in kept] == [4 * FIRST.sum(), 4 * SECOND.sum()]
    assert (drawn.open()["replaced"], drawn.look()["height"]) == (False, 240)
    drawn.act(kind="prompt", object="o3", prompts=[CLICK])
    drawn.act(kind="undo")
    drawn.act(kind="undo")
    assert drawn.open()["replaced"], "taken back, it waits again"
    drawn.act(kind="replaced", masks="remove")
    assert drawn.look()["objects"] == []
    assert coco(client)["images"][0]["height"] == 240


def test_the_same_photo_written_again_is_no_other_photo(client: TestClient, drawn: Person, folder: Path) -> None:
    content = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(content)
    assert not drawn.open()["replaced"]
    other = Person(client, image=3)
    photo(folder / "deep" / "c.png", size=(60, 80))
    assert (other.open()["replaced"], other.look()["height"]) == (False, 60), "without masks nobody is asked"


def test_an_object_without_a_pixel_is_neither_accepted_nor_exported(client: TestClient, person: Person) -> None:
    person.act(kind="stroke", object="o1", pixels=runs(FIRST))
    person.act(kind="stroke", object="o2", pixels=runs(SECOND))
    person.act(kind="stroke", object="o1", pixels=runs(FIRST), erase=True)
    assert "1 object without a single pixel" in person.send(kind="state", state="accepted").json()["message"]
    answer = client.get("/api/export", params={"format": "coco", "accepted": False})
    assert len(json.loads(answer.content)["annotations"]) == 1
    assert "1 object without a pixel was left out" in unquote(answer.headers["segue-notice"])
    person.act(kind="remove", object="o1")
    person.act(kind="state", state="accepted")
