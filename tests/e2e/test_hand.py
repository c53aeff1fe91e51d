"""What the hand does on the photo: nothing is lost, nothing stays behind, and every key means one thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.annotator.running import Running
from tests.e2e.conftest import Window, until

RED, BLUE, GREY = (36, 40), (110, 80), (65, 20)


def area(window: Window, index: int = 0) -> int:
    return int(np.sum(window.mask(index)))


def test_a_second_box_elsewhere_is_a_second_object(window: Window) -> None:
    window.drag((10, 10), (30, 40))
    window.drag((90, 60), (140, 100))
    assert [area(window, index) for index in (0, 1)] == [600, 2000]
    assert window.state("active") == window.objects()[1]["id"]


def test_a_box_inside_the_edited_mask_is_the_object_again(window: Window) -> None:
    window.drag((10, 10), (90, 90))
    window.drag((30, 30), (100, 110))
    (one,) = window.objects()
    assert area(window) == 70 * 80
    assert [group[0]["type"] for group in one["prompts"]] == ["box"]
    window.press("Control+z")
    assert area(window) == 6400
    window.page.keyboard.down("Alt")
    window.drag((30, 30), (60, 60))
    window.page.keyboard.up("Alt")
    assert [area(window, index) for index in (0, 1)] == [6400, 900], "with Alt a drag inside begins another"


def test_a_click_on_another_mask_chooses_it_and_elsewhere_adds(window: Window) -> None:
    page = window.page
    window.click(*RED)
    window.press("n")
    window.click(*BLUE)
    first, second = (one["id"] for one in window.objects())
    window.click(*RED)
    assert window.state("active") == first
    assert len(window.objects()) == 2, "choosing makes no object"
    assert page.locator("#hint").inner_text().startswith("Editing object 1")
    window.click(*GREY)
    assert window.mask(0)[GREY[1]][GREY[0]]
    page.mouse.move(*window.at(*BLUE))
    assert page.locator("#stage").get_attribute("data-does") == "choose"
    page.keyboard.down("Alt")
    window.click(*BLUE)
    page.keyboard.up("Alt")
    assert window.state("active") == first
    assert window.mask(0)[BLUE[1]][BLUE[0]], "with Alt it is added"
    window.press("n")
    window.click(*BLUE)
    assert window.state("active") in (first, second)
    assert len(window.objects()) == 2


def test_painting_goes_on_after_delete_and_after_undo(window: Window) -> None:
    page = window.page
    window.click(*RED)
    page.keyboard.press("b")
    page.keyboard.press("Delete")
    window.drag((60, 100), (75, 100))
    (one,) = window.objects()
    assert one["origin"] == "brush"
    assert window.mask()[100][70]
    assert not window.mask()[RED[1]][RED[0]]

    page.keyboard.press("Control+z")
    window.drag((100, 20), (120, 20))
    assert [one["origin"] for one in window.objects()] == ["brush"]
    assert window.mask()[20][110]
    assert window.state("pending") == []


def test_strokes_follow_each_other_without_waiting(window: Window) -> None:
    page = window.page
    page.keyboard.press("b")
    for y in (20, 40, 60, 80):
        page.mouse.move(*window.at(20, y))
        page.mouse.down()
        page.mouse.move(*window.at(60, y), steps=3)
        page.mouse.up()
    window.settled()
    (one,) = window.objects()
    assert one["strokes"] == 4
    assert all(window.mask()[y][40] for y in (20, 40, 60, 80))


def test_a_refused_stroke_leaves_no_ghost(chromium: Any, window: Window, server: Running) -> None:
    window.click(*RED)
    other = Window(chromium, server.url)
    other.page.keyboard.press("b")
    other.page.mouse.move(*other.at(60, 100))
    other.page.mouse.down()
    other.page.mouse.move(*other.at(80, 100), steps=3)
    other.page.mouse.up()
    until(lambda: "Not saved" in other.page.locator("#saved").inner_text())
    until(lambda: other.painted(70, 100) == 0)
    assert (other.state("hand.doing"), other.state("pending")) == ("idle", [])
    other.page.reload()
    other.page.wait_for_selector("#stage[data-photo='1']")
    other.page.click("#notice button:has-text('Take over')")
    until(lambda: other.state("image.mine"))
    other.page.keyboard.press("b")
    other.drag((60, 100), (80, 100))
    assert other.painted(70, 100) > 80
    other.press("PageDown")
    other.shown(2)
    assert other.painted(70, 100) == 0, "nothing follows onto another image"
    other.close()


def test_being_taken_over_is_said(chromium: Any, window: Window, server: Running) -> None:
    other = Window(chromium, server.url)
    other.page.click("#notice button:has-text('Take over')")
    until(lambda: other.state("image.mine"))
    until(lambda: "is working on this image" in window.page.locator("#notice").inner_text())
    assert window.state("image.mine") is False
    other.close()


def test_the_crosshair_keeps_its_rules(window: Window) -> None:
    page = window.page
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    assert window.state("hand.doing") == "idle"
    window.press("Enter")
    window.shown(2)
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("n")
    assert window.state("hand.doing") == "idle"
    for _ in range(12):
        page.keyboard.press("+")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowRight")
    x, y = window.at(window.state("hand.at.x"), window.state("hand.at.y"))
    box = page.locator("#stage").bounding_box()
    assert box["x"] < x < box["x"] + box["width"], "the photo follows the crosshair"
    assert box["y"] < y < box["y"] + box["height"]


@pytest.mark.parametrize("control", ["#do-fit", "#filters button >> nth=1", "#labels button", "#image-1"])
def test_after_a_press_of_the_mouse_enter_means_the_photo_again(window: Window, control: str) -> None:
    window.click(*RED)
    window.page.click(control)
    window.settled()
    assert window.page.evaluate("document.activeElement.id") == "stage"
    window.press("Enter")
    window.shown(2)
    until(lambda: window.state("project.counts.accepted") == 1)


def test_the_classes_are_one_stop_of_the_tab_key(window: Window) -> None:
    page = window.page
    for name in ("fish", "cod", "eel"):
        page.click("#edit-classes")
        page.fill("input[placeholder='New class']", name)
        page.click("dialog button:has-text('Add')")
        until(lambda name=name: name in str(window.state("project.labels")))
        page.keyboard.press("Escape")
    until(lambda: page.locator("#labels button").count() == 4)
    assert page.locator("#labels button[tabindex='0']").count() == 1
    page.locator("#labels button[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    until(lambda: window.state("label") == 2)
    assert page.evaluate("document.activeElement.textContent").startswith("fish")


def touch(window: Window, kind: str, *fingers: tuple[int, float, float]) -> None:
    """Pointer events of fingers, as a touch screen sends them; (x, y) in image pixels."""
    for number, x, y in fingers:
        left, top = window.at(x, y)
        window.page.evaluate(
            """([kind, pointerId, clientX, clientY]) => document.getElementById('stage').dispatchEvent(new PointerEvent(
              kind, { pointerId, clientX, clientY, pointerType: 'touch', button: 0, buttons: 1, bubbles: true }))""",
            [kind, number, left, top],
        )


def test_one_finger_adds_or_takes_away_and_two_move_and_zoom(window: Window) -> None:
    window.page.evaluate("() => { Element.prototype.setPointerCapture = () => {} }")
    touch(window, "pointerdown", (1, *RED))
    touch(window, "pointerup", (1, *RED))
    until(lambda: len(window.objects()) == 1)
    window.settled()
    touch(window, "pointerdown", (1, *BLUE))
    touch(window, "pointerup", (1, *BLUE))
    window.settled()
    until(lambda: window.mask()[BLUE[1]][BLUE[0]])

    before = window.state("objects"), window.page.locator("#zoom-text").inner_text()
    touch(window, "pointerdown", (1, 60, 60), (2, 90, 60))
    touch(window, "pointermove", (1, 50, 60), (2, 110, 60))
    touch(window, "pointerup", (1, 50, 60), (2, 110, 60))
    window.settled()
    assert len(window.state("objects")) == len(before[0]), "two fingers make no object"
    until(lambda: window.page.locator("#zoom-text").inner_text() != before[1])
    window.press("f")
    touch(window, "pointerdown", (1, *BLUE))
    until(lambda: not window.mask()[BLUE[1]][BLUE[0]])
    touch(window, "pointerup", (1, *BLUE))
    window.settled()
    assert window.objects()[0]["clicks"] == 3, "the release of a long press does nothing"


def test_the_other_end_of_a_pen_erases(window: Window) -> None:
    window.click(*RED)
    window.page.evaluate("() => { Element.prototype.setPointerCapture = () => {} }")
    x, y = window.at(*RED)
    for kind in ("pointerdown", "pointermove", "pointerup"):
        window.page.evaluate(
            """([kind, clientX, clientY]) => document.getElementById('stage').dispatchEvent(new PointerEvent(
              kind, { pointerId: 9, clientX, clientY, pointerType: 'pen', button: 5, buttons: 32, bubbles: true }))""",
            [kind, x, y],
        )
    until(lambda: not window.mask()[RED[1]][RED[0]])
    window.settled()


def test_an_answer_without_a_pixel_changes_nothing_and_says_so(window: Window) -> None:
    window.click(*RED)
    before = window.mask()
    window.page.mouse.click(*window.at(*RED), button="right")
    until(lambda: "without a single pixel" in window.page.locator("#notice").inner_text())
    assert window.mask() == before
    assert window.objects()[0]["clicks"] == 1


def test_accept_is_few_stops_of_the_tab_key_away(window: Window) -> None:
    page = window.page
    for number in range(6):
        window.drag((5 + 25 * number, 10), (20 + 25 * number, 30))
    page.locator("#labels button[tabindex='0']").focus()
    stops = 0
    while page.evaluate("document.activeElement.id") != "accept":
        page.keyboard.press("Tab")
        stops += 1
        assert stops < 10
    page.locator("#object-list li[tabindex='0']").focus()
    first = page.evaluate("document.activeElement.dataset.id")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.id") not in (None, first)
