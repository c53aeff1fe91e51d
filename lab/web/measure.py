"""The browser page beside the Python model and the annotator: ``python -m lab.web.measure PHOTOS``, from the checkout.

On up to ten photos of a folder, dialogues of a click or a box and six further clicks: the least IoU of the page's masks
with the Python ones, milliseconds to encode a photo and from click to painted mask in Chromium and Firefox, and the
annotator's click to painted in Chromium on the same machine in the same run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.annotator.measure import browser, measure
from tests.e2e.marionette import Firefox
from tests.e2e.static_page import FirefoxPage, StaticPage, dialogue, iou, serving

import segue
from segue.data.io.image import read_image
from segue.jobs.export import ExportConfig, export


def table(photos: list[Path]) -> dict[str, Any]:
    """The figures of both browsers and of the annotator."""
    model = segue.load("nano")
    with tempfile.TemporaryDirectory(prefix="segue-web-") as home:
        site = Path(home, "site")
        export(ExportConfig(output=site, to="web"))
        (site / "photos").mkdir()
        for path in photos:
            shutil.copy(path, site / "photos")
        with serving(site) as url, chromium(url) as page:
            rows = {"chromium": follow(page, lambda path: f"/photos/{path.name}", photos, model)}
        with serving(site, isolated=True) as url, chromium(url) as page:
            rows["chromium_threads"] = follow(page, lambda path: f"/photos/{path.name}", photos, model)
        with serving(site) as url, firefox(Path(home), url) as page:
            rows["firefox"] = follow(page, lambda path: path, photos, model)
    annotator = measure(clicks=20, objects=2)
    return {**rows, "annotator": {"click_to_painted_ms": annotator["click_to_painted_ms"]}}


def follow(page: Any, address: Callable[[Path], Any], photos: list[Path], model: Any) -> dict[str, Any]:
    """One browser through all dialogues."""
    encode, painted, equal = [], [], []
    for seed, path in enumerate(photos):
        encode.append(page.open(address(path)))
        session = segue.Session(model, path)
        for prompt in dialogue(read_image(path).shape[:2], seed):
            painted.append(page.add(prompt))
            wanted, mask = session.add(prompt), page.mask()
            equal.append(iou(mask, wanted) if mask is not None else float(not wanted.any()))
    return {
        "photos": len(photos),
        "prompts": len(painted),
        "least_iou": round(min(equal), 4),
        "encode_p50_ms": round(statistics.median(encode)),
        "click_to_painted_ms": {
            "p50": round(statistics.median(painted)),
            "p95": round(statistics.quantiles(painted, n=20)[-1]),
        },
    }


@contextmanager
def chromium(url: str) -> Iterator[StaticPage]:
    """The page in headless Chromium."""
    with browser() as running:
        window = running.new_page(viewport={"width": 1500, "height": 1000})
        window.goto(url)
        window.wait_for_selector("body[data-state=ready]", timeout=120_000)
        yield StaticPage(lambda body: window.evaluate(f"async () => {{{body}}}"))


@contextmanager
def firefox(home: Path, url: str) -> Iterator[FirefoxPage]:
    """The page in headless Firefox."""
    command = shutil.which("firefox-esr") or shutil.which("firefox")
    assert command, "Firefox is not installed"
    running = Firefox(command, home)
    try:
        yield FirefoxPage(running, url, running.downloads)
    finally:
        running.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    names = sorted(p for p in parser.parse_args().photos.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    print(json.dumps(table(names[:: max(1, len(names) // 10)][:10]), indent=1))
