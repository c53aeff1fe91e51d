"""Who may reach the server, from where, with how much, and what the page may load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from segue.annotator.app import STATIC, build, page_address
from segue.annotator.config import AnnotateConfig
from tests.annotator.fake_model import ColourModel, photo

CHANGE = "/api/settings"
BODY = {"key": "s", "overlap": "new"}


@pytest.fixture
def remote(folder: Path) -> Iterator[TestClient]:
    """A server that other machines reach, with a token."""
    app = build(AnnotateConfig(folder=folder, host="0.0.0.0", token="s3cret-token"), load=ColourModel)
    with TestClient(app, base_url="http://studio:8788") as client:
        yield client


def test_only_this_machine_is_served_by_default() -> None:
    assert AnnotateConfig().local
    assert AnnotateConfig(host="::1").local
    assert not AnnotateConfig(host="0.0.0.0").local
    assert not AnnotateConfig(host="192.168.1.5").local


def test_a_foreign_name_that_resolves_here_is_refused(client: TestClient) -> None:
    assert client.get("/api/project", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/api/project", headers={"host": "localhost:8788"}).status_code == 200
    assert client.get("/api/project", headers={"host": "[::1]:8788"}).status_code == 200


def test_without_the_token_nothing_is_shown(remote: TestClient) -> None:
    for path in ("/", "/main.js", "/api/project", "/api/images/1/photo", "/api/openapi.json"):
        assert remote.get(path).status_code == 401
        assert remote.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert remote.get("/api/project?token=wrong").status_code == 401
    assert remote.get("/api/project", headers={"authorization": "Bearer s3cret-token"}).status_code == 200


def test_the_token_moves_from_the_address_into_a_cookie(remote: TestClient) -> None:
    answer = remote.get("/?token=s3cret-token", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert remote.get("/api/project").status_code == 200, "the cookie suffices from then on"


def test_the_redirect_stays_on_this_server(remote: TestClient) -> None:
    for path in ("//evil.example/x", "/\\evil.example", "///evil.example"):
        answer = remote.get(f"http://segue.test{path}?token=s3cret-token", follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/evil.example") or answer.headers["location"].startswith("/%5C")


def test_every_server_of_a_host_has_a_cookie_of_its_own(remote: TestClient) -> None:
    first = remote.get("/?token=s3cret-token", headers={"host": "box:8788"}, follow_redirects=False)
    assert first.headers["set-cookie"].startswith("segue_token_8788=")
    other = {"host": "box:9000", "cookie": "segue_token_8788=s3cret-token"}
    assert remote.get("/api/project", headers=other).status_code == 401, "the other server's cookie is not this one's"


def test_who_types_the_address_without_a_token_gets_a_page(remote: TestClient) -> None:
    answer = remote.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "open the address that segue printed" in answer.text


def test_the_token_is_compared_in_constant_time() -> None:
    source = (STATIC.parent / "security.py").read_text()
    assert "hmac.compare_digest" in source


def test_a_change_must_come_from_the_page(client: TestClient) -> None:
    assert client.post(CHANGE, json=BODY, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post(CHANGE, json=BODY, headers={"origin": "null"}).status_code == 403
    assert client.post(CHANGE, json=BODY, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/api/project").json()["overlap"] == "allow"
    assert client.post(CHANGE, json=BODY, headers={"origin": "http://localhost"}).status_code == 204


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/app.py", "/..%2fapp.py", "/static/../app.py", "/....//app.py"]
)
def test_nothing_beside_the_page_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (404, 405)


def test_a_link_that_leads_out_of_the_folder_is_no_image(tmp_path: Path, folder: Path) -> None:
    outside = photo(tmp_path / "private.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "inside.png").symlink_to(folder / "a.png")
    (folder / "linked-folder").symlink_to(tmp_path)
    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as client:
        names = [line["path"] for line in client.get("/api/images").json()["images"]]
        assert names == ["a.png", "b.jpg", "deep/c.png", "inside.png"]
        (folder / "a.png").unlink()
        (folder / "a.png").symlink_to(outside)  # swapped after the folder was read
        assert client.get("/api/images/1/photo").status_code == 404


def test_what_is_too_large_is_refused_with_and_without_a_length(folder: Path) -> None:
    config = AnnotateConfig(folder=folder, max_upload=10_000)
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as client:
        assert client.post("/api/import", content=b"x" * 10_001).status_code == 413
        stream = iter([b"x" * 6000, b"x" * 6000])
        assert client.post(CHANGE, content=stream, headers={"content-type": "application/json"}).status_code == 413
        assert client.post(CHANGE, content=b"{}", headers={"content-length": "-5"}).status_code == 413


def test_a_decompression_bomb_is_not_opened(folder: Path) -> None:
    photo(folder / "bomb.png", size=(400, 400))
    config = AnnotateConfig(folder=folder, max_pixels=150 * 1000)
    with TestClient(build(config, load=ColourModel), base_url="http://localhost") as client:
        bomb = next(line["id"] for line in client.get("/api/images").json()["images"] if line["path"] == "bomb.png")
        for path in (f"/api/images/{bomb}", f"/api/images/{bomb}/photo", f"/api/images/{bomb}/thumbnail"):
            answer = client.get(path)
            assert answer.status_code == 422
            assert "at most 150,000 pixels" in answer.json()["message"]


def test_every_answer_carries_a_strict_policy(client: TestClient) -> None:
    for path in ("/", "/main.js", "/api/project", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy.replace("https:", "")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_the_page_names_no_other_site() -> None:
    for file in STATIC.iterdir():
        text = re.sub(r"http://www\.w3\.org/\S+", "", file.read_text())
        assert not re.search(r"https?://|//cdn|@import", text), file.name


def test_the_printed_address_carries_the_token_only_where_one_is_needed() -> None:
    assert page_address(AnnotateConfig(), 8788) == "http://127.0.0.1:8788/"
    assert page_address(AnnotateConfig(host="10.0.0.7", token="t"), 9) == "http://10.0.0.7:9/?token=t"
