"""Label Studio's own page asks the backend, clicked by a robot; skips unless it is told of a running Label Studio.

LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY (legacy token), LABEL_STUDIO_USERNAME and LABEL_STUDIO_PASSWORD name one that
was started with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from segue.data.formats.brush import decode_brush
from segue.data.formats.label_studio import interface
from segue.data.formats.registry import format_named

PHOTO = Path(__file__).resolve().parents[2] / "src" / "segue" / "samples" / "cat.jpg"
PATIENCE = 120  # seconds
NEEDED = ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_USERNAME", "LABEL_STUDIO_PASSWORD")

pytestmark = [
    pytest.mark.skipif(
        not all(os.environ.get(name) for name in NEEDED), reason=f"no Label Studio: set {', '.join(NEEDED)}"
    ),
    pytest.mark.timeout(900),
]


@pytest.fixture
def studio():
    address, token = os.environ["LABEL_STUDIO_URL"], os.environ["LABEL_STUDIO_API_KEY"]
    with httpx.Client(base_url=address, headers={"Authorization": f"Token {token}"}, timeout=PATIENCE) as client:
        yield client


@contextmanager
def backend(collect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "segue",
        "serve",
        "label-studio",
        "--port",
        str(port),
        "--collect",
        str(collect),
        "--label-studio",
        os.environ["LABEL_STUDIO_URL"],
    ]
    server = subprocess.Popen(command)
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


class Page:
    """The labelling page of one task, with mouse and keys."""

    def __init__(self, page, project, task):
        self.page = page
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(f"{os.environ['LABEL_STUDIO_URL']}/user/login/")
        page.fill("input[name=email]", os.environ["LABEL_STUDIO_USERNAME"])
        page.fill("input[name=password]", os.environ["LABEL_STUDIO_PASSWORD"])
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "login" not in url)
        page.goto(f"{os.environ['LABEL_STUDIO_URL']}/projects/{project}/data?task={task}")
        page.wait_for_selector("canvas")
        page.get_by_text("Auto-Annotation").first.click()
        page.locator(".lsf-tool_smart").first.wait_for()

    def choose(self):
        """The label of the key points, then the first smart tool."""
        self.page.locator(".lsf-labels").nth(2).locator(".lsf-label").first.click()
        self.page.wait_for_timeout(1000)
        if "active" not in self.page.locator(".lsf-tool_smart").first.get_attribute("class"):
            self.page.keyboard.press("m")
            self.page.wait_for_timeout(1000)

    def click(self, right, down, key=None):
        """Click; what the page asked the backend, and the answer."""
        box = self.page.locator("canvas").first.bounding_box()
        self.page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])
        self.page.wait_for_timeout(500)
        with self.page.expect_response(lambda r: "interactive-annotating" in r.url) as got:
            if key:
                self.page.keyboard.down(key)
            self.page.mouse.down()
            self.page.mouse.up()
            if key:
                self.page.keyboard.up(key)
        self.page.get_by_text("1 suggestions").wait_for()
        return got.value.request.post_data_json["context"]["result"], got.value.json()["data"]["result"]

    def accept_and_submit(self):
        self.page.get_by_text("1 suggestions").locator("xpath=following::button[2]").click()
        self.page.wait_for_timeout(2000)
        with self.page.expect_response(lambda r: r.url.rpartition("/")[2].startswith("annotations")):
            self.page.get_by_role("button", name="Submit").first.click()


def test_a_click_in_the_page_becomes_a_mask_that_is_exported_exactly(studio, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with backend(tmp_path / "kept") as address, sync_api.sync_playwright() as playwright:
        config = {"title": "segue", "label_config": interface(["cat"])}
        project = studio.post("/api/projects", json=config).raise_for_status().json()["id"]
        studio.post(f"/api/projects/{project}/import", files={"f": ("cat.jpg", PHOTO.read_bytes())}).raise_for_status()
        connected = studio.post("/api/ml", json={"url": address, "project": project, "is_interactive": True}).json()
        assert connected["readable_state"] == "Connected"
        task = studio.get("/api/tasks", params={"project": project}).json()["tasks"][0]["id"]
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = Page(browser.new_page(viewport={"width": 1500, "height": 950}), project, task)
        page.choose()
        sent, (first,) = page.click(0.46, 0.57)
        assert [point["is_positive"] for point in sent] == [True]
        page.choose()
        sent, (second,) = page.click(0.85, 0.19, key="Alt")
        assert [point["is_positive"] for point in sent] == [True, False]
        page.accept_and_submit()
        browser.close()
        tasks = studio.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})
        until = time.monotonic() + PATIENCE
        while not list((tmp_path / "kept").glob("*.json")) and time.monotonic() < until:
            time.sleep(0.5)
    (tmp_path / "export.json").write_bytes(tasks.content)
    (sheet,) = format_named("label-studio").read(tmp_path)
    (entry,) = sheet.annotations
    said = decode_brush(second["value"]["rle"], sheet.size)
    assert (entry.rle.mask() == said).all()
    assert (decode_brush(first["value"]["rle"], sheet.size) != said).any()
    assert len(list(format_named("label-studio").read(tmp_path / "kept"))) == 1
