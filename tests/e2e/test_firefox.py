"""The page in Firefox: open, click, remove, box, saved, reload."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.annotator.person import mask_of
from tests.annotator.running import Running
from tests.e2e.conftest import HEIGHT, WIDTH, until
from tests.e2e.marionette import Firefox

RED, BLUE = (36, 40), (110, 80)
MARGIN = 28  # of the fitted photo, in CSS pixels, as in stage.js


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    command = shutil.which("firefox-esr") or shutil.which("firefox")
    if command is None:
        pytest.skip("needs Firefox (Debian package firefox-esr)")
    running = Firefox(command, tmp_path)
    yield running
    running.close()


class Page:
    """The annotator in Firefox, in image pixels."""

    def __init__(self, firefox: Firefox, url: str) -> None:
        self.firefox, self.url = firefox, url
        firefox.do("WebDriver:Navigate", url=f"{url}/#1")
        self.settled()

    def text(self, name: str) -> str:
        return str(self.firefox.run("return document.getElementById(arguments[0]).textContent", name))

    def settled(self) -> None:
        ready = "return document.getElementById('stage').dataset.photo"
        until(lambda: self.firefox.run(ready) == "1" and "ready" in self.text("model-text"))
        until(lambda: self.text("saved") == "Saved")

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Where an image pixel lies in the window while the photo is fitted."""
        left, top, width, height = self.firefox.run(
            "const b = document.getElementById('stage').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
        )
        scale = min((width - 2 * MARGIN) / WIDTH, (height - 2 * MARGIN - 40) / HEIGHT, 8)
        x0, y0 = left + (width - WIDTH * scale) / 2, top + (height - 44 - HEIGHT * scale) / 2
        return round(x0 + x * scale), round(y0 + y * scale)

    def press(self, start: tuple[float, float], end: tuple[float, float] | None = None, button: int = 0) -> None:
        steps: list[dict[str, Any]] = [{"type": "pointerMove", **dict(zip("xy", self.at(*start), strict=True))}]
        steps.append({"type": "pointerDown", "button": button})
        if end is not None:
            steps.append({"type": "pointerMove", "duration": 100, **dict(zip("xy", self.at(*end), strict=True))})
        self.firefox.mouse(*steps, {"type": "pointerUp", "button": button})
        self.settled()

    def painted(self, x: float, y: float) -> int:
        """Opacity (0 to 255) of the overlay over an image pixel."""
        where = self.at(x, y)
        opacity: int = self.firefox.run(
            "const [x, y] = arguments, c = document.getElementById('overlay'), b = c.getBoundingClientRect();"
            "const k = c.width / b.width;"
            "return c.getContext('2d').getImageData((x - b.x) * k, (y - b.y) * k, 1, 1).data[3]",
            *where,
        )
        return opacity

    def saved(self) -> list[dict[str, Any]]:
        """The objects as the server keeps them."""
        objects: list[dict[str, Any]] = httpx.get(f"{self.url}/api/images/1").json()["objects"]
        return objects


def test_open_click_and_save_in_firefox(firefox: Firefox, server: Running) -> None:
    page = Page(firefox, server.url)
    page.press(RED)
    until(lambda: page.painted(*RED) > 80)
    assert page.painted(*BLUE) == 0
    page.press(BLUE)
    until(lambda: page.painted(*BLUE) > 80)
    page.press(BLUE, button=2)
    until(lambda: page.painted(*BLUE) == 0)
    (item,) = page.saved()
    mask = mask_of(item, (HEIGHT, WIDTH))
    assert mask[RED[1], RED[0]]
    assert not mask[BLUE[1], BLUE[0]]

    firefox.run("document.getElementById('do-new').click()")
    page.press((70, 60), (100, 100))
    boxed = mask_of(page.saved()[1], (HEIGHT, WIDTH))
    rows, columns = np.nonzero(boxed)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx((70, 60, 99, 99), abs=1)

    firefox.do("WebDriver:Refresh")
    page.settled()
    until(lambda: page.painted(*RED) > 40 and page.painted(85, 80) > 40)  # none is active now
    assert page.text("object-count") == "2"
