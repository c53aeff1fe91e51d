"""Verdicts and comments: one bar, two keys, for found masks and for accepted images."""

from __future__ import annotations

from tests.e2e.conftest import Window, until


def accept_two(window: Window) -> None:
    for image in (1, 2):
        window.drag((20, 20), (60, 60))
        window.press("Enter")
        window.shown(image + 1)


def test_accepted_images_are_approved_or_sent_back_with_a_pinned_comment(window: Window) -> None:
    page = window.page
    page.evaluate("localStorage.setItem('segue.name', 'ann')")
    accept_two(window)
    page.keyboard.press("Shift+R")
    window.shown(1)
    until(lambda: "1 of 2" in page.locator("#queue").inner_text())
    assert window.state("hand.doing") == "reviewing"
    window.press("Enter")
    window.shown(2)
    until(lambda: "2 of 2" in page.locator("#queue").inner_text())
    page.mouse.move(*window.at(40, 50))
    page.keyboard.press("x")
    page.keyboard.type("the edge is off")
    page.keyboard.press("Enter")
    until(lambda: "verdict, 2 in this review" in page.locator("#notice").inner_text())
    assert (window.state("image.state"), window.state("image.review")) == ("started", "returned")
    (said,) = window.state("image.comments")
    assert (said["text"], said["who"], said["object"]) == ("the edge is off", "ann", window.objects()[0]["id"])
    assert abs(said["x"] - 40) <= 1
    assert page.locator("#queue").is_hidden()
    until(lambda: "the edge is off" in page.locator("#comments").inner_text())
    until(lambda: "sent back" in page.locator("#image-2").inner_text())
    page.check("#comments input")
    window.settled()
    assert window.state("image.comments.0.done")
    page.focus("#stage")
    window.press("Enter")
    page.click("#filter-button")
    page.select_option("#filter-state", "approved")
    until(lambda: page.locator("#image-space .line").count() == 1)
    assert page.locator("#image-space .line").get_attribute("id") == "image-1"


def test_a_comment_on_a_place_and_escape_puts_the_review_off(window: Window) -> None:
    page = window.page
    window.drag((20, 20), (60, 60))
    page.mouse.move(*window.at(100, 80))
    page.keyboard.press("d")
    assert "this place" in page.locator("#queue").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#queue").is_hidden()
    page.keyboard.press("d")
    page.keyboard.type("is this one too?")
    page.keyboard.press("Enter")
    until(lambda: page.locator("#comments li").count() == 1)
    window.settled()
    window.press("Control+z")
    until(lambda: page.locator("#comments").is_hidden())
    window.press("Enter")
    window.shown(2)
    page.keyboard.press("Shift+R")
    window.shown(1)
    page.keyboard.press("Escape")
    assert window.state("hand.doing") == "idle"
    page.click("#queue button:has-text('Stop')")
    until(lambda: page.locator("#queue").is_hidden())


def test_the_statistics_show_what_was_done(window: Window) -> None:
    page = window.page
    window.drag((20, 20), (60, 60))
    page.click("#menu-button")
    page.click(".menu button:has-text('Statistics')")
    until(lambda: page.locator("dialog td").count() > 4)
    assert "1,600" in page.locator("dialog section").first.inner_text()
    with page.expect_download() as saved:
        page.click("#statistics-csv")
    assert "class,object,,1,1600,1," in saved.value.path().read_text()
