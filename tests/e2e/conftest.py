"""A real browser on a real server."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.annotator.fake_model import photo
from tests.annotator.running import Running

WIDTH, HEIGHT = 160, 120
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Headless Chromium of the system."""
    tools = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra 'dev')")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs Chromium (Debian package chromium)")
    with tools.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos of 160 x 120 pixels: a red rectangle at (20..53, 20..60), a blue one at (80..144, 60..105)."""
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        photo(tmp_path / "photos" / name, seed=30 * number)
    return tmp_path / "photos"


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Running]:
    """The annotator on the folder."""
    running = Running(folder, f"sqlite:///{tmp_path}/project.db")
    yield running
    running.stop()


def until(done: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something to become true; its value."""
    end = time.monotonic() + seconds
    while True:
        value = done()
        if value:
            return value
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.03)


class Window:
    """One page of the annotator, driven as a person drives it: in image pixels."""

    def __init__(self, chromium: Any, url: str, image: int = 1, **context: Any) -> None:
        self.context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{url}/#{image}")
        self.shown(image)

    def shown(self, image: int) -> None:
        """Wait until an image is open and its photo drawn."""
        self.page.wait_for_selector(f"#stage[data-photo='{image}']")
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is under way."""
        until(lambda: self.state("saving") == 0 and self.page.locator("#saved").inner_text() == "Saved")

    def state(self, path: str) -> Any:
        """A field of the page's own state."""
        return self.page.evaluate(
            "async (path) => path.split('.').reduce((o, k) => o?.[k], (await import('./state.js')).state)", path
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where an image pixel lies on the screen."""
        point = self.page.evaluate("async (p) => (await import('./stage.js')).view.toScreen(p)", {"x": x, "y": y})
        box = self.page.locator("#stage").bounding_box()
        return box["x"] + point["x"], box["y"] + point["y"]

    def click(self, x: float, y: float, **options: Any) -> None:
        """A click on an image pixel, answered and saved."""
        self.page.mouse.click(*self.at(x, y), **options)
        self.settled()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move, release."""
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=6)
        self.page.mouse.up()
        self.settled()

    def press(self, keys: str) -> None:
        """A key, and what follows from it."""
        self.page.keyboard.press(keys)
        self.settled()

    def objects(self) -> list[dict[str, Any]]:
        """Objects as the page has them, bottom first."""
        return self.state("objects")

    def mask(self, index: int = 0) -> list[list[bool]]:
        """The pixels inside the outline that the page draws for an object: HEIGHT rows of WIDTH."""
        return self.page.evaluate(
            """async ([index, width, height]) => {
              const { state } = await import('./state.js');
              const context = document.createElement('canvas').getContext('2d');
              const { path } = state.objects[index].shape;
              return Array.from({ length: height }, (_, y) =>
                Array.from({ length: width }, (_, x) => context.isPointInPath(path, x + 0.5, y + 0.5, 'evenodd')));
            }""",
            [index, WIDTH, HEIGHT],
        )

    def painted(self, x: float, y: float) -> int:
        """Opacity (0 to 255) of the overlay over an image pixel."""
        return self.page.evaluate(
            """async (p) => {
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              const { view } = await import('./stage.js');
              const { x, y } = view.toScreen(p);
              const context = document.getElementById('overlay').getContext('2d');
              return context.getImageData(Math.round(x * view.ratio), Math.round(y * view.ratio), 1, 1).data[3];
            }""",
            {"x": x, "y": y},
        )

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def window(chromium: Any, server: Running) -> Iterator[Window]:
    """A page on the first image; it must end without a script error and without a foreign request."""
    opened = Window(chromium, server.url)
    yield opened
    assert opened.errors == []
    assert all(url.startswith((server.url, "blob:", "data:")) for url in opened.asked)
    opened.close()
