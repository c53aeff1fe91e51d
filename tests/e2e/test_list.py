"""The list that is seen is the list that is walked: filter, search, unreadable files, review, back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.annotator.fake_model import photo
from tests.annotator.person import propose
from tests.annotator.running import Running
from tests.e2e.conftest import Window, until

RED, BLUE = (36, 40), (110, 80)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos, a.png to f.png."""
    for number, name in enumerate("abcdef"):
        photo(tmp_path / "photos" / f"{name}.png", seed=10 * number)
    return tmp_path / "photos"


def states(window: Window) -> list[str]:
    return [
        line["state"] for line in window.page.request.get(window.page.url.split("#")[0] + "api/images").json()["images"]
    ]


def test_enter_follows_the_filter_and_opens_nothing_again(window: Window) -> None:
    page = window.page
    for image in (1, 2):
        window.press("Enter")
        window.shown(image + 1)
    page.click("#image-1")
    window.shown(1)
    page.click("#filters button:has-text('Open')")
    until(lambda: page.locator("#image-list .line").count() == 4)
    for image in (3, 4, 5, 6):
        window.press("Enter")
        window.shown(image)
    window.press("Enter")
    window.press("Enter")
    until(lambda: "last image" in page.locator("#notice").inner_text())
    assert states(window) == ["accepted", "accepted", "accepted", "accepted", "accepted", "accepted"]
    until(lambda: page.locator("#reopen").is_visible())
    page.click("#reopen")
    until(lambda: window.state("image.state") == "started")
    assert states(window)[-1] == "started"


def test_the_keys_walk_through_what_the_search_shows(window: Window) -> None:
    page = window.page
    page.fill("#search", "e.png")
    until(lambda: page.locator("#image-list .line").count() == 1)
    page.focus("#stage")
    window.press("PageDown")
    window.shown(5)
    window.press("PageDown")
    until(lambda: "last image of this list" in page.locator("#notice").inner_text())
    assert window.state("image.id") == 5


