"""What a person does in the page, in a real browser, from the first click to the exported file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle

from segue.annotator.config import AnnotateConfig
from segue.core.types import Click, Text
from segue.data.io.image import read_image
from segue.session.session import Session
from tests.annotator.running import Running
from tests.annotator.speaking import speaking_folder
from tests.e2e.conftest import HEIGHT, WIDTH, Window, until

RED, BLUE = (36, 40), (110, 80)
ENTRIES = """(name) => performance.getEntriesByName(name)
  .map((m) => ({ start: m.startTime, total: m.duration, ...m.detail }))"""
PAYLOAD = """() => Math.max(...performance.getEntriesByType('resource').filter((r) => r.name.endsWith('/actions'))
  .map((r) => r.encodedBodySize))"""


def test_from_the_first_click_to_the_exported_file(window: Window, tmp_path: Path) -> None:
    page = window.page
    window.click(*RED)
    assert window.mask()[RED[1]][RED[0]]
    assert window.painted(*RED) > 80
    assert window.painted(*BLUE) == 0

    window.click(*BLUE)
    both = window.mask()
    assert both[RED[1]][RED[0]]
    assert both[BLUE[1]][BLUE[0]]
    window.click(*BLUE, button="right")
    assert not window.mask()[BLUE[1]][BLUE[0]]
    assert window.painted(*BLUE) == 0

    window.press("Control+z")
    assert window.mask() == both
    window.press("Control+Shift+z")
    assert not window.mask()[BLUE[1]][BLUE[0]]

    page.click("#edit-classes")
    page.fill("input[placeholder='New class']", "fish")
    page.click("dialog button:has-text('Add')")
    until(lambda: len(window.state("project.labels")) == 2)
    page.keyboard.press("Escape")
    page.click("#labels button:has-text('fish')")
    window.settled()
    assert window.objects()[0]["label"] == 2

    page.click("#do-tool-brush")
    window.drag((60, 100), (75, 100))
    painted = window.mask()
    assert painted[100][60]
    assert painted[100][75]

    page.click("#accept")
    window.shown(2)
    until(lambda: "1 of 3 accepted" in page.locator("#progress-text").inner_text())
    page.reload()
    window.shown(2)
    page.click("#image-1")
    window.shown(1)
    assert window.mask() == painted
    assert window.objects()[0]["label"] == 2
    window.press("Control+z")
    assert window.state("image.state") == "started"
    window.press("Control+z")
    assert window.mask() != painted, "undo goes on across the reload"
    window.press("Control+Shift+z")
    window.press("Control+Shift+z")

    page.click("#menu-button")
    page.click("[role=menuitem]:has-text('Export')")
    with page.expect_download() as download:
        page.click("[data-format=coco]")
    download.value.save_as(tmp_path / "coco.json")
    content = json.loads((tmp_path / "coco.json").read_text())
    (row,) = content["annotations"]
    assert (rle.decode(row["segmentation"]).astype(bool) == np.array(painted)).all()
    assert content["categories"][row["category_id"] - 1]["name"] == "fish"


def test_a_drag_makes_a_box_and_n_begins_another_object(window: Window) -> None:
    window.drag((10, 10), (30, 40))
    boxed = np.array(window.mask())
    assert boxed[10:40, 10:30].all()
    assert boxed.sum() == 20 * 30
    window.press("n")
    window.click(*BLUE)
    assert len(window.objects()) == 2
    assert window.objects()[0]["prompts"][0][0] == {"type": "box", "x0": 10, "y0": 10, "x1": 30, "y1": 40}


def test_the_model_begins_while_the_button_is_down(window: Window) -> None:
    page = window.page

    def guesses() -> int:
        return window.state("tool") == "click" and sum(url.endswith("/guesses") for url in window.asked)

    page.mouse.move(*window.at(*RED))
    page.mouse.down()
    until(lambda: guesses() == 1)
    assert window.objects() == []
    page.mouse.up()
    until(lambda: len(window.objects()) == 1)
    window.settled()
    assert window.mask()[RED[1]][RED[0]]
    page.mouse.down(button="right")
    until(lambda: guesses() == 2)  # what takes away is guessed as well
    window.press("Escape")
    page.mouse.up(button="right")
    page.mouse.move(*window.at(80, 60))
    page.mouse.down()
    until(lambda: guesses() == 3)
    page.mouse.move(*window.at(144, 105), steps=4)
    page.mouse.up()
    until(lambda: len(window.objects()) == 2)
    assert [one["prompts"][0][0]["type"] for one in window.objects()] == ["click", "box"], "a drag is no click"


def test_the_brush_paints_exactly_what_its_cursor_shows(window: Window) -> None:
    page = window.page
    page.click("#do-tool-brush")
    page.evaluate("async () => (await import('./tools.js')).setBrush(7)")
    shown = page.evaluate(
        """async ([x, y, width, height]) => {
          const { footprint } = await import('./brush.js');
          const path = footprint({ x, y }, 7);
          const context = document.createElement('canvas').getContext('2d');
          return Array.from({ length: height }, (_, row) =>
            Array.from({ length: width }, (_, column) => context.isPointInPath(path, column + 0.5, row + 0.5)));
        }""",
        [*pointer(window, 70, 20), WIDTH, HEIGHT],
    )
    window.click(70, 20)
    assert window.mask() == shown
    assert 120 < np.sum(shown) < 180
    page.mouse.click(*window.at(70, 20), button="right")
    window.settled()
    assert not np.any(window.mask()), "the right button erases the same pixels"


def pointer(window: Window, x: float, y: float) -> tuple[float, float]:
    """The image point that a click at (x, y) arrives at; the browser rounds positions on the screen."""
    window.page.evaluate("() => addEventListener('pointermove', (e) => (window.last = [e.clientX, e.clientY]), true)")
    window.page.mouse.move(*window.at(x, y))
    left, top = window.page.evaluate("() => window.last")
    box = window.page.locator("#stage").bounding_box()
    point = window.page.evaluate(
        "async (p) => (await import('./stage.js')).view.toImage(p)", {"x": left - box["x"], "y": top - box["y"]}
    )
    return point["x"], point["y"]


def test_clicks_made_while_encoding_are_queued_and_answered(chromium: Any, folder: Path, tmp_path: Path) -> None:
    server = Running(folder, f"sqlite:///{tmp_path}/slow.db", pause=3.0)
    window = Window(chromium, server.url)
    where = window.page.locator("#model-text")
    until(lambda: "encoding" in where.inner_text())
    window.page.mouse.click(*window.at(*RED))
    window.page.mouse.click(*window.at(*BLUE))
    assert len(window.state("pending")) == 2
    until(lambda: window.page.locator("#saved").inner_text() == "Saving …")
    until(lambda: len(window.objects()) == 1 and not window.state("pending"))
    window.settled()
    assert window.mask()[RED[1]][RED[0]]
    assert window.mask()[BLUE[1]][BLUE[0]]
    until(lambda: "ready" in where.inner_text())
    window.close()
    server.stop()


def test_when_the_server_goes_away_the_page_says_so_and_loses_nothing(
    chromium: Any, folder: Path, tmp_path: Path
) -> None:
    db = f"sqlite:///{tmp_path}/p.db"
    server = Running(folder, db)
    window = Window(chromium, server.url)
    window.click(*RED)
    server.kill()
    window.page.mouse.click(*window.at(*BLUE))
    until(lambda: "Not saved" in window.page.locator("#saved").inner_text())
    again = Running(folder, db, server.port)
    window.settled()
    (item,) = window.objects()
    assert item["clicks"] == 2
    assert window.mask()[BLUE[1]][BLUE[0]]
    window.close()
    again.stop()


def test_a_second_window_sees_who_works_and_can_take_over(chromium: Any, window: Window, server: Running) -> None:
    window.click(*RED)
    other = Window(chromium, server.url)
    notice = other.page.locator("#notice")
    until(lambda: "is working on this image" in notice.inner_text())
    other.page.mouse.click(*other.at(*BLUE))
    until(lambda: "expected an image that nobody else holds" in notice.inner_text())
    assert len(other.objects()) == 1
    other.page.reload()
    other.shown(1)
    other.page.click("#notice button:has-text('Take over')")
    until(lambda: other.state("image.mine"))
    other.click(*BLUE)
    assert len(other.objects()) == 2
    window.page.mouse.click(*window.at(*BLUE))
    until(lambda: "nobody else holds" in window.page.locator("#notice").inner_text())
    until(lambda: len(window.objects()) == 2)
    other.close()


def test_all_of_it_works_without_a_mouse(window: Window) -> None:
    page = window.page
    page.focus("#stage")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert (window.state("hand.at.x"), window.state("hand.at.y")) == (30.5, pytest.approx(61, abs=4))
    for _ in range(2):
        page.keyboard.press("Shift+ArrowUp")
    window.press("Enter")
    assert len(window.objects()) == 1
    for _ in range(6):
        page.keyboard.press("Shift+ArrowRight")
    window.press("x")
    assert window.objects()[0]["clicks"] == 2
    page.keyboard.press("?")
    assert page.locator("dialog h2").first.inner_text() == "Keys and mouse"
    page.keyboard.press("Escape")
    names = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select, [role]')].filter(e => e.offsetParent)"
        ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.title || e.labels?.length))"
        ".map(e => e.outerHTML)"
    )
    assert names == [], "every control has a name"


def test_keys_can_be_changed_and_stay_changed(window: Window) -> None:
    page = window.page
    page.keyboard.press("?")
    row = page.locator("tr", has=page.get_by_text("Brush", exact=True)).first
    row.locator("button").click()
    page.keyboard.press("q")
    page.keyboard.press("Escape")
    page.reload()
    window.shown(1)
    page.keyboard.press("b")
    assert window.state("tool") == "click"
    page.keyboard.press("q")
    assert window.state("tool") == "brush"


def test_lock_hide_remove_reorder_and_overlap(window: Window) -> None:
    page = window.page
    window.drag((20, 20), (60, 60))
    window.press("n")
    window.drag((40, 40), (90, 90))
    page.select_option("#overlap", "new")
    upper = window.objects()[1]["id"]
    page.focus(f"[data-id='{upper}']")
    page.keyboard.press("Alt+ArrowDown")
    until(lambda: window.objects()[0]["id"] == upper)
    window.press("l")
    window.press("Delete")
    assert len(window.objects()) == 2, "a locked object stays"
    window.press("l")
    window.press("v")
    assert window.painted(80, 80) == 0
    window.press("Delete")
    assert [item["id"] != upper for item in window.objects()] == [True]
    window.press("Control+z")
    assert len(window.objects()) == 2


@pytest.mark.parametrize("policy", ["new", "old", "allow"])
def test_the_overlap_policy_is_what_one_sees_whichever_object_is_active(window: Window, policy: str) -> None:
    """Three boxes in a row, each over a corner of the last: the pixel of every overlap shows one of them alone."""
    page = window.page
    for corner in (20, 40, 60):
        window.drag((corner, corner), (corner + 30, corner + 30))
        window.press("n")
    page.select_option("#overlap", policy)
    until(lambda: window.state("project.overlap") == policy)
    ids = [item["id"] for item in window.objects()]
    seen = page.evaluate(
        """async ([ids]) => {
          const { view } = await import('./stage.js');
          const { select } = await import('./actions.js');
          const { colourOf, objectOf } = await import('./state.js');
          const context = document.getElementById('overlay').getContext('2d');
          const colours = ids.map((id) => [1, 3, 5].map((i) => parseInt(colourOf(objectOf(id)).slice(i, i + 2), 16)));
          const seen = [];
          for (const active of [...ids, null]) {
            select(active);
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            for (const at of [45, 65]) {
              const { x, y } = view.toScreen({ x: at, y: at });
              const [left, top] = [Math.round(x * view.ratio), Math.round(y * view.ratio)];
              const [r, g, b, a] = context.getImageData(left, top, 1, 1).data;
              const far = colours.map((c) => Math.hypot(c[0] - r, c[1] - g, c[2] - b));
              seen.push({ a, nearest: far.indexOf(Math.min(...far)), active: ids.indexOf(active) });
            }
          }
          return seen;
        }""",
        [ids],
    )
    one, two = 0.28 * 255, (1 - (1 - 0.28) ** 2) * 255  # opacity of one mask, and of two
    for number, pixel in enumerate(seen):
        under = number % 2  # the overlap of objects 0 and 1, or of 1 and 2
        if policy == "allow":
            assert pixel["a"] > two - 3
            continue
        visible = under + (policy == "new")
        assert pixel["nearest"] == visible
        assert pixel["a"] == pytest.approx(0.4 * 255 if pixel["active"] == visible else one, abs=3)


def test_the_polygon_view_follows_its_slider(window: Window) -> None:
    window.click(*RED)
    window.page.keyboard.press("p")
    text = window.page.locator("#polygon-text")
    until(lambda: "points" in text.inner_text())
    window.page.locator("#detail").fill("100")
    until(lambda: "IoU 1.0000" in text.inner_text())
    exact = int(text.inner_text().split()[0])
    window.page.locator("#detail").fill("5")
    until(lambda: int(text.inner_text().split()[0]) < exact or exact == 4)


def test_zoom_is_smooth_to_the_pixel_and_sharp_on_dense_screens(chromium: Any, server: Running) -> None:
    window = Window(chromium, server.url, device_scale_factor=2, color_scheme="light")
    page = window.page
    css = page.locator("#overlay").bounding_box()
    assert page.evaluate("document.getElementById('overlay').width") == round(2 * css["width"])
    point = pointer(window, *RED)
    x, y = window.at(*point)
    for _ in range(14):
        page.mouse.wheel(0, -300)
    until(lambda: window.page.locator("#zoom-text").inner_text() == "6400 %")
    assert window.at(*point) == pytest.approx((x, y), abs=2), "the pixel stays under the pointer"
    page.keyboard.press("f")
    until(lambda: window.page.locator("#zoom-text").inner_text() != "6400 %")
    assert window.errors == []
    window.close()


@pytest.mark.parametrize("seed", range(3))
def test_page_and_server_mean_the_same_mask(window: Window, seed: int) -> None:
    dice = np.random.default_rng(seed)
    mask = dice.random((HEIGHT, WIDTH)) < (0.5, 0.03, 0.97)[seed]
    from tests.annotator.person import runs

    packed = runs(mask)
    drawn = window.page.evaluate(
        """async ([packed, width, height]) => {
          const { shapeOf } = await import('./masks.js');
          const shape = await shapeOf({ id: -1, area: 0, ...packed });
          const context = document.createElement('canvas').getContext('2d');
          return Array.from({ length: height }, (_, y) =>
            Array.from({ length: width }, (_, x) => context.isPointInPath(shape.path, x + 0.5, y + 0.5, 'evenodd')));
        }""",
        [packed, WIDTH, HEIGHT],
    )
    assert (np.array(drawn) == mask).all()


def test_only_the_rows_in_sight_are_in_the_page_however_many_images_there_are(chromium: Any, folder: Path) -> None:
    for number in range(400):
        os.link(folder / "a.png", folder / f"more{number}.png")
    server = Running(folder, f"sqlite:///{folder}/many.db")
    window = Window(chromium, server.url)
    rows = window.page.locator("#image-list .line")
    for top in range(0, 403 * 60, 4000):
        window.page.evaluate("(top) => { document.getElementById('image-list').scrollTop = top }", top)
        until(lambda: rows.count() > 5)
        assert rows.count() < 40
    until(lambda: window.page.locator("#image-list .line[title='more399.png']").count() == 1)
    window.close()
    server.stop()


def test_an_answer_is_small_and_its_latency_is_on_record(window: Window) -> None:
    window.click(*RED)
    (painted,) = until(lambda: window.page.evaluate(ENTRIES, "segue:click-to-painted"))
    (saved,) = until(lambda: window.page.evaluate(ENTRIES, "segue:click-to-saved"))
    assert painted["start"] < painted["sent"] < painted["answered"] < painted["drawn"] < painted["end"]
    assert painted["total"] < 60_000
    assert saved["model"] > 0
    assert 0 < window.page.evaluate(PAYLOAD) < 30_000


def test_a_mask_is_seen_before_it_is_saved_and_survives_a_kill(chromium: Any, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.db"
    server = Running(folder, f"sqlite:///{file}")
    window = Window(chromium, server.url)
    window.click(*RED)
    disk = sqlite3.connect(file, isolation_level=None)
    disk.execute("BEGIN IMMEDIATE")  # a slow disk: nothing can be saved now
    window.page.mouse.click(*window.at(*BLUE))
    until(lambda: window.painted(*BLUE) > 80)
    assert window.mask()[BLUE[1]][BLUE[0]]
    assert window.page.locator("#saved").inner_text() == "Saving …"
    assert not window.state("pending")
    server.kill()
    disk.close()
    again = Running(folder, f"sqlite:///{file}", server.port)
    window.settled()
    (item,) = window.objects()
    assert (item["clicks"], len(item["prompts"])) == (2, 2)
    assert window.mask()[BLUE[1]][BLUE[0]]
    before = window.mask()
    window.page.reload()
    window.shown(1)
    assert window.mask() == before
    window.close()
    again.stop()


def test_a_mask_that_is_refused_after_it_was_shown_is_taken_back(window: Window, tmp_path: Path) -> None:
    window.click(*RED)
    before = window.mask()
    with sqlite3.connect(tmp_path / "project.db") as disk:
        disk.execute("CREATE TRIGGER refuse BEFORE INSERT ON mask BEGIN SELECT RAISE(ABORT, 'no'); END")
    window.page.mouse.click(*window.at(*BLUE))
    until(lambda: "another server saved" in window.page.locator("#notice").inner_text())
    until(lambda: window.mask() == before)
    assert window.painted(*BLUE) == 0
    with sqlite3.connect(tmp_path / "project.db") as disk:
        disk.execute("DROP TRIGGER refuse")
    window.click(*BLUE)
    assert window.objects()[0]["clicks"] == 2


def test_words_are_corrected_by_clicks(chromium: Any, folder: Path, tmp_path: Path) -> None:
    words = speaking_folder(tmp_path / "clipseg")
    model, image = AnnotateConfig(model=str(words), device="cpu").load(), read_image(folder / "a.png")
    with command(folder, str(words)) as address:
        window = Window(chromium, address.rstrip("/"))
        page = window.page
        page.wait_for_selector("#words", state="visible")
        page.keyboard.press("t")
        page.keyboard.type("the blue thing")
        page.keyboard.press("Enter")
        until(window.objects)
        window.settled()
        session = Session(model, image)
        said = session.add(Text("the blue thing"))
        assert iou(window.mask(), said) > 0.99
        assert "the blue thing" in page.locator("#hint").inner_text()

        window.click(*BLUE)
        x, y = (window.objects()[0]["prompts"][1][0][k] for k in "xy")
        corrected = session.add(Click(x, y))
        assert iou(window.mask(), corrected) > 0.99
        assert iou(said, corrected) < 0.9, "the click changed the mask"
        assert window.mask()[BLUE[1]][BLUE[0]]

        window.press("Control+z")
        assert iou(window.mask(), said) > 0.99
        window.press("Control+Shift+z")
        page.reload()
        window.shown(1)
        assert iou(window.mask(), corrected) > 0.99
        assert window.objects()[0]["clicks"] == 2, "words and a click"
        assert window.errors == []
        window.close()


@contextlib.contextmanager
def command(folder: Path, model: str) -> Iterator[str]:
    """``segue annotate`` as a person starts it; the address that it prints."""
    words = [sys.executable, "-m", "segue", "annotate", str(folder), "--port", "0", "--no-browser", "--model", model]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield [process.stdout.readline() for _ in range(3)][1].strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def iou(a: Any, b: Any) -> float:
    """Overlap of two masks."""
    return float(np.logical_and(a, b).sum() / np.logical_or(a, b).sum())
