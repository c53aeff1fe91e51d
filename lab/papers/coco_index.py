"""Time and memory to the first training step on an index as large as COCO's: 118,000 images, 826,000 polygons.

    python lab/papers/coco_index.py /tmp/coco --images 118000

Photos are hard links to a handful of small files; the index is written polygon by polygon.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import cv2
import numpy as np

from segue.jobs.train import train
from segue.models.registry import MODELS
from segue.training.config import TrainConfig

EACH, SIZE, KINDS = 7, (480, 640), 16  # objects of an image, its height and width, different photos


def build(folder: Path, images: int) -> Path:
    """The index file, and the photos beside it."""
    rng = np.random.default_rng(0)
    photos, index = folder / "images", folder / "annotations" / "instances.json"
    for place in (photos, index.parent):
        place.mkdir(parents=True, exist_ok=True)
    for kind in range(KINDS):
        picture = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{kind}.jpg"), picture)
    for number in range(images):
        os.link(folder / f"{number % KINDS}.jpg", photos / f"{number:012d}.jpg")
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    with index.open("w") as file:
        rows = ({"id": n, "file_name": f"{n:012d}.jpg", "height": SIZE[0], "width": SIZE[1]} for n in range(images))
        file.write('{"categories": [{"id": 1, "name": "thing"}], "images": [')
        file.write(", ".join(map(json.dumps, rows)) + '], "annotations": [')
        for number in range(images * EACH):
            radius, middle = rng.uniform(20, 100), rng.uniform(100, 380, 2)
            ring = np.stack([middle[0] + radius * np.cos(turn), middle[1] + radius * np.sin(turn)], 1)
            box = [*(ring.min(0)), *np.ptp(ring, 0)]
            row = {"id": number, "image_id": number // EACH, "category_id": 1, "iscrowd": 0, "area": 3.1 * radius**2}
            row |= {"bbox": np.round(box, 2).tolist(), "segmentation": [np.round(ring.ravel(), 2).tolist()]}
            file.write((", " if number else "") + json.dumps(row))
        file.write("]}")
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=118_000)
    options = parser.parse_args()
    index = options.folder / "annotations" / "instances.json"
    if not index.is_file():
        index = build(options.folder, options.images)
    model = {"model": "simpleclick-xtiny", "config": dict(MODELS["simpleclick-xtiny"].tiny), "steps": 1, "batch": 2}
    crops = {"sources": [{"path": index, "photos": options.folder / "images"}], "size": 64, "scale": (0.2, 0.3)}
    output = {"output": options.folder / "run", "force": True, "device": "cpu", "precision": "fp32", "log_every": 1}
    began, processor = time.monotonic(), time.process_time()
    train(TrainConfig.from_fields(**model, **output, crops={**crops, "least_area": 10}))
    spent, worked = time.monotonic() - began, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    megabytes = index.stat().st_size / 2**20
    print(f"{options.images} images, {megabytes:.0f} MiB index: first step after {spent:.1f} s", end="")
    print(f" ({worked:.1f} s of processor time), peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
