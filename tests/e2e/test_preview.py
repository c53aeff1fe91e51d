"""The mask before the click: shown under a pointer that rests, and never in the way."""

from __future__ import annotations

from tests.e2e.conftest import Window, until
from tests.e2e.test_seeing import marked

RED, BLUE = (36, 40), (110, 80)


def previews(window: Window) -> int:
    return sum(url.endswith("/preview") for url in window.asked)


def seen(window: Window, x: float, y: float) -> int:
    stage = window.page.locator("#stage").bounding_box()
    left, top = window.at(x, y)
    return marked(window, left - stage["x"], top - stage["y"])


def rest_at(window: Window, x: float, y: float) -> None:
    window.page.mouse.move(*window.at(x - 1, y))
    window.page.mouse.move(*window.at(x, y))


def test_a_resting_pointer_shows_the_mask_and_a_click_keeps_it(window: Window) -> None:
    until(lambda: window.state("status.image.state") == "ready")
    rest_at(window, *RED)
    until(lambda: seen(window, RED[0] + 8, RED[1] + 8) > 20)
    assert seen(window, *BLUE) == 0
    assert window.objects() == [], "nothing is made"
    rest_at(window, *BLUE)
    until(lambda: seen(window, BLUE[0] + 8, BLUE[1] + 8) > 20)
    assert seen(window, RED[0] + 8, RED[1] + 8) == 0, "what was shown elsewhere is gone"
    window.click(*BLUE)
    (one,) = window.objects()
    assert one["clicks"] == 1
    assert window.mask()[BLUE[1]][BLUE[0]]
    assert seen(window, BLUE[0] + 8, BLUE[1] + 8) == 0
    window.press("Control+z")
    assert window.objects() == []


def test_it_is_switched_off(window: Window) -> None:
    until(lambda: window.state("status.image.state") == "ready")
    window.page.click("#do-see")
    window.page.uncheck("#see-ahead")
    window.page.keyboard.press("Escape")
    before = previews(window)
    rest_at(window, *RED)
    window.page.wait_for_timeout(500)
    assert previews(window) == before
    assert seen(window, *RED) == 0


def test_a_pointer_that_moves_asks_for_nothing(window: Window) -> None:
    until(lambda: window.state("status.image.state") == "ready")
    before = previews(window)
    window.page.evaluate(
        """() => new Promise((done) => {
          const stage = document.getElementById('stage');
          let x = 300;
          const move = () => {
            const place = { clientX: x++, clientY: 300, pointerId: 1, pointerType: 'mouse' };
            stage.dispatchEvent(new PointerEvent('pointermove', place));
            if (x > 340) done(); else setTimeout(move, 8);
          };
          move();
        })"""
    )
    assert previews(window) <= before + 1
