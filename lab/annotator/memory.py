"""How much memory the annotator's server takes at most: ``python lab/annotator/memory.py``.

Two trials, each with a fresh server in a process of its own: photos opened in turn (as a person who pages through a
folder does it: opened, shown, encoded, with thumbnails), and parallel requests for one photo of 144 megapixels.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
from measure import command  # the script beside this one

from segue.annotator.config import SAMPLES

LARGE = (12000, 12000)  # (H, W): 144 megapixels


def opened_in_turn(images: int, size: tuple[int, int] = (1080, 1920), model: str = "nano") -> dict[str, Any]:
    """Megabytes of the server while ``images`` photos of ``size`` (H, W) are opened one after the other."""
    with tempfile.TemporaryDirectory(prefix="segue-memory-") as home:
        folder = _photos(Path(home), size, images)
        with command(folder, model) as (address, server), httpx.Client(base_url=address, timeout=120) as client:
            began, levels = time.perf_counter(), []
            for number in range(1, images + 1):
                client.post(f"/api/images/{number}/open", json={}).raise_for_status()
                client.get(f"/api/images/{number}/photo").raise_for_status()
                client.get(f"/api/images/{number}/thumbnail").raise_for_status()
                _until_encoded(client, number)
                if number % max(1, images // 20) == 0:
                    levels.append((number, round(server.memory())))
                    seconds = time.perf_counter() - began
                    left = seconds / number * (images - number)
                    sys.stderr.write(
                        f"{number} of {images}, {number / seconds:.1f}/s, {left:.0f} s left: {levels[-1]}\n"
                    )
            peak = server.peak()
    return {"images": images, "photo": f"{size[1]} x {size[0]}", "peak_mb": peak, "resident_mb": levels}


def requested_at_once(requests: int, model: str = "nano") -> dict[str, Any]:
    """Megabytes of the server at most, while ``requests`` ask at once for the picture and the thumbnail of a
    flat TIFF of 144 megapixels, which browsers cannot show, then of a PNG of as many."""
    with tempfile.TemporaryDirectory(prefix="segue-memory-") as home:
        folder = Path(home) / "photos"
        folder.mkdir()
        PIL.Image.fromarray(np.zeros((LARGE[0], LARGE[1], 3), np.uint8)).save(folder / "b.png")
        PIL.Image.fromarray(np.zeros((LARGE[0], LARGE[1], 3), np.uint8)).save(folder / "a.tif", compression="tiff_lzw")
        with command(folder, model) as (address, server):
            seconds = {name: _ask_at_once(address, number, requests) for number, name in ((1, "tif"), (2, "png"))}
            peak = server.peak()
    return {"requests": requests, "photo": f"{LARGE[1]} x {LARGE[0]}", "seconds": seconds, "peak_mb": peak}


def _ask_at_once(address: str, number: int, requests: int) -> float:
    """Open an image, and ask for its picture and thumbnail ``requests`` times at one time; seconds until all came."""
    with httpx.Client(base_url=address, timeout=600) as client:
        client.post(f"/api/images/{number}/open", json={}).raise_for_status()
    began, codes = time.perf_counter(), []

    def ask(what: str) -> None:
        codes.append(httpx.get(f"{address}api/images/{number}/{what}", timeout=600).status_code)

    asks = [threading.Thread(target=ask, args=(what,)) for what in ("photo", "thumbnail") for _ in range(requests)]
    for one in asks:
        one.start()
    for one in asks:
        one.join()
    if codes != [200] * len(asks):
        raise RuntimeError(f"answers {codes}")
    return round(time.perf_counter() - began, 1)


def _until_encoded(client: httpx.Client, number: int) -> None:
    encoding = ""
    while encoding not in ("ready", "failed"):
        time.sleep(0.02)
        encoding = client.get("/api/status", params={"image": number}).json()["image"]["state"]
    if encoding == "failed":
        raise RuntimeError(f"image {number} could not be encoded")


def _photos(home: Path, size: tuple[int, int], count: int) -> Path:
    """A folder of ``count`` names of the samples, each ``size`` (H, W)."""
    folder = home / "photos"
    folder.mkdir()
    sources = sorted(SAMPLES.glob("*.jpg"))
    for number, path in enumerate(sources):
        with PIL.Image.open(path) as sample:
            image = sample.convert("RGB").resize((size[1], size[0]), PIL.Image.Resampling.LANCZOS)
            image.save(home / f"{number}.jpg", quality=92)
    for number in range(count):
        (folder / f"{number:05d}.jpg").hardlink_to(home / f"{number % len(sources)}.jpg")
    return folder


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python lab/annotator/memory.py", description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000, help="opened in turn; 0 leaves this trial out")
    parser.add_argument("--requests", type=int, default=6, help="at one time; 0 leaves this trial out")
    given = parser.parse_args()
    result = {}
    if given.requests:
        result["requested_at_once"] = requested_at_once(given.requests)
    if given.images:
        result["opened_in_turn"] = opened_in_turn(given.images)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
