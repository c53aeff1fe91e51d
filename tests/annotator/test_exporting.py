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

from segue.annotator.exporting import formats
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
