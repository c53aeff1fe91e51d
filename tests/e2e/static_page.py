"""The page of ``segue export --to web`` on a plain static server, in either browser, through one small driver."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image

from segue.core.types import Box, Click, Mask, Prompt
from tests.e2e.conftest import until
from tests.e2e.marionette import Firefox

Ask: TypeAlias = Callable[[str], Any]  # the body of an async function -> what it returns

SAVED = """
  const made = new Promise((done) => { URL.createObjectURL = (blob) => { done(blob); return "#"; }; });
  HTMLAnchorElement.prototype.click = () => undefined;
  document.getElementById(%s).click();
  const bytes = new Uint8Array(await (await made).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
"""
OPEN = """
  const { open } = await import("/page.js");
  await open(await (await fetch(%s)).blob(), %s);
  return [document.body.dataset.state, Number(document.body.dataset.encode)];
"""
ADD = """
  const { add } = await import("/page.js"), about = document.body.dataset;
  about.painted = "";
  add(%s, performance.now());
  while (!about.painted) await new Promise((done) => setTimeout(done, 5));
  return Number(about.painted);
"""


STATUS = "return document.getElementById('status').textContent"


class Handler(http.server.SimpleHTTPRequestHandler):
    """A plain server; ``isolated`` adds the two headers that let a page use threads."""

    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(folder: Path, *, isolated: bool = False, port: int = 0) -> Iterator[str]:
    """The address of a static server on ``folder``."""
    kind = type("Kind", (Handler,), {"isolated": isolated})
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(kind, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class StaticPage:
    """The page, driven by what its own modules offer."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def open(self, address: str) -> float:
        """Open a photo of the server; milliseconds to encode it."""
        state, encode = self._ask(OPEN % (json.dumps(address), json.dumps(Path(address).name)))
        assert state == "open"
        return float(encode)

    def add(self, prompt: Prompt) -> float:
        """One prompt; milliseconds until its mask was painted."""
        return float(self._ask(ADD % json.dumps(as_object(prompt))))

    def saved(self, button: str) -> bytes:
        """What a line of the menu would have saved."""
        return base64.b64decode(self._ask(SAVED % json.dumps(button)))

    def mask(self) -> Mask | None:
        """The mask as its PNG has it; None if there is none."""
        if self._ask("const { view } = await import('/stage.js'); return !view.items[view.active].any"):
            return None
        with PIL.Image.open(io.BytesIO(self.saved("save-mask"))) as image:
            assert image.mode == "L"
            return np.asarray(image) > 127


class FirefoxPage:
    """The page in Firefox as a person drives it, with files, mouse and downloads; photos are shown enlarged, so that
    every pixel can be hit. ``downloads`` is where Firefox saves."""

    def __init__(self, firefox: Firefox, url: str, downloads: Path) -> None:
        self._firefox, self._downloads, self._size = firefox, downloads, (0, 0)
        firefox.do("WebDriver:SetWindowRect", width=1500, height=1000)
        firefox.do("WebDriver:Navigate", url=url)
        until(lambda: self._about("state") == "ready")

    def open(self, path: Path) -> float:
        """Open a photo of the disk; milliseconds to encode it."""
        with PIL.Image.open(path) as image:
            self._size = image.size
        field = self._firefox.do("WebDriver:FindElement", using="css selector", value="#file")
        (name,) = field.values()
        self._firefox.do("WebDriver:ElementSendKeys", id=name, text=str(path))
        until(lambda: self._about("state") == "open" and self._firefox.run(STATUS) == path.name)
        return float(self._about("encode"))

    def add(self, prompt: Prompt) -> float:
        """One prompt by mouse; milliseconds until its mask was painted."""
        self._firefox.run("document.body.dataset.painted = ''")
        if isinstance(prompt, Click):
            button = 0 if prompt.positive else 2
            self._press((prompt.x + 0.5, prompt.y + 0.5), None, button)
        else:
            assert isinstance(prompt, Box)
            self._press((prompt.x0, prompt.y0), (prompt.x1, prompt.y1), 0)
        return float(until(lambda: self._about("painted")))

    def mask(self) -> Mask | None:
        """The mask as its downloaded PNG has it; None if there is none."""
        for old in self._downloads.iterdir():
            old.unlink()
        self._firefox.run("document.getElementById('save-mask').click()")
        done = until(lambda: list(self._downloads.glob("*-mask.png")) or self._firefox.run(STATUS).startswith("This"))
        if done is True:
            return None
        (file,) = done
        until(lambda: file.read_bytes().endswith(b"IEND\xaeB`\x82"))
        with PIL.Image.open(file) as image:
            return np.asarray(image) > 127

    def _about(self, name: str) -> str:
        return str(self._firefox.run("return document.body.dataset[arguments[0]] || ''", name))

    def _press(self, start: tuple[float, float], end: tuple[float, float] | None, button: int) -> None:
        steps: list[dict[str, Any]] = [
            {"type": "pointerMove", **self._at(start)},
            {"type": "pointerDown", "button": button},
        ]
        if end is not None:
            steps.append({"type": "pointerMove", "duration": 60, **self._at(end)})
        self._firefox.mouse(*steps, {"type": "pointerUp", "button": button})

    def _at(self, place: tuple[float, float]) -> dict[str, int]:
        """Where a place on the fitted photo lies in the window (``fit`` in stage.js)."""
        left, top, width, height = self._firefox.run(
            "const b = document.getElementById('stage').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
        )
        (w, h), (x, y) = self._size, place
        scale = min((width - 56) / w, (height - 112) / h, 8)
        assert scale >= 1
        x0, y0 = left + (width - w * scale) / 2, top + 28 + (height - 112 - h * scale) / 2
        return {"x": round(x0 + x * scale), "y": round(y0 + y * scale)}


def as_object(prompt: Prompt) -> dict[str, Any]:
    """A prompt as the page knows it."""
    if isinstance(prompt, Click):
        return {"type": "click", "x": prompt.x, "y": prompt.y, "positive": prompt.positive}
    assert isinstance(prompt, Box)
    return {"type": "box", "x0": prompt.x0, "y0": prompt.y0, "x1": prompt.x1, "y1": prompt.y1}


def dialogue(size: Sequence[int], seed: int, length: int = 7) -> list[Prompt]:
    """A click in the middle or a box, then clicks of either kind: from first answers to late corrections."""
    (height, width), random = size, np.random.default_rng(seed)
    first: Prompt = Click(width // 2, height // 2)
    if seed % 3 == 1:
        first = Box(width // 4, height // 4, 3 * width // 4, 4 * height // 5)
    prompts = [first]
    for _ in range(length - 1):
        x, y = random.uniform(0.2, 0.8, 2) * (width, height)
        prompts.append(Click(int(x), int(y), positive=bool(random.random() < 0.6)))
    return prompts


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; 1 of two empty masks."""
    either = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / either) if either else 1.0
