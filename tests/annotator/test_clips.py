"""Clips: frames are annotated like images, key frames are carried on, and undo is exact."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from segue.annotator import journal
from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.data.io.image import read_labels
from tests.annotator.clips import LENGTH, folder_clip, place, truth, video_clip
from tests.annotator.fake_model import ColourModel, photo
from tests.annotator.person import Person, mask_of, runs
from tests.annotator.running import Running


class Viewer(Person):
    """Somebody who works on a frame of a clip."""

    frame = 0

    def go(self, frame: int) -> dict[str, Any]:
        self.frame = frame
        return self.open(frame=frame)

    def send(self, key: str | None = None, seconds: float = 0.0, **action: Any) -> Any:
        body = {"key": key or f"k{next(self.keys)}", "seen": self.head, "seconds": seconds, "action": action}
        answer = self.client.post(
            f"/api/images/{self.image}/actions", json=body | {"frame": self.frame}, headers=self.headers
        )
        if answer.status_code == 200:
            self.head = answer.json()["head"]
        return answer

    def seen(self, frame: int) -> dict[str, dict[str, Any]]:
        """Objects in a frame, by id."""
        answer = self.client.get(f"/api/images/{self.image}", params={"frame": frame}, headers=self.headers)
        return {one["id"]: one for one in answer.json()["objects"]}

    def draw(self, item: str, frame: int) -> None:
        """The red square as it is, by brush."""
        self.go(frame)
        if self.seen(frame).get(item, {}).get("mask"):
            self.act(kind="stroke", object=item, pixels=runs(np.ones((120, 160), bool)), erase=True)
        self.act(kind="stroke", object=item, pixels=runs(truth(frame)), label=1)

    def propagate(self, direction: str) -> dict[str, Any]:
        self.act(kind="propagate", direction=direction)
        return self.ended()

    def timeline(self) -> dict[str, Any]:
        return self.client.get(f"/api/images/{self.image}/timeline").json()

    def ended(self) -> dict[str, Any]:
        end = time.monotonic() + 120
        while (line := self.timeline())["state"] == "running":
            assert time.monotonic() < end
            time.sleep(0.05)
        assert line["state"] == "done", line["message"]
        return line


def iou(one: dict[str, Any], frame: int) -> float:
    found = mask_of(one)
    return float((found & truth(frame)).sum() / (found | truth(frame)).sum())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder_clip(tmp_path / "photos" / "clip")
    photo(tmp_path / "photos" / "still.png")
    return tmp_path / "photos"


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    config = AnnotateConfig(folder=home, frames=True)
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def viewer(client: TestClient) -> Viewer:
    viewer = Viewer(client)
    viewer.go(0)
    return viewer


def test_a_folder_of_frames_is_one_item(client, viewer):
    lines = client.get("/api/images").json()["images"]
    assert [line["path"] for line in lines] == ["clip", "still.png"]
    out = viewer.go(4)
    assert (out["frames"], out["frame"], out["kind"], out["width"], out["height"]) == (LENGTH, 4, "frames", 160, 120)
    assert client.get("/api/images/1/thumbnail").content[:2] == b"\xff\xd8"
    first, last = (client.get("/api/images/1/photo", params={"frame": k}).content for k in (0, 8))
    assert first[:2] == last[:2] == b"\xff\xd8"
    assert first != last
    refused = client.get("/api/images/1/photo", params={"frame": 9})
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        "got frame 9; expected a number from 0 to 8. Reload the page.",
    )
    assert Person(client, image=2).open()["frames"] == 0


def test_a_click_on_a_frame_makes_a_key_frame_there_alone(viewer):
    viewer.go(3)
    x, y = place(3)
    answer = viewer.click("a", x + 15, y + 15, label=1)
    assert answer["frame"] == 3
    assert answer["changed"][0]["mark"] == "key"
    assert iou(answer["changed"][0], 3) == 1
    assert viewer.seen(3)["a"]["mark"] == "key"
    other = viewer.seen(4)["a"]
    assert (other["mark"], other["mask"], other["clicks"]) == ("", None, 1)
    assert viewer.timeline()["objects"][0]["keys"] == [{"frame": 3, "mark": "mask"}]
    x, y = place(5)
    viewer.go(5)
    viewer.click("a", x + 15, y + 15)
    assert iou(viewer.seen(5)["a"], 5) == iou(viewer.seen(3)["a"], 3) == 1


def test_undo_takes_key_frames_back_wherever_the_page_is(viewer, client):
    viewer.draw("a", 2)
    viewer.draw("a", 6)
    viewer.go(0)
    answer = viewer.act(kind="undo")
    assert answer["frame"] == 6
    assert answer["changed"][0]["mask"] is None
    assert viewer.timeline()["objects"][0]["keys"] == [{"frame": 2, "mark": "mask"}]
    assert viewer.act(kind="redo")["frame"] == 6
    assert iou(viewer.seen(6)["a"], 6) == 1
    with client.app.state.project.store.read() as db:
        assert journal.disagreements(db) == []


def test_propagate_correct_and_propagate_between(viewer, client):
    viewer.draw("a", 0)
    line = viewer.propagate("forward")
    assert line["objects"][0]["frames"] == list(range(1, LENGTH))
    seen = [viewer.seen(k)["a"] for k in range(1, LENGTH)]
    assert {one["mark"] for one in seen} == {"propagated"}
    assert min(iou(one, k) for k, one in enumerate(seen, 1)) > 0.7
    assert all(0 < one["score"] <= 1 for one in seen)
    before = {k: viewer.seen(k)["a"]["mask_id"] for k in range(1, LENGTH)}
    viewer.draw("a", 4)
    viewer.go(4)
    viewer.propagate("between")
    after = {k: viewer.seen(k)["a"]["mask_id"] for k in range(1, LENGTH)}
    assert all(after[k] != before[k] for k in range(1, LENGTH))
    assert viewer.seen(4)["a"]["mark"] == "key"
    viewer.act(kind="undo")
    assert {k: viewer.seen(k)["a"]["mask_id"] for k in before if k != 4} == {k: before[k] for k in before if k != 4}
    viewer.act(kind="undo")
    viewer.act(kind="undo")
    assert {k: viewer.seen(k)["a"]["mask_id"] for k in before} == before
    viewer.act(kind="undo")
    assert viewer.seen(3)["a"]["mask"] is None
    with client.app.state.project.store.read() as db:
        assert journal.disagreements(db) == []


def test_a_click_goes_on_from_what_was_propagated(viewer):
    viewer.draw("a", 0)
    viewer.propagate("forward")
    base = viewer.seen(5)["a"]
    viewer.go(5)
    answer = viewer.click("a", 130, 95)  # the blue square is added to it
    grown = mask_of(answer["changed"][0])
    assert grown[95, 130]
    assert (grown & mask_of(base)).sum() > 0.9 * mask_of(base).sum()
    assert answer["changed"][0]["mark"] == "key"


def test_gone_and_back(viewer):
    viewer.draw("a", 0)
    viewer.propagate("forward")
    viewer.go(3)
    assert viewer.act(kind="mark", object="a", mark="gone")["changed"][0]["mark"] == "gone"
    viewer.go(6)
    viewer.act(kind="mark", object="a", mark="back")
    marks = [viewer.seen(k)["a"]["mark"] for k in range(LENGTH)]
    assert marks == ["key", *["propagated"] * 2, *["gone"] * 3, *["propagated"] * 3]
    viewer.go(0)
    line = viewer.propagate("both")
    assert line["state"] == "done"
    assert iou(viewer.seen(8)["a"], 8) > 0.7  # found again
    viewer.go(3)
    viewer.act(kind="mark", object="a", mark="none")
    assert viewer.seen(4)["a"]["mark"] == "propagated"
    refused = viewer.send(kind="mark", object="a", mark="none")
    assert refused.json()["message"].startswith("got no key frame to take away here")


def test_objects_share_frames_and_keep_their_ids(viewer):
    viewer.draw("a", 0)
    blue = np.zeros((120, 160), bool)
    blue[80:110, 110:150] = True
    viewer.act(kind="stroke", object="b", pixels=runs(blue))
    viewer.go(0)
    viewer.propagate("forward")
    for frame in (1, 4, 8):
        seen = viewer.seen(frame)
        assert iou(seen["a"], frame) > 0.7
        assert (mask_of(seen["b"]) & blue).sum() / (mask_of(seen["b"]) | blue).sum() > 0.7


def test_what_cannot_be_propagated_is_said(viewer):
    refused = viewer.send(kind="propagate", direction="forward")
    assert refused.status_code == 422
    assert refused.json()["message"].startswith("got propagation without a frame to fill")
    still = Person(viewer.client, image=2)
    still.open()
    assert still.send(kind="propagate", direction="both").json()["message"].startswith("got propagation in a single")
    assert still.send(kind="mark", object="a", mark="gone").status_code == 404


def test_a_broken_frame_is_stepped_over(home, viewer):
    (home / "clip" / "004.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    viewer.draw("a", 0)
    line = viewer.propagate("forward")
    assert line["broken"] == [4]
    assert line["objects"][0]["frames"] == [1, 2, 3, 5, 6, 7, 8]
    assert iou(viewer.seen(8)["a"], 8) > 0.7
    refused = viewer.client.get("/api/images/1/photo", params={"frame": 4})
    assert refused.status_code == 422
    assert "004.png" in refused.json()["message"]


def test_accepting_a_clip_demands_a_pixel_of_every_object(viewer):
    viewer.draw("a", 5)
    viewer.go(0)
    assert viewer.act(kind="state", state="accepted")["state"] == "accepted"
    viewer.act(kind="state", state="started")
    viewer.go(5)
    viewer.act(kind="stroke", object="a", pixels=runs(np.ones((120, 160), bool)), erase=True)
    assert viewer.send(kind="state", state="accepted").status_code == 422


def test_a_video_file_is_one_item(tmp_path):
    video_clip(tmp_path / "photos" / "clip.mp4")
    with TestClient(build(AnnotateConfig(folder=tmp_path / "photos"), load=ColourModel)) as client:
        client.base_url = "http://localhost"
        viewer = Viewer(client)
        out = viewer.go(7)
        assert (out["frames"], out["kind"], out["rate"]) == (LENGTH, "video", 10.0)
        x, y = place(7)
        assert iou(viewer.click("a", x + 15, y + 15, label=1)["changed"][0], 7) > 0.95


def test_a_stack_is_looked_at_along_any_axis_while_nothing_is_drawn(tmp_path):
    home = tmp_path / "photos"
    home.mkdir()
    np.save(home / "volume.npy", np.random.default_rng(1).integers(0, 4000, (6, 40, 50)).astype(np.uint16))
    with TestClient(build(AnnotateConfig(folder=home), load=ColourModel)) as client:
        client.base_url = "http://localhost"
        viewer = Viewer(client)
        assert viewer.go(0)["frames"] == 6
        viewer.act(kind="axis", axis=2)
        out = viewer.go(49)
        assert (out["frames"], out["width"], out["height"], out["axis"]) == (50, 40, 6, 2)
        viewer.act(kind="undo")
        assert viewer.go(5)["frames"] == 6
        mask = np.zeros((40, 50), bool)
        mask[5:9, 5:9] = True
        viewer.act(kind="stroke", object="a", pixels=runs(mask))
        assert "another axis for a stack with objects" in viewer.send(kind="axis", axis=1).json()["message"]


def test_kill_9_during_propagation_loses_no_frame_that_was_shown(tmp_path):
    video_clip(tmp_path / "photos" / "clip.mp4", length=40)
    db = f"sqlite:///{tmp_path}/project.db"
    server = Running(tmp_path / "photos", db)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        viewer = Viewer(client)
        viewer.draw("a", 0)
        viewer.act(kind="propagate", direction="forward")
        end = time.monotonic() + 60
        while len(shown := viewer.timeline()["objects"][0]["frames"]) < 3:
            assert time.monotonic() < end
            time.sleep(0.02)
        masks = {k: viewer.seen(k)["a"]["mask"] for k in shown}
        server.kill()
        server = Running(tmp_path / "photos", db, server.port)
        line = viewer.timeline()
        assert (line["state"], line["objects"][0]["keys"]) == ("idle", [{"frame": 0, "mark": "mask"}])
        assert set(shown) <= set(line["objects"][0]["frames"]) < set(range(1, 40))
        assert {k: viewer.seen(k)["a"]["mask"] for k in shown} == masks
        viewer.go(0)
        assert viewer.propagate("forward")["objects"][0]["frames"] == list(range(1, 40))
    server.stop()


def test_propagation_can_be_stopped_and_undone_while_it_runs(tmp_path):
    video_clip(tmp_path / "photos" / "clip.mp4", length=40)
    with TestClient(build(AnnotateConfig(folder=tmp_path / "photos"), load=ColourModel)) as client:
        client.base_url = "http://localhost"
        viewer = Viewer(client)
        for stop in ("stop", "undo"):
            viewer.draw("a", 0)
            viewer.act(kind="propagate", direction="forward")
            assert "a second propagation" in viewer.send(kind="propagate", direction="forward").json()["message"]
            while not viewer.timeline()["objects"][0]["frames"]:
                time.sleep(0.02)
            if stop == "stop":
                client.post("/api/propagate/stop")
            else:
                viewer.act(kind="undo")
            while (line := viewer.timeline())["state"] == "running":
                time.sleep(0.02)
            assert line["state"] == "idle"
            found = line["objects"][0]["frames"]
            assert 0 < len(found) < 39 if stop == "stop" else found == []
            viewer.act(kind="undo")


def exported(client: TestClient, name: str, folder: Path) -> Path:
    answer = client.get("/api/export", params={"format": name, "accepted": "false"})
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(folder)
    return folder


def test_a_clip_is_exported_as_palette_pictures_with_the_objects_ids(viewer, client, tmp_path):
    viewer.draw("a", 0)
    viewer.draw("b", 2)
    viewer.go(3)
    viewer.act(kind="mark", object="a", mark="gone")
    out = exported(client, "davis-video", tmp_path / "out")
    files = sorted((out / "Annotations" / "clip").iterdir())
    assert [file.name for file in files] == [f"{number:03d}.png" for number in range(LENGTH)]
    labels = [read_labels(file) for file in files]
    assert ((labels[0] == 1) == truth(0)).all()
    assert ((labels[2] == 2) == truth(2)).all()
    assert not labels[4].any()
    meta = json.loads((out / "meta.json").read_text())["videos"]["clip"]["objects"]
    assert meta["1"] == {"category": "object", "id": "a", "frames": ["000"]}
    assert meta["2"]["frames"] == ["002"]


def test_other_formats_have_an_image_a_frame(viewer, client):
    viewer.draw("a", 1)
    viewer.draw("a", 4)
    answer = client.get("/api/export", params={"format": "coco", "accepted": "false"})
    assert [image["file_name"] for image in answer.json()["images"]] == ["clip/00001.png", "clip/00004.png"]
    assert [one["area"] for one in answer.json()["annotations"]] == [900, 900]
