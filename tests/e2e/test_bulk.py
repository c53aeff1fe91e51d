"""Filters, sorting, the grid, and many images at once."""

from __future__ import annotations

from tests.e2e.conftest import Window, until


def rows(window: Window) -> list[str]:
    return [text.split("\n")[0] for text in window.page.locator("#image-space .line").all_inner_texts()]


def test_filters_and_order_are_what_next_follows(window: Window) -> None:
    page = window.page
    window.press("PageDown")
    window.shown(2)
    window.drag((20, 20), (60, 60))
    window.press("n")
    window.drag((80, 60), (120, 100))
    window.press("PageDown")
    window.shown(3)
    window.drag((20, 20), (60, 60))
    page.click("#filter-button")
    page.select_option("#filter-sort", "objects")
    until(lambda: rows(window) == ["b.png", "c.png", "a.png"])
    page.fill("#filter-least", "1")
    page.press("#filter-least", "Enter")
    until(lambda: rows(window) == ["b.png", "c.png"])
    assert page.locator("#total").inner_text() == "2 of 3 images"
    page.press("#filter-least", "Escape")
    page.focus("#stage")
    window.press("PageUp")
    window.shown(2)
    window.press("Enter")
    window.shown(3)
    window.press("PageDown")
    assert window.state("image.id") == 3, "the last of the list that is seen"
    window.press("j")
    window.shown(1)
    page.click("#filter-button")
    page.click("#filter-clear")
    until(lambda: rows(window) == ["a.png", "b.png", "c.png"])


def test_chosen_images_are_changed_together_and_undone_one_by_one(window: Window) -> None:
    page = window.page
    page.locator("#image-1").click()
    page.locator("#image-3").click(modifiers=["Shift"])
    until(lambda: page.locator("#bulk").inner_text().startswith("3 chosen"))
    page.locator("#image-2").click(modifiers=["Control"])
    until(lambda: page.locator("#bulk").inner_text().startswith("2 chosen"))
    assert window.state("image.id") == 1, "choosing opens nothing"
    page.click("#bulk-menu")
    page.click(".menu button:has-text('Skip')")
    until(lambda: page.locator("#image-space .line.skipped").count() == 2)
    until(lambda: window.state("image.state") == "skipped")
    assert page.locator("#bulk").is_hidden()
    until(lambda: window.state("project.counts.skipped") == 2)
    page.focus("#stage")
    window.press("Control+z")
    until(lambda: window.state("image.state") == "new")
    until(lambda: window.state("project.counts.skipped") == 1)


def test_the_grid_opens_images_and_chooses_several(window: Window) -> None:
    page = window.page
    window.drag((20, 20), (60, 60))
    page.keyboard.press("r")
    until(lambda: page.locator("#grid .cell").count() == 3)
    head = window.state("image.head")
    assert page.locator("#grid .cell img").first.get_attribute("src") == f"api/images/1/thumbnail?masks={head}"
    page.locator("#grid .cell").nth(1).click(modifiers=["Control"])
    until(lambda: page.locator("#bulk").inner_text().startswith("1 chosen"))
    page.locator("#grid .cell").nth(0).focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.id") == "2"
    page.locator("#grid .cell").nth(2).click()
    window.shown(3)
    assert page.locator("#grid").is_hidden()
