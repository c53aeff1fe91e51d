"""How photo and masks are seen: nothing of it changes a mask."""

from __future__ import annotations

import numpy as np

from tests.e2e.conftest import Window, until


def slide(window: Window, name: str, value: float) -> None:
    window.page.locator(f"#see-{name}").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )


def marked(window: Window, x: float, y: float) -> int:
    """Opacity of the marks' canvas at a screen place, in CSS pixels of the stage."""
    return window.page.evaluate(
        """async ([x, y]) => {
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          return document.getElementById('marks').getContext('2d').getImageData(x, y, 1, 1).data[3];
        }""",
        [round(x), round(y)],
    )


def test_opacity_and_outlines_only(window: Window) -> None:
    window.drag((20, 20), (60, 60))
    before = window.mask()
    until(lambda: 95 < window.painted(40, 40) < 110)
    window.page.click("#do-see")
    slide(window, "opacity", 80)
    until(lambda: window.painted(40, 40) > 195)
    window.page.check("#see-outline")
    until(lambda: window.painted(40, 40) == 0)
    window.page.keyboard.press("Escape")
    window.page.keyboard.press("i")
    until(lambda: window.painted(40, 40) > 195)
    window.page.keyboard.down("h")
    until(lambda: window.painted(40, 40) == 0)
    window.page.keyboard.up("h")
    assert window.mask() == before
    window.page.reload()
    window.shown(1)
    until(lambda: window.painted(40, 40) > 100)


def test_the_levels_of_the_photo(window: Window) -> None:
    page = window.page
    shades = "document.querySelector('#levels feFuncR').getAttribute('tableValues').split(' ').map(Number)"
    page.keyboard.press("w")
    slide(window, "low", 100)
    slide(window, "high", 200)
    values = page.evaluate(shades)
    assert (values[100], values[150], values[200]) == (0, 0.5, 1)
    slide(window, "gamma", 2)
    assert np.isclose(page.evaluate(shades)[150], 0.5**0.5, atol=1e-3)
    assert page.evaluate("getComputedStyle(document.getElementById('photo')).filter") == 'url("#levels")'
    page.click("#see-auto")
    values = np.array(page.evaluate(shades))
    assert values[127] == 0, "the grey around the rectangles is black"
    assert values[220] == 1, "and the red one white"
    page.click("#see-reset")
    assert page.evaluate("document.getElementById('photo').style.filter") == ""
    slide(window, "low", 100)
    window.press("PageDown")
    window.shown(2)
    until(lambda: page.evaluate("document.getElementById('photo').style.filter") == "")


def test_names_and_the_magnifier(window: Window) -> None:
    window.drag((30, 40), (70, 80))
    stage = window.page.locator("#stage").bounding_box()
    x, y = window.at(50, 40)
    x, y = x - stage["x"], y - stage["y"]
    assert marked(window, x, y - 12) == 0
    window.page.keyboard.press("q")
    assert marked(window, x, y - 12) > 200
    window.page.keyboard.press("q")
    window.page.keyboard.press("b")
    x, y = window.at(80, 90)
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x + 10, y, steps=3)
    left, top = x + 10 - stage["x"] + 94, y - stage["y"] - 94
    assert marked(window, left, top) == 255
    window.page.mouse.up()
    window.settled()
    window.page.mouse.move(x + 11, y)
    assert marked(window, left, top) == 0
