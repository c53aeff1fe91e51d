"""Every picture that the README and the annotator's page show, from the shipped weights and the bundled samples.

    PYTHONPATH=. python lab/pictures/make.py    (needs playwright, the extra 'dev', and Chromium; a minute)

Writes ``docs/images/one-click.jpg``, ``docs/annotator.jpg``, ``docs/annotator-light.jpg`` and
``docs/images/annotator.webp``, a moving picture: click, mask, correct, accept, next.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import readme_picture
from PIL import Image, ImageDraw
from tests.e2e.conftest import ARGUMENTS, Window, until

from segue.annotator.config import SAMPLES

DOCS, SIZE, FILM_SIZE = Path("docs"), {"width": 1280, "height": 760}, {"width": 1000, "height": 600}
CLASSES = ("cat", "eye", "nose")
POINTER = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))


class Page(Window):
    """The annotator's page, driven in pixels of the photo; what is waited for is drawn."""

    def shown(self, image: int) -> None:
        """Wait until a photo is open and the model has looked at it."""
        self.page.wait_for_selector(f"#stage[data-photo='{image}']")
        until(lambda: "ready" in self.page.locator("#model-text").inner_text())
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is under way, and what came of it is drawn."""
        super().settled()
        self.page.wait_for_timeout(400)

    def picture(self) -> Image.Image:
        """What the page looks like now."""
        return Image.open(BytesIO(self.page.screenshot())).convert("RGB")


@contextlib.contextmanager
def annotator(*names: str) -> Iterator[str]:
    """``segue annotate`` on a fresh copy of bundled photos, in this order: its address."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for number, name in enumerate(names, start=1):
            shutil.copy(SAMPLES / f"{name}.jpg", photos / f"{number}-{name}.jpg")
        words = [sys.executable, "-m", "segue", "annotate", str(photos), "--port", "0", "--no-browser"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield [process.stdout.readline() for _ in range(3)][1].strip().rstrip("/")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def screenshots(browser: Any, dark: Path, light: Path) -> None:
    """The page on the cat, its eyes and its nose: dark, and light at twice the resolution."""
    with annotator("cat", "astronaut", "coffee", "rocket") as address:
        page = Page(browser, address, viewport=SIZE, color_scheme="dark", device_scale_factor=2)
        page.page.evaluate(SET_CLASSES, list(CLASSES))
        page.page.reload()
        page.shown(1)
        page.page.select_option("#overlap", "new")
        page.press("1")
        page.click(230, 170)
        page.click(150, 285)
        for part, box in PARTS:
            page.press("Escape")
            page.press(str(CLASSES.index(part) + 1))
            page.drag(box[:2], box[2:])
        page.click(250, 247)  # on the cat's mask: chooses it again, and its clicks are shown
        page.picture().resize(tuple(SIZE.values()), Image.Resampling.LANCZOS).save(dark, quality=85)
        page.page.emulate_media(color_scheme="light")
        page.settled()
        page.picture().save(light, quality=80)


def moving(browser: Any, output: Path) -> None:
    """Click, mask, correct, accept, next, as an animated WebP."""
    film = Film()
    with annotator("astronaut", "coffee", "cat", "rocket") as address:
        page = Page(browser, address, viewport=FILM_SIZE, color_scheme="dark")
        film.take(page, (60, 250), 900)
        for x, y, button in STORY:
            film.take(page, (x, y), 500)
            page.click(x, y, button=button)
            film.take(page, (x, y), 1400)
        page.page.keyboard.press("Enter")
        page.shown(2)
        film.take(page, (300, 330), 900)
        film.take(page, (300, 150), 500)
        page.click(300, 150)
        film.take(page, (300, 150), 2200)
    film.save(output)


class Film:
    """Pictures of a page with the pointer drawn in, which a browser without a screen doesn't have."""

    def __init__(self) -> None:
        self.pictures: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def take(self, page: Page, pointer: tuple[float, float], milliseconds: int) -> None:
        """One picture, with the pointer at a pixel of the photo."""
        x, y = page.at(*pointer)
        page.page.mouse.move(x, y)
        page.page.wait_for_timeout(150)
        picture = page.picture()
        corners = [(x + dx, y + dy) for dx, dy in POINTER]
        ImageDraw.Draw(picture).polygon(corners, fill="white", outline="black")
        self.pictures.append(picture)
        self.milliseconds.append(milliseconds)

    def save(self, output: Path) -> None:
        """The animation, forever from the start."""
        first, *rest = self.pictures
        first.save(output, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, quality=72, method=6)


SET_CLASSES = """async (names) => {
  const { newId, post } = await import('./api.js');
  const { state } = await import('./state.js');
  for (const [place, name] of names.entries())
    await post('labels', { key: newId(), id: state.project.labels[place]?.id ?? null, name });
}"""
STORY = (  # the astronaut, her collar, not the helmet
    (220, 400, "left"),
    (235, 270, "left"),
    (457, 485, "right"),
)
PARTS = (  # of the cat: class and box
    ("eye", (129, 81, 209, 151)),
    ("eye", (291, 105, 348, 168)),
    ("nose", (236, 222, 298, 272)),
)


def main() -> None:
    from playwright.sync_api import sync_playwright

    readme_picture.main(DOCS / "images" / "one-click.jpg")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        moving(browser, DOCS / "images" / "annotator.webp")
        screenshots(browser, DOCS / "annotator.jpg", DOCS / "annotator-light.jpg")
        browser.close()


if __name__ == "__main__":
    main()
