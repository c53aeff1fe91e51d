"""How many files of segue one action passes through, and how often it changes from one file to another.

    python lab/walks.py mask         segue mask with a click
    python lab/walks.py click        a click in the browser, to the saved mask (needs playwright and Chromium)
    python lab/walks.py adapt        masks -> adapter -> report
    python lab/walks.py              all three

A file counts when one of its functions runs for the action, after the same action was done once before, so that
imports, warm starts and caches are out of the way. The click ends when its mask is saved; what else the page does
meanwhile (panels that follow in the next frame, questions for the model's state) is left out: the panels are switched
off, and a file counts that every one of several clicks passes through. Point PYTHONPATH at another checkout to count
that one.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SOURCE = ""
PHOTO = Path(__file__).resolve().parents[1] / "src" / "segue" / "samples" / "cat.jpg"


class Recorder:
    """The files whose functions are called while it is on, in all threads, in order."""

    def __init__(self) -> None:
        self.on, self.calls = False, [""]
        self._lock = threading.Lock()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if self.on and event == "call" and name.startswith(SOURCE) and frame.f_code.co_name != "<module>":
            with self._lock:
                if self.calls[-1] != name:
                    self.calls.append(name)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        self.calls, self.on = [""], True
        try:
            yield
        finally:
            self.on = False

    @property
    def files(self) -> list[str]:
        return sorted({str(Path(name).relative_to(SOURCE)) for name in self.calls[1:]})

    def say(self, title: str) -> None:
        sys.stdout.write(f"{title}: {len(self.files)} Python files, {len(self.calls) - 1} changes\n")
        sys.stdout.write("".join(f"  {name}\n" for name in self.files))


RECORDER = Recorder()


def command(*arguments: str) -> None:
    """One command line, in this process."""
    from segue.cli import entry

    before, sys.argv = sys.argv, ["segue", *arguments]
    try:
        entry()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before


def twice(title: str, action: Callable[[], None]) -> None:
    """Do it once to warm up, then once while it is recorded."""
    action()
    with RECORDER.recording():
        action()
    RECORDER.say(title)


def walk_mask(folder: Path) -> None:
    twice(
        "segue mask with a click",
        lambda: command("mask", str(PHOTO), "--click", "230,130", "-o", str(folder / "mask.png"), *again("mask")),
    )


def again(name: str) -> list[str]:
    """``--force`` where the command knows it."""
    import typer.main

    from segue.cli import app

    found = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined,arg-type]
    return ["--force"] if any("--force" in p.opts for p in found.params) else []


def squares(folder: Path, count: int = 8) -> Path:
    """Photos of a square each, with masks."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        x, y = (int(v) for v in rng.integers(20, 60, 2))
        photo, mask = Image.new("RGB", (160, 120), (40, 60, 50)), Image.new("L", (160, 120))
        ImageDraw.Draw(photo).rectangle((x, y, x + 50, y + 40), fill=(220, 80, 40))
        ImageDraw.Draw(mask).rectangle((x, y, x + 50, y + 40), fill=255)
        photo.save(folder / "images" / f"{number}.png")
        mask.save(folder / "masks" / f"{number}.png")
    return folder


def walk_adapt(folder: Path) -> None:
    data, runs = squares(folder / "data"), iter(range(9))
    twice(
        "masks -> adapter -> report",
        lambda: command(
            *("adapt", "--data", str(data), "--adapter", "detail", "-o", str(folder / f"adapter{next(runs)}")),
            *("--minutes", "0.05", "--max-clicks", "2"),
        ),
    )


def walk_click(folder: Path) -> None:
    """Clicks in a page of a server in this process; the JavaScript is counted by Chromium's coverage."""
    import uvicorn
    from playwright.sync_api import sync_playwright

    from segue.annotator.app import build
    from segue.annotator.config import AnnotateConfig

    photos = folder / "photos"
    photos.mkdir()
    Image.open(PHOTO).save(photos / "cat.jpg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    app = build(AnnotateConfig(folder=photos, browser=False))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/#1")
        page.wait_for_selector("#stage[data-photo='1']", timeout=60_000)
        box = page.locator("#stage").bounding_box()
        assert box is not None

        def click(x: float, y: float) -> None:
            page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
            time.sleep(3)  # nothing else may happen while it is counted

        for place in ((0.5, 0.5), (0.55, 0.55), (0.52, 0.45)):
            click(*place)
        page.evaluate("async () => (await import('./state.js')).followers?.clear()")
        session = page.context.new_cdp_session(page)
        session.send("Profiler.enable")
        session.send("Profiler.startPreciseCoverage", {"callCount": True, "detailed": False})
        walks, scripts = [], []
        for number, place in enumerate(((0.48, 0.5), (0.5, 0.47), (0.47, 0.52)), start=4):
            session.send("Profiler.takePreciseCoverage")  # what ran until now is forgotten
            with RECORDER.recording():
                page.mouse.click(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
                page.evaluate(SAVED, number)
            walks.append(RECORDER.calls)
            scripts.append(ran_in(session.send("Profiler.takePreciseCoverage")["result"]))
            time.sleep(1)
        browser.close()
    server.should_exit = True
    thread.join()
    every = set.intersection(*map(set, walks))
    RECORDER.calls = ["", *(name for name in walks[-1] if name and name in every)]
    RECORDER.say("a click in the browser")
    ran = sorted(set.intersection(*scripts))
    sys.stdout.write(f"  and {len(ran)} JavaScript files: {', '.join(ran)}\n")


SAVED = """(count) => new Promise((done) => {
  const marks = () => performance.getEntriesByName('segue:click-to-saved').length;
  const look = () => marks() >= count ? done() : setTimeout(look, 5);
  look();
})"""


def ran_in(scripts: list[dict[str, Any]]) -> set[str]:
    """The page's files of which a named function ran."""
    return {
        script["url"].rsplit("/", 1)[-1]
        for script in scripts
        if "127.0.0.1" in script["url"]
        and any(f["functionName"] and any(r["count"] for r in f["ranges"]) for f in script["functions"])
    }


def main() -> None:
    global SOURCE
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walks", nargs="*", help="mask, click, adapt; all where none is named")
    names = parser.parse_args().walks or ["mask", "click", "adapt"]
    threading.setprofile(RECORDER)
    sys.setprofile(RECORDER)
    import segue

    SOURCE = str(Path(segue.__file__).parent)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            {"mask": walk_mask, "click": walk_click, "adapt": walk_adapt}[name](Path(folder))


if __name__ == "__main__":
    main()
