"""Adapters from accepted masks, proposals from one example; the long work has its own tests in jobs."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from segue.annotator import journal
from segue.annotator.adapt_service import BackgroundTask
from segue.annotator.app import build
from segue.annotator.codec import pack
from segue.annotator.config import AnnotateConfig
from segue.annotator.project import Project
from segue.annotator.task import run_find
from segue.data.io.image import write_image
from tests.annotator.fake_model import ColourModel, photo
from tests.annotator.person import RED, Person, mask_of, runs, square
from tests.jobs.scenes import toy

FINDS = """
import json, sys
request = json.load(open(sys.argv[1]))
for number, (image, path) in enumerate(request["images"]):
    print(json.dumps({"progress": number / 2, "message": path}))
    print(json.dumps({"found": image, "score": 0.75, "area": 100, **request["mask"]}), flush=True)
print(json.dumps({"done": True}))
"""
ADAPTS = """
import json, pathlib, sys
from segue.training.config import AdaptConfig
config = json.load(open(sys.argv[1]))["config"]
AdaptConfig.from_fields(**config)
assert len(list(pathlib.Path(config["data"], "masks").glob("*.png"))) == 5
out = pathlib.Path(config["output"])
out.mkdir()
figures = {"before": {"noc85": 6.5}, "after": {"noc85": 3.25}, "clicks_saved_interval": [2.5, 4.0]}
(out / "report.json").write_text(json.dumps(figures | {"helps": True, "minutes": 1.0}))
print(json.dumps({"done": True}))
"""
FAILS = 'import json; print(json.dumps({"failed": "got 5 dull images"}))'
SLEEPS = "import time; time.sleep(60)"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a script do the long work."""

    def use(script: str) -> None:
        path = tmp_path / "stand_in.py"
        path.write_text(script)
        monkeypatch.setattr(BackgroundTask, "command", (sys.executable, str(path)))

    return use


def ended(client: TestClient, job: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while (state := client.get(f"/api/{job}").json())["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
    return state


def test_found_masks_wait_until_they_are_accepted_or_rejected(
    client: TestClient, person: Person, project: Project, stand_in: Callable[[str], None]
) -> None:
    stand_in(FINDS)
    person.act(kind="stroke", object="o1", pixels=runs(square(10, 10)))
    assert client.post("/api/find", json={"image": 1, "object": "o1"}).json()["state"] == "running"
    state = ended(client, "find")
    assert (state["state"], state["open"]) == ("done", 2)
    following = client.get("/api/find/next").json()
    other = Person(client, image=following["image"])
    (finding,) = other.open()["findings"]
    assert (mask_of(finding) == square(10, 10)).all()
    accepted = other.act(kind="decide", finding=finding["id"], accept=True, object="f1")
    assert (mask_of(accepted["changed"][0]) == square(10, 10)).all()
    assert other.look()["objects"][0]["origin"] == "found"
    other.act(kind="undo")
    assert other.look()["findings"][0]["id"] == finding["id"], "undo proposes it again"
    other.act(kind="decide", finding=finding["id"], accept=False, object="f2")
    assert client.get("/api/find/next").json()["image"] != following["image"]
    assert other.send(kind="decide", finding=finding["id"], accept=True, object="f3").status_code == 409
    with project.store.read() as db:
        assert journal.disagreements(db) == []


def test_adapting_needs_masks_says_what_it_gained_and_is_switched_on_and_off(
    folder: Path, client: TestClient, stand_in: Callable[[str], None]
) -> None:
    assert "at least 5" in client.post("/api/adapt", json={}).json()["message"]
    for name in ("d.png", "e.png"):
        photo(folder / name)
    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as client:
        for image in range(1, 6):
            person = Person(client, image=image)
            person.open()
            person.click(f"o{image}", *RED)
            person.act(kind="state", state="accepted")
        stand_in(ADAPTS)
        assert client.post("/api/adapt", json={"minutes": 1}).json()["state"] == "running"
        state = ended(client, "adapt")
        assert (state["state"], state["used"]) == ("done", False)
        assert state["report"] == {
            "before": 6.5,
            "after": 3.25,
            "low": 2.5,
            "high": 4.0,
            "helps": True,
            "minutes": 1.0,
        }
        assert client.post("/api/adapt/use", json={"key": "u1", "on": True}).json()["used"]
        assert client.get("/api/status").json()["model"]["adapter"].endswith("0001/adapter")
    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as again:
        assert again.get("/api/adapt").json()["used"], "the choice survives a restart"
        assert not again.post("/api/adapt/use", json={"key": "u2", "on": False}).json()["used"]


def test_a_failure_is_told_and_a_run_can_be_stopped(
    client: TestClient, person: Person, stand_in: Callable[[str], None]
) -> None:
    person.act(kind="stroke", object="o1", pixels=runs(square(10, 10)))
    stand_in(FAILS)
    client.post("/api/find", json={"image": 1, "object": "o1"})
    state = ended(client, "find")
    assert (state["state"], state["message"]) == ("failed", "got 5 dull images")
    stand_in(SLEEPS)
    client.post("/api/find", json={"image": 1, "object": "o1"})
    assert client.post("/api/find", json={"image": 1, "object": "o1"}).status_code == 422, "one at a time"
    client.post("/api/find/stop")
    assert ended(client, "find")["state"] == "idle"


def test_the_search_finds_the_example_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = photo(tmp_path / "a.png")
    mask = np.zeros((120, 160), bool)
    mask[20:60, 20:53] = True
    packed = pack(mask)
    request = {
        "model": {"model": "nano"},
        "reference": str(path),
        "mask": {"box": packed.box, "data": base64.b64encode(packed.data).decode()},
        "images": [[7, str(path)], [8, str(tmp_path / "missing.png")]],
        "max_pixels": 10**6,
    }
    run_find(request)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (found,) = [line for line in lines if "found" in line]
    assert found["found"] == 7
    x0, y0, x1, y1 = found["box"]
    assert abs(x0 - 20) + abs(y0 - 20) + abs(x1 - 53) + abs(y1 - 60) < 16


def test_every_toy_is_proposed_in_its_own_image_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, mask = toy()
    drawn, other = toy(at=(170, 240), scale=0.9)
    image[other] = drawn[other]
    path = tmp_path / "two.png"
    write_image(path, image)
    packed = pack(mask)
    request = {
        "model": {"model": "nano"},
        "reference": str(path),
        "mask": {"box": packed.box, "data": base64.b64encode(packed.data).decode()},
        "images": [[7, str(path)]],
        "every": True,
        "max_pixels": 10**6,
    }
    run_find(request)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (found,) = [line for line in lines if "found" in line]
    left, right = np.flatnonzero(other.any(0))[[0, -1]]
    assert abs(found["box"][0] - left) + abs(found["box"][2] - 1 - right) < 8


def test_every_one_is_looked_for_in_all_images_that_are_not_finished(
    client: TestClient, person: Person, stand_in: Callable[[str], None]
) -> None:
    stand_in(FINDS)
    person.act(kind="stroke", object="o1", pixels=runs(square(10, 10)))
    client.post("/api/find", json={"image": 1, "object": "o1", "every": True})
    assert ended(client, "find")["open"] == 3
