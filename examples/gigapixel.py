"""Clicks in a TIFF of more than 2 GB within 1 GiB of memory.

python examples/gigapixel.py make big.tif
python examples/gigapixel.py click big.tif -o seen
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile

import segue
from segue.core.types import Image
from segue.data.io.drawing import overlay
from segue.data.io.image import open_image, read_image, write_image
from segue.data.io.tiff import write_mask_tiff
from segue.session.windowed import WindowedSession

SAMPLES = Path(segue.__file__).parent / "samples"
SIDE, TILE = 27_136, 512
PLACES = {"cat": (24_000, 1_000), "cat four times as large": (12_000, 14_000), "coffee": (3_000, 20_000)}
CLICKS = {
    "cat": [segue.Click(24_225, 1_180)],
    "cat four times as large": [segue.Click(12_900, 14_700), segue.Click(13_600, 14_200, positive=False)],
    "coffee": [segue.Click(3_300, 20_150)],
}


def photos() -> dict[str, Image]:
    cat, coffee = (read_image(SAMPLES / f"{name}.jpg") for name in ("cat", "coffee"))
    large = cv2.resize(cat, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    return {"cat": cat, "cat four times as large": large, "coffee": coffee}


def tiles(side: int) -> Iterator[Image]:
    """Photos on a noisy canvas, tile by tile."""
    noise = np.random.default_rng(0).integers(90, 130, (TILE, TILE, 3), dtype=np.uint8)
    every = photos()
    for top in range(0, side, TILE):
        for left in range(0, side, TILE):
            tile = noise.copy()
            for name, (x, y) in PLACES.items():
                height, width = every[name].shape[:2]
                x0, y0, x1, y1 = max(left, x), max(top, y), min(left + TILE, x + width), min(top + TILE, y + height)
                if x0 < x1 and y0 < y1:
                    tile[y0 - top : y1 - top, x0 - left : x1 - left] = every[name][y0 - y : y1 - y, x0 - x : x1 - x]
            yield tile


def make(path: Path, side: int = SIDE) -> None:
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(tiles(side), shape=(side, side, 3), dtype=np.uint8, tile=(TILE, TILE), photometric="rgb")
    print(f"{path}: {path.stat().st_size:,} bytes")


def click(path: Path, output: Path) -> float:
    """Segment every photo on the canvas; the peak of resident memory in GiB."""
    model = segue.load("nano")
    with open_image(path) as source:
        for name, clicks in CLICKS.items():
            session, started = WindowedSession(model, source), time.process_time()
            for one in clicks:
                rle = session.add(one)
            seconds = time.process_time() - started
            assert session.area is not None
            x0, y0, x1, y1 = session.area
            seen = [segue.Click(c.x - x0, c.y - y0, c.positive) for c in clicks]
            crop, x, y = rle.crop()
            mask = np.zeros((y1 - y0, x1 - x0), bool)
            mask[y - y0 : y - y0 + crop.shape[0], x - x0 : x - x0 + crop.shape[1]] = crop
            stem = name.replace(" ", "-")
            write_image(output / f"{stem}.jpg", overlay(source.window(session.area), mask, seen))
            write_mask_tiff(output / f"{stem}.tif", rle)
            print(
                f"{name}: {len(clicks)} clicks, {rle.area:,} pixels, window {x1 - x0} x {y1 - y0}, "
                f"{seconds:.1f} processor seconds, peak {peak():.2f} GiB"
            )
        write_image(output / "overview.jpg", source.overview(600)[0])
    print(f"peak {peak():.2f} GiB, libraries and model included")
    return peak()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "click"))
    parser.add_argument("path", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("seen"))
    given = parser.parse_args()
    if given.what == "make":
        make(given.path)
    else:
        click(given.path, given.output)