def test_files_that_cannot_be_read_are_passed_over_and_marked(window: Window, folder: Path) -> None:
    (folder / "b.png").write_bytes(b"")
    (folder / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    window.click(*RED)
    window.press("Enter")
    window.shown(4)
    assert "2 images could not be read" in window.page.locator("#notice").inner_text()
    assert window.page.locator("#image-2.unreadable, #image-3.unreadable").count() == 2
    assert states(window)[:4] == ["accepted", "new", "new", "new"]
    window.press("PageUp")
    window.shown(1)
    window.press("Enter")
    window.shown(4)
    assert states(window)[0] == "accepted"


def test_undo_after_accept_and_next_goes_back(window: Window) -> None:
    window.click(*RED)
    window.press("Enter")
    window.shown(2)
    window.page.keyboard.press("Control+z")
    window.shown(1)
    until(lambda: window.state("image.state") == "started")
    assert "open again" in window.page.locator("#notice").inner_text()
    assert len(window.objects()) == 1


def test_back_and_the_address_navigate(window: Window) -> None:
    page = window.page
    window.press("PageDown")
    window.shown(2)
    window.press("PageDown")
    window.shown(3)
    page.go_back()
    window.shown(2)
    page.go_forward()
    window.shown(3)
    page.evaluate("() => { location.hash = '#5' }")
    window.shown(5)


def test_the_counts_say_what_was_skipped(window: Window) -> None:
    page = window.page
    window.press("s")
    window.shown(2)
    window.press("Enter")
    window.shown(3)
    until(lambda: page.locator("#progress-text").inner_text() == "1 of 6 accepted, 1 skipped")
    page.click("#filters button:has-text('Skipped')")
    until(lambda: page.locator("#image-list .line").count() == 1)
    assert "a.png" in page.locator("#image-list").inner_text()


def test_new_files_and_classes_of_others_appear_without_a_restart(window: Window, folder: Path) -> None:
    page = window.page
    photo(folder / "g.png")
    page.request.post(page.url.split("#")[0] + "api/labels", data={"key": "other", "name": "whale"})
    until(lambda: "whale" in page.locator("#labels").inner_text())
    until(lambda: page.locator("#image-list .line").count() == 7, seconds=40)


def test_a_review_has_its_keys_its_count_and_its_undo(window: Window, tmp_path: Path) -> None:
    page = window.page
    propose(tmp_path / "project.db", 2, 2, 3)
    window.press("PageDown")
    window.shown(2)
    bar = page.locator("#queue")
    until(lambda: "1 of 3" in bar.inner_text())
    assert window.state("hand.doing") == "reviewing"
    assert "Enter accepts what was found" in page.locator("#hint").inner_text()
    window.press("Enter")
    assert [one["origin"] for one in window.objects()] == ["found"]
    assert window.state("image.state") == "started", "the image is not accepted"
    until(lambda: "2 of 3" in bar.inner_text())
    window.press("Control+z")
    until(lambda: "1 of 3" in bar.inner_text())
    assert window.objects() == []
    window.press("x")
    until(lambda: "2 of 3" in bar.inner_text())
    window.press("Escape")
    assert window.state("hand.doing") == "idle"
    window.press("Enter")
    window.shown(3)
    assert states(window)[1] == "accepted"
    until(lambda: window.state("hand.doing") == "reviewing")
    window.click(*RED)
    assert [one["origin"] for one in window.objects()] == ["prompt"], "a hand on the photo goes on by itself"
    assert bar.is_visible()


def test_a_replaced_file_is_noticed_and_the_person_is_asked(window: Window, folder: Path) -> None:
    page = window.page
    window.click(*RED)
    area = window.state("objects.0.shape.area")
    photo(folder / "a.png", size=(240, 320), seed=5)
    notice = page.locator("#notice")
    until(lambda: "was replaced since its masks were made" in notice.inner_text(), seconds=30)
    page.mouse.click(*window.at(*BLUE))
    until(lambda: "decision about the masks" in notice.inner_text())
    assert len(window.objects()) == 1
    page.reload()
    page.wait_for_selector("#stage[data-photo='1']")
    page.click("#notice button:has-text('Keep the masks')")
    until(lambda: window.state("image.width") == 320)
    window.settled()
    assert window.state("objects.0.shape.area") == pytest.approx(4 * area, rel=0.01)
    window.click(220, 160)
    assert len(window.objects()) == 2, "prompts are answered on the new file"


def test_work_in_the_background_and_what_waits_is_always_seen(window: Window, tmp_path: Path) -> None:
    page = window.page
    chip = page.locator("#background")
    assert not chip.is_visible()
    propose(tmp_path / "project.db", 3, 4)
    until(lambda: chip.is_visible() and chip.inner_text() == "2 found · review")
    chip.click()
    window.shown(3)
    until(lambda: window.state("hand.doing") == "reviewing")
    window.press("Enter")
    window.shown(4)
    window.press("x")
    until(lambda: not chip.is_visible())


def test_a_row_and_its_mask_light_each_other(window: Window) -> None:
    page = window.page
    window.click(*RED)
    window.press("n")
    window.click(*BLUE)
    window.press("n")
    first = window.objects()[0]["id"]
    before = window.painted(20, 40)
    page.hover(f"[data-id='{first}']")
    until(lambda: window.painted(20, 40) != before)
    page.mouse.move(*window.at(*BLUE))
    until(lambda: page.locator("#object-list .hovered").count() == 1)
    assert page.locator("#object-list .hovered").get_attribute("data-id") == window.objects()[1]["id"]


def test_a_narrow_screen_has_its_drawers_and_its_accept(chromium: Any, server: Running) -> None:
    window = Window(chromium, server.url)
    page = window.page
    page.set_viewport_size({"width": 390, "height": 780})
    window.click(*RED)
    assert len(window.objects()) == 1
    assert not page.locator("#object-list").is_visible()
    page.click("#objects-drawer")
    until(lambda: page.locator("#object-list .object").is_visible())
    page.click("#images-drawer")
    page.click("#image-3")
    window.shown(3)
    assert not page.locator("#image-list").is_visible()
    page.click("#narrow-accept")
    window.shown(4)
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 390, "nothing lies beyond the screen"
    window.close()


def test_many_classes_are_searched_and_their_colours_differ(window: Window) -> None:
    page = window.page
    for number in range(24):
        body = {"key": f"k{number}", "name": f"kind {number}"}
        page.request.post(page.url.split("#")[0] + "api/labels", data=body)
    until(lambda: page.locator("#labels button").count() == 25)
    colours = [label["colour"] for label in window.state("project.labels")]
    assert len(set(colours)) == 25
    page.focus("#stage")
    page.keyboard.press("/")
    page.keyboard.type("kind 17")
    until(lambda: page.locator("#labels button").count() == 1)
    page.keyboard.press("Enter")
    until(lambda: page.locator("#labels button").count() == 25)
    chosen = window.state("label")
    assert next(label["name"] for label in window.state("project.labels") if label["id"] == chosen) == "kind 17"
