"""``segue export --to web``: the page answers as the Python model does, in two browsers and without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

import segue
from segue.core.errors import CheckpointError, DownloadError
from segue.core.types import Mask, Prompt
from segue.data.io.image import read_image
from segue.jobs.export import ExportConfig, export
from segue.jobs.web_page import fetched_runtime
from tests.e2e.marionette import Firefox
from tests.e2e.static_page import FirefoxPage, StaticPage, dialogue, iou, serving

SAMPLES = sorted(Path(str(files("segue") / "samples")).glob("*.jpg"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's folder."""
    try:
        fetched_runtime()
    except DownloadError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("web") / "site"
    done = export(ExportConfig(output=folder, to="web"))
    assert done.bytes < 25e6
    return folder


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    command = shutil.which("firefox-esr") or shutil.which("firefox")
    if command is None:
        pytest.skip("needs Firefox (Debian package firefox-esr)")
    running = Firefox(command, tmp_path)
    yield running
    running.close()


def python_masks(path: Path, prompts: list[Prompt]) -> list[Mask]:
    """What the model answers after each prompt."""
    session = segue.Session(segue.load("nano"), path)
    return [session.add(prompt) for prompt in prompts]


def same(mask: Mask | None, wanted: Mask) -> bool:
    return not wanted.any() if mask is None else iou(mask, wanted) >= 0.995


def test_chromium_answers_as_python_does(chromium: Any, site: Path) -> None:
    with serving(site) as url:
        window = chromium.new_page()
        asked: list[str] = []
        window.on("request", lambda request: asked.append(request.url))
        window.goto(url)
        window.wait_for_selector("body[data-state=ready]", timeout=60_000)
        page = StaticPage(lambda body: window.evaluate(f"async () => {{{body}}}"))
        for seed, path in enumerate(SAMPLES):
            prompts = dialogue(read_image(path).shape[:2], seed)
            page.open(f"/samples/{path.name}")
            for prompt, wanted in zip(prompts, python_masks(path, prompts), strict=True):
                page.add(prompt)
                assert same(page.mask(), wanted), (path.name, prompt)
        assert all(address.startswith((url, "blob:")) for address in asked), "no request to anyone else"
        window.close()


def test_firefox_answers_as_python_does(firefox: Firefox, site: Path) -> None:
    with serving(site) as url:
        page = FirefoxPage(firefox, url, firefox.downloads)
        for seed, path in enumerate(SAMPLES[:2]):
            prompts = dialogue(read_image(path).shape[:2], seed)
            page.open(path)
            for prompt, wanted in zip(prompts, python_masks(path, prompts), strict=True):
                page.add(prompt)
                assert same(page.mask(), wanted), (path.name, prompt)


def test_a_person_clicks_boxes_undoes_zooms_and_saves(chromium: Any, site: Path) -> None:
    cat = next(path for path in SAMPLES if path.stem == "cat")
    with serving(site) as url:
        window = chromium.new_page(viewport={"width": 1200, "height": 800})
        errors: list[str] = []
        window.on("pageerror", lambda error: errors.append(str(error)))
        window.goto(url)
        window.set_input_files("#file", cat)
        window.wait_for_selector("body[data-state=open]", timeout=60_000)
        page = StaticPage(lambda body: window.evaluate(f"async () => {{{body}}}"))

        def at(x: float, y: float) -> tuple[float, float]:
            view = "(await import('/stage.js')).view"
            left, top, scale = window.evaluate(f"async () => {{ const v = {view}; return [v.x, v.y, v.scale]; }}")
            above = window.locator("#stage").bounding_box()["y"]
            return left + (x + 0.5) * scale, above + top + (y + 0.5) * scale

        def press(x: float, y: float, button: str = "left") -> None:
            window.evaluate("() => { document.body.dataset.painted = ''; }")
            window.mouse.click(*at(x, y), button=button)
            window.wait_for_function("() => document.body.dataset.painted")

        click, other = segue.Click(220, 150), segue.Click(380, 60, positive=False)
        press(click.x, click.y)
        first = page.mask()
        session = segue.Session(segue.load("nano"), cat)
        assert iou(first, session.add(click)) >= 0.995
        window.mouse.move(*at(300, 100))
        window.mouse.wheel(0, -100)  # zoomed in, the same places
        press(other.x, other.y, "right")
        assert iou(page.mask(), session.add(other)) >= 0.995
        window.keyboard.press("z")
        window.wait_for_function("() => !document.getElementById('do-redo').disabled")
        assert np.array_equal(page.mask(), first)

        window.keyboard.press("f")
        window.keyboard.press("n")
        box = segue.Box(150, 60, 300, 200)
        window.evaluate("() => { document.body.dataset.painted = ''; }")
        window.mouse.move(*at(box.x0 - 0.5, box.y0 - 0.5))
        window.mouse.down()
        window.mouse.move(*at(box.x1 - 0.5, box.y1 - 0.5), steps=5)
        window.mouse.up()
        window.wait_for_function("() => document.body.dataset.painted")
        assert iou(page.mask(), segue.Session(segue.load("nano"), cat).add(box)) >= 0.99  # to the nearest pixel

        document = json.loads(page.saved("save-coco"))
        one, two = document["annotations"]
        packed = coco_masks.frPyObjects(one["segmentation"], *one["segmentation"]["size"])
        assert np.array_equal(coco_masks.decode(packed).astype(bool), first)
        assert one["area"] == first.sum()
        assert one["bbox"] == coco_masks.toBbox(packed).tolist()
        assert two["id"] == 2
        assert document["images"] == [{"id": 1, "file_name": "cat.jpg", "width": 451, "height": 300}]
        assert page.saved("save-cutout").startswith(b"\x89PNG")
        window.close()
        assert errors == []


def test_it_works_without_a_network_once_loaded(chromium: Any, site: Path) -> None:
    context = chromium.new_context()
    window = context.new_page()
    with serving(site) as url:
        window.goto(url)
        window.wait_for_selector("body[data-state=ready]", timeout=60_000)
        window.evaluate("async () => { await navigator.serviceWorker.ready; }")
    window.goto(url)  # the server is gone
    window.click("#samples button >> nth=0")
    window.wait_for_selector("body[data-state=open]", timeout=60_000)
    context.close()


def test_a_file_that_is_no_picture_is_refused_in_words(chromium: Any, site: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture")
    with serving(site) as url:
        window = chromium.new_page()
        window.goto(url)
        window.set_input_files("#file", tmp_path / "notes.jpg")
        window.wait_for_function("() => document.getElementById('status').textContent.includes('not a picture')")
        window.close()


def test_another_package_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "package.tgz").write_bytes(b"another")
    with pytest.raises(CheckpointError, match="another content"):
        export(ExportConfig(output=tmp_path / "site", to="web", runtime=tmp_path / "package.tgz"))
    assert list((tmp_path / "site").iterdir()) == []
