"""Nothing is said to be saved that is not, and every failure is said where a person looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from tests.annotator.running import Running
from tests.e2e.conftest import Window, until

RED, BLUE = (36, 40), (110, 80)


def notice(window: Window) -> str:
    box = window.page.locator("#notice")
    return box.inner_text() if box.is_visible() else ""


def test_a_refused_action_is_not_said_to_be_saved(window: Window) -> None:
    window.click(*RED)
    window.press("l")
    window.press("n")
    window.page.route("**/actions", lambda route: route.fulfill(status=401, json={"message": "A token is needed."}))
    window.page.mouse.click(*window.at(*BLUE))
    until(lambda: window.page.locator("#saved").inner_text() == "Not saved")
    assert "A token is needed." in notice(window)
    assert window.state("pending") == []
    window.page.unroute("**/actions")
    window.click(*BLUE)
    assert len(window.objects()) == 2


def test_a_lost_connection_ends_what_the_hand_was_doing_and_keeps_the_stroke(
    chromium: Any, folder: Path, tmp_path: Path
) -> None:
    db = f"sqlite:///{tmp_path}/p.db"
    server = Running(folder, db)
    window = Window(chromium, server.url)
    page = window.page
    page.keyboard.press("b")
    page.mouse.move(*window.at(40, 100))
    page.mouse.down()
    page.mouse.move(*window.at(60, 100), steps=3)
    server.kill()
    until(lambda: "does not answer" in page.locator("#saved").inner_text())
    until(lambda: window.state("hand.doing") == "idle")
    page.mouse.up()
    again = Running(folder, db, server.port)
    window.settled()
    assert window.mask()[100][50]
    window.close()
    again.stop()


def test_a_photo_that_does_not_come_is_said_and_can_be_asked_for_again(window: Window) -> None:
    page = window.page
    page.route("**/images/2/photo*", lambda route: route.fulfill(status=500, body="no"))
    page.click("#image-2")
    until(lambda: page.locator("#no-photo").is_visible())
    assert "500" in page.locator("#no-photo").inner_text()
    until(lambda: "no photo" in page.locator("#model-text").inner_text())
    page.unroute("**/images/2/photo*")
    page.click("#no-photo button")
    window.shown(2)
    assert not page.locator("#no-photo").is_visible()


def test_a_photo_that_the_browser_cannot_show_is_no_black_stage(window: Window) -> None:
    page = window.page
    page.route(
        "**/images/2/photo*", lambda route: route.fulfill(body=b"\xff\xd8\xff cut off", content_type="image/jpeg")
    )
    page.click("#image-2")
    until(lambda: "b.png is damaged" in page.locator("#no-photo").inner_text())


def test_an_export_of_nothing_says_so(window: Window) -> None:
    page = window.page
    window.click(*RED)
    for name in ("coco", "yolo"):
        page.click("#menu-button")
        page.click("[role=menuitem]:has-text('Export')")
        page.click(f"[data-format={name}]")
        until(lambda: "at least one accepted image" in notice(window))
        page.keyboard.press("Escape")
    page.click("#menu-button")
    page.click("[role=menuitem]:has-text('Export')")
    page.uncheck("#only-accepted")
    with page.expect_download() as download:
        page.click("[data-format=coco]")
    assert download.value.suggested_filename == "photos-coco.json"
    until(lambda: "1 image exported." in notice(window))


def test_messages_stand_over_dialogs_and_in_plain_words(window: Window) -> None:
    page = window.page
    page.click("#menu-button")
    page.click("[role=menuitem]:has-text('Import')")
    page.click("dialog button:has-text('Import')")
    until(lambda: "Choose at least one file" in page.locator("dialog").inner_text())
    page.keyboard.press("Escape")
    page.click("#edit-classes")
    page.fill("input[placeholder='New class']", "object")
    page.click("dialog button:has-text('Add')")
    until(lambda: "not taken" in notice(window))
    x, y, width, height = (page.locator("#notice").bounding_box()[k] for k in ("x", "y", "width", "height"))
    on_top = page.evaluate(
        "([x, y]) => Boolean(document.elementFromPoint(x, y)?.closest('#notice'))", [x + width / 2, y + height / 2]
    )
    assert on_top, "it lies over the dialog and its backdrop"
    page.keyboard.press("Escape")
    page.route("**/api/settings", lambda route: route.abort())
    page.select_option("#overlap", "new")
    until(lambda: "The server does not answer" in notice(window))
    until(lambda: page.locator("#overlap").input_value() == "allow")


def test_training_is_offered_for_images_not_objects(window: Window) -> None:
    page = window.page
    page.keyboard.press("b")
    for x in (20, 40, 60, 80, 100, 120):
        window.click(x, 100)
        window.press("n")
    window.press("Enter")
    window.shown(2)
    page.click("#menu-button")
    page.click("[role=menuitem]:has-text('Adapt')")
    until(lambda: "6 accepted objects in 1 images" in page.locator("dialog").inner_text())
    assert page.locator("dialog button.primary").is_disabled()


def test_an_emptied_object_is_not_accepted(window: Window) -> None:
    page = window.page
    page.keyboard.press("b")
    page.evaluate("async () => (await import('./tools.js')).setBrush(9)")
    window.click(70, 20)
    page.mouse.click(*window.at(70, 20), button="right")
    window.settled()
    page.keyboard.press("Enter")
    until(lambda: "without a single pixel" in notice(window))
    assert window.state("image.id") == 1
    window.press("Delete")
    window.press("Enter")
    window.shown(2)


def test_switching_the_model_on_again_makes_it_ready(window: Window) -> None:
    page = window.page
    window.click(*RED)
    for item in ("Switch the model off", "Switch the model on"):
        page.click("#menu-button")
        page.click(f"[role=menuitem]:has-text('{item}')")
        until(lambda item=item: ("is off" if "off" in item else "ready") in page.locator("#model-text").inner_text())


def test_an_import_shows_its_progress_and_what_it_skipped(window: Window, tmp_path: Path) -> None:
    page = window.page
    PIL.Image.fromarray(np.pad(np.full((20, 20), 255, np.uint8), 10)).save(tmp_path / "nowhere.png")
    mask = np.zeros((120, 160), np.uint8)
    mask[20:50, 30:60] = 7
    PIL.Image.fromarray(mask).save(tmp_path / "a.png")
    for known in (0, 1):
        page.click("#menu-button")
        page.click("[role=menuitem]:has-text('Import')")
        page.set_input_files("dialog input[type=file]", [tmp_path / "a.png", tmp_path / "nowhere.png"])
        page.click("dialog button:has-text('Import')")
        until(lambda: "Skipped:" in page.locator("dialog").inner_text())
        assert "nowhere.png" in page.locator("dialog").inner_text()
        assert f"{1 - known} objects in {1 - known} images were imported" in notice(window)
        assert ("1 were there already" in notice(window)) == bool(known)
        page.keyboard.press("Escape")
    window.settled()
    assert len(window.objects()) == 1
    assert window.mask()[30][40]
