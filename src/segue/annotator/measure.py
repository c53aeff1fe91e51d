"""How long a person waits from a click to the painted mask: ``python -m segue.annotator.measure``.

Server and headless Chromium run on this machine; the times are the page's own marks, from the pointer event to
the first task after the frame that shows the mask.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import uvicorn

from segue.annotator.app import build
from segue.annotator.config import SAMPLES, AnnotateConfig
from segue.core.errors import MissingExtra, MissingFile
from segue.core.segmenter import Segmenter

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)


def measure(
    model: str = "nano", clicks: int = 40, objects: int = 200, size: tuple[int, int] = (1080, 1920)
) -> dict[str, Any]:
    """Milliseconds from click to painted mask on a photo of ``size`` (H, W), payload bytes, and how the same click
    fares in an image that holds ``objects`` objects.

    Each of ``clicks`` clicks goes to a new place; every third is negative, every fifth begins a new object.
    """
    with tempfile.TemporaryDirectory(prefix="segue-measure-") as home:
        folder = Path(home, "photos")
        folder.mkdir()
        with PIL.Image.open(SAMPLES / "coffee.jpg") as sample:
            for name in ("one.jpg", "many.jpg"):
                sample.resize((size[1], size[0]), PIL.Image.Resampling.LANCZOS).save(folder / name, quality=92)
        config = AnnotateConfig(folder=folder, model=model, port=0, open_browser=False)
        with serving(config) as address, browser() as chromium:
            matmul = matmul_ms()
            one = _click_through(chromium, address, 1, clicks)
            _fill(chromium, address, objects)
            many = _click_through(chromium, address, 2, clicks)
    return {
        "model": model,
        "photo": f"{size[1]} x {size[0]}",
        "clicks": clicks,
        "matmul_1024_ms": round(matmul, 1),
        "click_to_painted_ms": one["total"],
        "parts_p50_ms": one["parts"],
        "payload_bytes_max": one["payload"],
        "objects": many["objects"],
        "with_many_objects_ms": many["total"],
        "ratio_p50": round(many["total"]["p50"] / one["total"]["p50"], 3),
    }


@contextlib.contextmanager
def serving(config: AnnotateConfig, load: Callable[[], Segmenter] | None = None) -> Iterator[str]:
    """A server in this process on a free port; its address."""
    with socket.socket() as listener:
        listener.bind((config.host, 0))
        listener.listen(64)
        server = uvicorn.Server(uvicorn.Config(build(config, load), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium of the system. Raises ``MissingExtra`` or ``MissingFile``."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise MissingExtra.of("playwright", "dev") from error
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise MissingFile("no Chromium", "the command chromium", "install it, for instance: apt install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield running
        running.close()


def matmul_ms() -> float:
    """Median milliseconds of a float32 product of 1024 x 1024 matrices: what this machine can do now."""
    a, times = torch.rand(1024, 1024), []
    for _ in range(15):
        began = time.perf_counter()
        a @ a
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _open(chromium: Any, address: str, image: int) -> Any:
    page = chromium.new_page(viewport={"width": 1440, "height": 860})
    page.set_default_timeout(120_000)
    page.goto(f"{address}#{image}")
    page.wait_for_selector(f"#stage[data-photo='{image}']")
    until(lambda: "ready" in page.locator("#model-text").inner_text())
    return page


def until(done: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for the page; its policy forbids that it evaluates conditions itself."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"the page did not get there within {seconds:.0f} seconds")
        time.sleep(0.02)


def _click_through(chromium: Any, address: str, image: int, clicks: int) -> dict[str, Any]:
    page = _open(chromium, address, image)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())) if answer.url.endswith("/actions") else None)
    box = page.locator("#stage").bounding_box()
    dice = np.random.default_rng(0)
    count = "performance.getEntriesByName('segue:click-to-painted').length"
    for number in range(clicks + 3):
        if number % 5 == 0:
            page.keyboard.press("n")
        x, y = dice.uniform(0.15, 0.85), dice.uniform(0.2, 0.75)
        button = "right" if number % 5 and number % 3 == 2 else "left"
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"], button=button)
        wanted = number + 1
        until(lambda: page.evaluate(count) >= wanted)  # noqa: B023
        time.sleep(0.15)
    entries = page.evaluate(
        "performance.getEntriesByName('segue:click-to-painted')"
        ".map(m => ({start: m.startTime, total: m.duration, ...m.detail}))"
    )[3:]
    objects = page.locator("#object-list .object").count()
    page.close()
    return {
        "total": _spread([entry["total"] for entry in entries]),
        "parts": {
            "request": _spread([e["sent"] - e["start"] for e in entries])["p50"],
            "server": _spread([e["answered"] - e["sent"] for e in entries])["p50"],
            "decode": _spread([e["decoded"] - e["answered"] for e in entries])["p50"],
            "draw": _spread([e["drawn"] - e["decoded"] for e in entries])["p50"],
            "paint": _spread([e["end"] - e["drawn"] for e in entries])["p50"],
        },
        "payload": max(sizes, default=0),
        "objects": objects,
    }


def _fill(chromium: Any, address: str, objects: int) -> None:
    """Put ``objects`` painted disks into the second image, through the page's own brush and requests."""
    page = _open(chromium, address, 2)
    page.evaluate(
        """async (count) => {
          const { Stroke } = await import('./brush.js');
          const { act } = await import('./work.js');
          const { newId } = await import('./api.js');
          const { state } = await import('./state.js');
          const { width, height } = state.image;
          for (let i = 0; i < count; i++) {
            const stroke = new Stroke(width, height, 22);
            stroke.to({ x: 40 + (i * 211) % (width - 80), y: 40 + (i * 97) % (height - 80) });
            await act({ kind: 'stroke', object: newId(), pixels: await stroke.runs(), label: state.label });
          }
        }""",
        objects,
    )
    page.close()


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"p50": round(float(np.percentile(values, 50)), 1), "p95": round(float(np.percentile(values, 95)), 1)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m segue.annotator.measure", description=measure.__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--objects", type=int, default=200)
    given = parser.parse_args()
    sys.stdout.write(json.dumps(measure(given.model, given.clicks, given.objects), indent=1) + "\n")


if __name__ == "__main__":
    main()
