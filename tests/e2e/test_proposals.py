"""Proposals in the page: accepted by a click, merged, by a stroke, undone, put away, and there after a reload."""

from __future__ import annotations

import numpy as np

from tests.e2e.conftest import HEIGHT, WIDTH, Window, until

RED, GREEN, BLUE = (30, 40), (100, 25), (100, 90)


def shown(window: Window) -> bool:
    return bool(window.page.evaluate("async () => (await import('./proposals.js')).proposed.on"))


def begin(window: Window) -> None:
    window.page.click("#do-propose")
    until(lambda: shown(window))
    until(lambda: "Click accepts" in window.page.locator("#hint").inner_text())


def area(window: Window) -> list[int]:
    return [int(np.sum(window.mask(index))) for index in range(len(window.objects()))]


def test_proposals_are_accepted_undone_merged_and_kept(window: Window) -> None:
    page = window.page
    until(lambda: page.locator("#do-propose").is_enabled())
    begin(window)
    assert window.objects() == []
    window.click(*RED)
    until(lambda: len(window.objects()) == 1)
    red = np.zeros((HEIGHT, WIDTH), bool)
    red[20:60, 20:53] = True
    assert (np.array(window.mask()) == red).all()

    window.press("Control+z")
    until(lambda: window.objects() == [])
    window.click(*RED)  # undo has brought its outline back
    until(lambda: len(window.objects()) == 1)
    assert window.objects()[0]["origin"] == "proposed"
    window.press("Control+z")
    until(lambda: window.objects() == [])

    for point in (RED, BLUE):
        page.keyboard.down("Shift")
        page.mouse.click(*window.at(*point))
        page.keyboard.up("Shift")
    assert window.objects() == [], "Shift only marks"
    page.keyboard.press("Enter")
    until(lambda: len(window.objects()) == 1)
    window.settled()
    (merged,) = area(window)
    assert merged > red.sum()
    assert np.array(window.mask())[BLUE[1], BLUE[0]]
    assert window.state("image.state") == "started", "Enter merges, it does not accept the image"
    window.press("Control+z")
    until(lambda: window.objects() == [])

    page.keyboard.press("b")
    window.drag(GREEN, BLUE)
    until(lambda: len(window.objects()) >= 2)
    window.settled()
    after = area(window)
    page.keyboard.press("Escape")
    until(lambda: not shown(window))
    page.reload()
    window.shown(1)
    assert area(window) == after
    assert not shown(window)
    window.press("Control+z")
    until(lambda: window.objects() == [])
