"""segue get, from a server on this machine: broken, wrong and missing downloads."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segue.cli import main
from segue.core.errors import DownloadError
from segue.jobs.get import get
from segue.models.entry import Card, ModelEntry
from segue.models.pretrained import placed_file
from segue.models.registry import MODELS

CONTENT = bytes(range(256)) * 12_000  # three pieces
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Server(ThreadingHTTPServer):
    """Serves ``content``; closes the connection after ``breaks`` bytes of an answer, and notes the ranges asked for."""

    content, breaks, ranges_known = CONTENT, 0, True
    asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/toy.pth"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges_known else 0
        if start >= len(self.server.content):
            self.send_error(416 if self.server.content else 404)
            return
        body = self.server.content[start:]
        self.send_response(206 if asked and self.server.ranges_known else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks or len(body)])

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file of a model called toy shall lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = Card("https://example.org/toy", "MIT", "toy.pth", sha256=DIGEST, url=server.url)
    monkeypatch.setitem(MODELS._rows, "toy", ModelEntry("math:pi", "a toy", card=card))
    return placed_file(MODELS["toy"])


def test_the_file_is_fetched_once_and_its_licence_shown(
    server: _Server, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", "toy", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert file.read_bytes() == CONTENT
    assert (told["sha256"], told["licence"], told["checked"], told["fetched"]) == (DIGEST, "MIT", True, True)
    assert not get(model="toy").fetched
    assert len(server.asked) == 1
    assert get(model="toy", force=True).fetched


@pytest.mark.parametrize("ranges_known", [True, False], ids=["by range", "from the start"])
def test_a_broken_download_goes_on(server: _Server, file: Path, ranges_known: bool) -> None:
    server.breaks, server.ranges_known = len(CONTENT) // 2, ranges_known
    with pytest.raises(DownloadError, match="Run it again to go on"):
        get(model="toy")
    assert not file.exists()
    server.breaks = 0
    assert get(model="toy").path.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={len(CONTENT) // 2}-"]


def test_another_file_than_the_published_one_is_refused(server: _Server, file: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=DIGEST):
        get(model="toy")
    assert list(file.parent.iterdir()) == []
    server.content = CONTENT
    assert get(model="toy").checked


def test_what_is_left_of_a_longer_file_does_not_stop_it(server: _Server, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_name("toy.pth.part").write_bytes(CONTENT + b"more")
    assert get(model="toy").path.read_bytes() == CONTENT


def test_without_a_network_the_file_and_its_place_are_named(
    server: _Server, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", "toy", "--url", "http://127.0.0.1:9/toy.pth"]) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in ("toy.pth", "https://example.org/toy", str(file)))
    assert len(said.strip().splitlines()) == 1
    assert main(["get", "simpleclick-base"]) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in ("cocolvis_vit_base.pth", str(placed_file(MODELS["simpleclick-base"])), "MIT"))
    assert main(["get", "segformer-b0-click"]) == 1
    assert "segue convert mit_b0.pth" in capsys.readouterr().err
    server.content = b""
    with pytest.raises(DownloadError, match="404"):
        get(model="toy", url=server.url)
