"""Reading a large COCO file beside pycocotools, in the same run: rates and memory.

python lab/formats/coco_rate.py --annotations 100000

Both decode every mask into run lengths; processor seconds and the growth of the resident set are given.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from segue.data.formats.coco import Coco
from segue.data.record import Options

PER_IMAGE = 7  # as in COCO's own training set


def write(file: Path, count: int) -> None:
    """``count`` annotations, polygons of 20 points, on images of 640 x 480."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    file.parent.mkdir(parents=True)
    with file.open("w") as stream:
        images = -(-count // PER_IMAGE)
        rows = (f'{{"id":{k},"file_name":"{k:012d}.jpg","width":640,"height":480}}' for k in range(images))
        stream.write(f'{{"images":[{",".join(rows)}],"annotations":[')
        for k in range(count):
            centre, radius = rng.uniform((60, 60), (580, 420)), rng.uniform(10, 55, 20)
            ring = np.round(centre + radius[:, None] * np.stack((np.cos(angles), np.sin(angles)), 1), 2).reshape(-1)
            row = {
                "id": k,
                "image_id": k // PER_IMAGE,
                "category_id": 1,
                "iscrowd": 0,
                "area": 1.0,
                "bbox": [0, 0, 1, 1],
            }
            stream.write(("," if k else "") + json.dumps(row | {"segmentation": [ring.tolist()]}))
        stream.write('],"categories":[{"id":1,"name":"thing"}]}')


def ours(folder: str) -> int:
    """Objects read by segue, one image in memory at a time."""
    data = Coco().open(Path(folder), Options())
    return sum(len(image.annotations) for image in data.read())


def theirs(folder: str) -> int:
    """Objects read by pycocotools: the file at once, each annotation turned into run lengths."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO(Path(folder, "annotations", "instances.json"))
    return sum(bool(data.annToRLE(one)) for image in data.getImgIds() for one in data.imgToAnns[image])


def measured(run: Callable[[str], int], folder: str) -> tuple[int, float, float]:
    """Objects, processor seconds and megabytes that the resident set grew by, in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (run, folder))


def _measured(run: Callable[[str], int], folder: str) -> tuple[int, float, float]:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    count = run(folder)
    return count, time.process_time() - started, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=int, default=100_000)
    count = parser.parse_args(arguments).annotations
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "annotations", "instances.json")
        write(file, count)
        print(f"{count} annotations, {file.stat().st_size / 1e6:.0f} MB")
        for name, run in (("segue", ours), ("pycocotools", theirs)):
            objects, seconds, grown = measured(run, folder)
            print(f"{name}: {objects} objects, {objects / seconds:.0f} a second, {grown:.0f} MB more")


if __name__ == "__main__":
    main()
