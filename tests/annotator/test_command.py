"""segue annotate from the command line, and the page's types."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from pycocotools import mask as rle

from segue.annotator.app import STATIC, build, serve
from segue.annotator.config import SAMPLES, AnnotateConfig
from segue.cli import main
from segue.core.errors import ConfigError
from segue.data.io.image import write_labels
from tests.annotator.fake_model import ColourModel
from tests.annotator.person import Person, runs, square
from tests.annotator.running import Running


def test_masks_are_exported_and_imported_without_a_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as client:
        person = Person(client)
        person.open()
        person.act(kind="stroke", object="o1", pixels=runs(square(10, 10)))
        person.act(kind="state", state="accepted")
    out = tmp_path / "out"
    assert main(["annotate", str(folder), "--export", "coco", "-o", str(out), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["exported images"] == 1
    content = json.loads((out / "annotations" / "instances.json").read_text())
    assert (rle.decode(content["annotations"][0]["segmentation"]).astype(bool) == square(10, 10)).all()
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(".segue"))
    file = out / "annotations" / "instances.json"
    assert main(["annotate", str(other), "--import", str(file), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["imported"]["objects"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["no-such-folder"], "folder of images"),
        ([".", "--export", "cocoo", "-o", "x"], "Did you mean 'coco'"),
        ([".", "--export", "coco"], "-o DIR"),
        ([".", "--import", "none.json"], "none.json"),
        ([".", "--accept"], "--import"),
        (["photo.png"], "which is a file"),
        ([".", "--db", "nonsense"], "sqlite:///FILE"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.png").touch()
    assert main(["annotate", *options]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_port_in_use_is_said_before_anything_is_opened(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="--port"):
            serve(AnnotateConfig(folder=folder, port=taken.getsockname()[1], browser=False))
    assert not (folder / ".segue").exists()


def test_what_find_wrote_is_imported_as_it_is_and_accepted(folder: Path, tmp_path: Path) -> None:
    found = tmp_path / "found"
    for name, mask in (("a", square(10, 10, 40)), ("b", np.zeros((120, 160), bool)), ("c", square(30, 30, 40))):
        write_labels(found / "masks" / f"{name}.png", mask)
    (found / "results.json").write_text("{}")
    assert main(["annotate", str(folder), "--import", str(found), "--accept", "--json", str(tmp_path / "told")]) == 0
    assert json.loads((tmp_path / "told").read_text())["imported"]["objects"] == 2
    assert main(["annotate", str(folder), "--import", str(found), "--accept"]) == 0, "a second time changes nothing"
    assert main(["annotate", str(folder), "--export", "png", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.stem for path in (tmp_path / "out").rglob("*.png")) == ["a", "deep_c"]


def test_answers_leave_at_once(folder: Path) -> None:
    """A hundred requests on one connection: with Nagle's algorithm each would wait 40 ms for an acknowledgement."""
    server = Running(folder, f"sqlite:///{folder}/p.db")
    with httpx.Client(base_url=server.url) as client:
        waited = []
        for _ in range(100):
            began = time.perf_counter()
            client.get("/api/images")
            waited.append(time.perf_counter() - began)
    server.stop()
    assert min(waited) < 0.03


def test_the_samples_are_opened_without_writing_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    config = AnnotateConfig()
    assert config.images == SAMPLES
    assert config.database == f"sqlite:///{tmp_path}/segue/samples/project.db"
    named = (SAMPLES / "README.md").read_text()
    assert all(path.name in named for path in SAMPLES.glob("*.jpg")), "every sample's licence is named"


@pytest.mark.parametrize("folder", [STATIC, STATIC.parents[1] / "jobs" / "site"], ids=["annotator", "web"])
def test_the_page_passes_the_type_checker(folder: Path) -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("needs TypeScript (npm install --global typescript)")
    done = subprocess.run([compiler, "-p", str(folder / "jsconfig.json")], capture_output=True, text=True, timeout=200)
    assert done.stdout == ""
