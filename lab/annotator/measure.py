"""How long a person waits from a click to the painted mask: ``python lab/annotator/measure.py``.

Server and headless Chromium run on this machine; the times are the page's own marks, from the pointer event to
the first task after the frame that shows the mask.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from segue.annotator.app import build
from segue.annotator.config import SAMPLES, AnnotateConfig
from segue.core.errors import MissingExtra, MissingFile

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)

HOLD = 80.0  # milliseconds that a person's button is down


def measure(
    model: str = "nano",
    clicks: int = 40,
    objects: int = 200,
    size: tuple[int, int] = (1080, 1920),
    reach: float = 0.1,
    hold: float = HOLD,
) -> dict[str, Any]:
    """Milliseconds from click to painted mask on a photo of ``size`` (H, W), payload bytes, and how the same click
    fares in an image that holds ``objects`` objects.

    Every fifth of ``clicks`` clicks begins a new object anywhere, the others correct it: they fall within ``reach``
    of the photo's sides around the first (1: anywhere), every third of them is negative. The button stays down for
    ``hold`` milliseconds; times count from its release, which makes the click, and once more from the press.
    """
    with tempfile.TemporaryDirectory(prefix="segue-measure-") as home:
        folder = _photos(Path(home), size, 2)
        with command(folder, model) as (address, _), browser() as chromium:
            matmul = matmul_ms()
            one = _click_through(chromium, address, 1, clicks, reach, hold)
            _fill(chromium, address, objects)
            many = _click_through(chromium, address, 2, clicks, reach, hold)
    return {
        "model": model,
        "photo": f"{size[1]} x {size[0]}",
        "clicks": clicks,
        "reach": reach,
        "hold_ms": hold,
        "matmul_1024_ms": round(matmul, 1),
        "click_to_painted_ms": one["painted"],
        "press_to_painted_ms": one["pressed"],
        "click_to_saved_ms": one["saved"],
        "parts_p50_ms": one["parts"],
        "server_p50_ms": one["server"],
        "payload_bytes_max": one["payload"],
        "objects": many["objects"],
        "with_many_objects_ms": many["painted"],
        "with_many_objects_parts_p50_ms": many["parts"],
        "with_many_objects_server_p50_ms": many["server"],
        "ratio_p50": round(many["painted"]["p50"] / one["painted"]["p50"], 3),
    }


def measure_folder(images: int = 5000, size: tuple[int, int] = (1080, 1920)) -> dict[str, Any]:
    """Seconds until a folder of ``images`` photos of ``size`` (H, W) is open, for the first time and again, and the
    memory that server and page hold before and after the whole list was scrolled through.

    ``server`` is scanning and noting every image in the database, ``page`` from the address to the photo and the
    filled list. The program's own start (importing PyTorch) is reported apart; no model is asked.
    """
    with tempfile.TemporaryDirectory(prefix="segue-measure-") as home:
        folder = _photos(Path(home), size, images)
        first, again = _build(folder), _build(folder)
        with command(folder, "nano") as (address, server), browser() as chromium:
            started = server.seconds
            page = chromium.new_page(viewport={"width": 1440, "height": 860})
            devtools = page.context.new_cdp_session(page)
            devtools.send("Performance.enable")
            began, processor = time.perf_counter(), server.processor_seconds()
            page.goto(f"{address}#1")
            page.wait_for_selector("#stage[data-photo='1']")
            page.wait_for_selector("#image-list .line .there")
            opened = time.perf_counter() - began
            processor = server.processor_seconds() - processor
            page_processor = _page_metrics(devtools)["ProcessTime"]
            until(lambda: "ready" in page.locator("#model-text").inner_text())
            before = {"server": server.memory(), **_page_memory(devtools)}
            for at in range(0, images, max(1, images // 50)):
                page.evaluate("(top) => { document.getElementById('image-list').scrollTop = top }", 60 * at)
                time.sleep(0.2)
            after = {"server": server.memory(), **_page_memory(devtools)}
            page.close()
    return {
        "images": images,
        "program_start_s": round(started, 2),
        "first_open_server_s": first,
        "open_server_s": again,
        "open_page_s": {
            "wall": round(opened, 2),
            "server_processor": round(processor, 2),
            "page_processor": round(page_processor, 2),
        },
        "memory_mb": before,
        "memory_mb_after_scrolling": after,
    }


def _photos(home: Path, size: tuple[int, int], count: int) -> Path:
    """A folder of ``count`` names of one photo."""
    folder = home / "photos"
    folder.mkdir()
    with PIL.Image.open(SAMPLES / "coffee.jpg") as sample:
        sample.resize((size[1], size[0]), PIL.Image.Resampling.LANCZOS).save(home / "photo.jpg", quality=92)
    for number in range(count):
        os.link(home / "photo.jpg", folder / f"{number:05}.jpg")
    return folder


def _build(folder: Path) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    app = build(AnnotateConfig(folder=folder, browser=False))
    spent = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    app.state.adapt_service.close()
    app.state.project.close()
    return {name: round(seconds, 2) for name, seconds in spent.items()}


class Server:
    """``segue annotate`` in a process of its own; ``seconds`` until it answered."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self._process, self.seconds = process, seconds

    def memory(self) -> float:
        """Resident megabytes."""
        return self._megabytes("VmRSS")

    def peak(self) -> float:
        """Resident megabytes at most so far."""
        return self._megabytes("VmHWM")

    def _megabytes(self, field: str) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return round(int(status.split(f"{field}:")[1].split()[0]) / 1024, 1)

    def processor_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def command(folder: Path, model: str) -> Iterator[tuple[str, Server]]:
    """``segue annotate`` on a free port: its address, and the process, as a person runs them beside the browser."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "segue", "annotate", str(folder), "--port", "0", "--no-browser", "--model", model]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        yield said[1].strip(), Server(process, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _page_metrics(devtools: Any) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}


def _page_memory(devtools: Any) -> dict[str, float]:
    devtools.send("HeapProfiler.collectGarbage")
    metrics = _page_metrics(devtools)
    return {"page_heap": round(metrics["JSHeapUsedSize"] / 1024**2, 1), "page_nodes": int(metrics["Nodes"])}


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium of the system. Raises ``MissingExtra`` or ``MissingFile``."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise MissingExtra.for_library("playwright", "dev") from error
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


ANSWERED = """(count) => new Promise((done) => {
  const look = () => {
    const painted = performance.getEntriesByName('segue:click-to-painted').length;
    if (painted > count || document.getElementById('saved').textContent === 'Not saved') done(painted);
    else setTimeout(look, 10);
  };
  look();
})"""
ENTRIES = """(name) => performance.getEntriesByName(name)
  .map((m) => ({ start: m.startTime, total: m.duration, ...m.detail }))"""
PRESSES = """() => document.addEventListener(
  'pointerdown', (event) => performance.mark('pressed', { startTime: event.timeStamp }), true)"""
PAYLOAD = """() => Math.max(...performance.getEntriesByType('resource').filter((r) => r.name.endsWith('/actions'))
  .map((r) => r.encodedBodySize))"""


def _click_through(chromium: Any, address: str, image: int, clicks: int, reach: float, hold: float) -> dict[str, Any]:
    page = _open(chromium, address, image)
    page.evaluate("performance.setResourceTimingBufferSize(10000)")
    page.evaluate(PRESSES)
    box = page.locator("#stage").bounding_box()
    dice, low, high = np.random.default_rng(0), np.array((0.15, 0.2)), np.array((0.85, 0.75))
    begun, count = low, 0
    for number in range(clicks + 3):
        if number % 5 == 0:
            page.keyboard.press("n")
            begun = dice.uniform(low, high)
        around = (low, high) if number % 5 == 0 else (np.maximum(low, begun - reach), np.minimum(high, begun + reach))
        x, y = dice.uniform(*around)
        button = "right" if number % 5 and number % 3 == 2 else "left"
        at = box["x"] + x * box["width"], box["y"] + y * box["height"]
        page.mouse.move(*at)
        chooses = page.locator("#stage").get_attribute("data-does") == "choose" and button == "left"
        if chooses:  # Alt: this click means the object that is edited, or a new one
            page.keyboard.down("Alt")
        page.mouse.click(*at, button=button, delay=hold)
        if chooses:
            page.keyboard.up("Alt")
        count = page.evaluate(ANSWERED, count)
        time.sleep(0.2)
    painted = page.evaluate(ENTRIES, "segue:click-to-painted")[3:]
    saved = page.evaluate(ENTRIES, "segue:click-to-saved")[3:]
    presses = page.evaluate("performance.getEntriesByName('pressed').map((m) => m.startTime)")
    payload, objects = page.evaluate(PAYLOAD), page.locator("#object-list .object").count()
    page.close()
    steps = {"request": "sent", "server": "answered", "decode": "decoded", "draw": "drawn", "paint": "end"}
    ends = ["start", *steps.values()]
    return {
        "painted": _spread([entry["total"] for entry in painted]),
        "pressed": _spread([entry["end"] - max(p for p in presses if p <= entry["start"]) for entry in painted]),
        "saved": _spread([entry["total"] for entry in saved]),
        "parts": {
            part: _spread([entry[end] - entry[begin] for entry in painted])["p50"]
            for part, begin, end in zip(steps, ends[:-1], ends[1:], strict=True)
        },
        "server": {part: _spread([entry[part] for entry in saved])["p50"] for part in ("wait", "model", "save")},
        "payload": payload,
        "objects": objects,
    }


def _fill(chromium: Any, address: str, objects: int) -> None:
    """Put ``objects`` painted disks into the second image, through the page's own brush and requests."""
    page = _open(chromium, address, 2)
    page.evaluate(
        """async (count) => {
          const { Stroke } = await import('./brush.js');
          const { act } = await import('./actions.js');
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
    parser = argparse.ArgumentParser(prog="python lab/annotator/measure.py", description=measure.__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--reach", type=float, default=0.1, help="how far corrections fall from the first click")
    parser.add_argument("--images", type=int, help="measure opening a folder of so many images instead")
    parser.add_argument("--hold", type=float, default=HOLD, help="milliseconds that the button is down")
    given = parser.parse_args()
    if given.images:
        result = measure_folder(given.images)
    else:
        result = measure(given.model, given.clicks, given.objects, reach=given.reach, hold=given.hold)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
