"""Shaping masks in the page: vertices, the lasso, rules with a preview, parts, merging and subtracting."""

from __future__ import annotations

import numpy as np

from tests.e2e.conftest import Window, until


def boxed(window: Window, *corners: tuple[int, int]) -> np.ndarray:
    window.drag(*corners)
    return np.array(window.mask(len(window.objects()) - 1))


def handles(window: Window) -> list[list[float]]:
    return window.state("polygon.rings")


def pull(window: Window, start: tuple[float, float], end: tuple[float, float], **options: str) -> None:
    mouse = window.page.mouse
    mouse.move(*window.at(*start))
    mouse.down(**options)
    mouse.move(*window.at(*end), steps=5)
    mouse.up(**options)
    window.settled()


def open_polygon(window: Window) -> None:
    window.press("p")
    until(lambda: window.state("polygon"))


def test_a_vertex_is_moved_inserted_and_removed(window: Window) -> None:
    boxed(window, (20, 20), (60, 60))
    open_polygon(window)
    assert sorted(zip(*[iter(handles(window)[0])] * 2, strict=True)) == [(20, 20), (20, 60), (60, 20), (60, 60)]
    window.page.mouse.move(*window.at(75, 75))
    window.page.mouse.move(*window.at(60, 60))
    assert window.page.locator("#stage").get_attribute("data-does") == "reshape"
    pull(window, (60, 60), (90, 60))
    mask = np.array(window.mask())
    assert mask[58, 85]
    assert int(mask.sum()) == 1600 + 600, "a triangle of 30 by 40 more"
    assert len(window.objects()[0]["prompts"]) == 0

    until(lambda: len(handles(window)[0]) >= 8 and 90 in handles(window)[0])
    pull(window, (40, 20), (40, 10))
    assert np.array(window.mask())[13, 40], "an edge that is dragged gets a vertex"
    window.press("Control+z")
    assert (np.array(window.mask()) == mask).all()
    until(lambda: 90 in handles(window)[0])
    window.page.mouse.click(*window.at(90, 60), button="right")
    until(lambda: not np.array(window.mask())[55, 80])
    window.settled()
    window.press("Control+z")
    window.press("Control+z")
    assert int(np.sum(window.mask())) == 1600


def test_a_whole_ring_is_moved_and_removed(window: Window) -> None:
    boxed(window, (20, 20), (60, 60))
    window.page.keyboard.press("a")
    pull(window, (100, 80), (101, 80))
    for start, corners in (((100, 80), [(120, 80), (120, 100), (100, 100)]),):
        window.page.mouse.move(*window.at(*start))
        window.page.mouse.down()
        for corner in corners:
            window.page.mouse.move(*window.at(*corner), steps=3)
        window.page.mouse.up()
        window.settled()
    assert int(np.sum(window.mask())) == 1600 + 400, "the lasso adds what it surrounds"
    open_polygon(window)
    until(lambda: len(handles(window)) == 2)
    window.page.keyboard.down("Alt")
    pull(window, (120, 100), (130, 105))
    assert np.array(window.mask())[104, 129]
    until(lambda: 130 in handles(window)[1])
    window.page.mouse.click(*window.at(130, 105), button="right")
    window.page.keyboard.up("Alt")
    until(lambda: int(np.sum(window.mask())) == 1600)
    window.settled()


def test_the_lasso_takes_away_with_the_right_button(window: Window) -> None:
    boxed(window, (20, 20), (60, 60))
    mouse = window.page.mouse
    window.page.click("#do-tool-lasso")
    mouse.move(*window.at(30, 30))
    mouse.down(button="right")
    for corner in ((40, 30), (40, 40), (30, 40)):
        mouse.move(*window.at(*corner), steps=3)
    mouse.up(button="right")
    window.settled()
    assert int(np.sum(window.mask())) == 1500
    assert window.state("hand.doing") == "idle"


def test_rules_are_previewed_and_applied(window: Window) -> None:
    boxed(window, (20, 20), (60, 60))
    page = window.page
    page.keyboard.press("g")
    until(lambda: page.locator("#shaping-text").inner_text() == "changes nothing")
    page.click("#shaping button:has-text('Grow')")
    until(lambda: page.locator("#shaping-text").inner_text().startswith("+"))
    assert int(np.sum(window.mask())) == 1600, "a preview changes nothing"
    page.click("#shaping-apply")
    window.settled()
    assert int(np.sum(window.mask())) > 1900
    assert page.locator("#shaping").is_hidden()
    window.press("Control+z")
    assert int(np.sum(window.mask())) == 1600
    page.keyboard.press("g")
    page.keyboard.press("Escape")
    assert window.state("hand.doing") == "idle"
    page.keyboard.press("g")
    page.click("#shaping button:has-text('Shrink')")
    until(lambda: page.locator("#shaping-text").inner_text().startswith("−"))
    page.keyboard.press("Enter")
    window.settled()
    until(lambda: int(np.sum(window.mask())) < 1600)
    assert window.state("image.state") == "started", "Enter applies, it does not accept the image"


def test_parts_are_split_and_objects_merged_and_subtracted(window: Window) -> None:
    page = window.page
    boxed(window, (20, 20), (60, 60))
    boxed(window, (90, 70), (110, 90))
    first, second = (one["id"] for one in window.objects())
    rows = page.locator("#object-list li")
    rows.nth(1).click()
    rows.nth(0).click(modifiers=["Control"])
    until(lambda: page.locator("#object-list li.picked").count() == 2)
    rows.nth(1).locator("button[title='More for']").click()
    page.click(".menu button:has-text('Merge 2 objects')")
    until(lambda: len(window.objects()) == 1)
    window.settled()
    assert window.objects()[0]["id"] == first
    assert int(np.sum(window.mask())) == 2000
    rows.nth(0).hover()
    rows.nth(0).locator("button[title='More for']").click()
    page.click(".menu button:has-text('Split into parts')")
    until(lambda: len(window.objects()) == 2)
    window.settled()
    assert [int(np.sum(window.mask(index))) for index in (0, 1)] == [1600, 400]
    window.press("Control+z")
    window.press("Control+z")
    assert [one["id"] for one in window.objects()] == [first, second]
