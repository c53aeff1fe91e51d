"""What each format gives back, case by case, and how fast it is converted.

python lab/formats/exchange_tables.py                  # what survives
python lab/formats/exchange_tables.py --images 1000    # rates on 5,000 synthetic annotations, in processor time
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from segue.core.types import Mask
from segue.data.formats.base import WriteOptions
from segue.data.formats.registry import FORMATS, format_named
from segue.data.io.image import write_image
from segue.data.record import AnnotatedImage, Annotation
from segue.data.rle import Rle, overlap
from segue.jobs.convert_data import ConvertDataConfig, convert_data

SIZE = 48, 64
EXCHANGE = [name for name, row in FORMATS.items() if row.exchange]
POLYGONS = [name for name in EXCHANGE if FORMATS[name].polygons]


def boxes(*places: tuple[int, int, int, int]) -> Mask:
    """(x0, y0, x1, y1) put in and cut out by turns."""
    mask = np.zeros(SIZE, bool)
    for k, (x0, y0, x1, y1) in enumerate(places):
        mask[y0:y1, x0:x1] = k % 2 == 0
    return mask


def disc(x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    mask: Mask = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    return mask


def cases() -> dict[str, tuple[list[Mask], Mask | None]]:
    """Name -> the objects of one image, and its void pixels."""
    noise = np.random.default_rng(0).random(SIZE) < 0.5
    one = np.zeros(SIZE, bool)
    one[20, 30] = True
    return {
        "plain": ([disc(30, 20, 15)], None),
        "hole": ([disc(30, 20, 15) & ~disc(27, 20, 5)], None),
        "island in a hole": ([boxes((5, 5, 45, 40), (10, 10, 40, 35), (20, 20, 25, 25))], None),
        "several parts": ([disc(15, 15, 8) | disc(45, 30, 10)], None),
        "parts that touch at a corner": ([np.kron(np.eye(2, dtype=bool), np.ones((24, 32), bool))], None),
        "at the border": ([boxes((0, 0, 64, 48), (15, 15, 64, 48))], None),
        "the whole image": ([np.ones(SIZE, bool)], None),
        "one pixel": ([one], None),
        "noise": ([noise], None),
        "objects that overlap": ([disc(25, 20, 12), disc(37, 22, 12)], None),
        "void pixels": ([disc(30, 20, 10)], boxes((0, 35, 64, 48))),
    }


def survives(name: str, found: Sequence[Mask], ignore_mask: Mask | None, choices: WriteOptions) -> str:
    """ "exact", the least IoU of an object, or what was dropped, for an image written and read again; a loss that the
    writer did not name is an error."""
    entries = tuple(Annotation("thing", Rle.from_mask(mask), str(k)) for k, mask in enumerate(found))
    with tempfile.TemporaryDirectory() as at:
        write_image(Path(at, "a.png"), np.zeros((*SIZE, 3), np.uint8))
        sheet = AnnotatedImage(
            "a.png", SIZE, entries, Path(at, "a.png"), None if ignore_mask is None else Rle.from_mask(ignore_mask)
        )
        with format_named(name).writer(Path(at, "out"), choices) as writer:
            losses = writer.add(sheet)
        (again,) = format_named(name).read(Path(at, "out"))
    kept = [overlap(a.rle, b.rle) for a, b in zip(entries, again.annotations, strict=True)]
    lost = ignore_mask is not None and (again.ignore_rle is None or again.ignore_rle != sheet.ignore_rle)
    unnamed = [k for k, iou in enumerate(kept) if iou < 1 and not any(loss.object == str(k) for loss in losses)]
    if unnamed or (lost and not any("void" in loss.what for loss in losses)):
        raise AssertionError(f"{name} lost something without a word: {losses}")
    if lost:
        return "void dropped"
    return "exact" if min(kept) == 1 else f"IoU {min(kept):.3f}"


def survival() -> str:
    """The tables of what survives: as the formats are written, as polygons, and as simplified polygons."""
    parts = []
    for title, names, choices in (
        ("As written by default", EXCHANGE, WriteOptions()),
        ("With `--polygons`", POLYGONS, WriteOptions(polygons=True)),
        ("With `--polygons --tolerance 1`", POLYGONS, WriteOptions(polygons=True, tolerance=1.0)),
    ):
        rows = [[case, *(survives(n, *what, choices) for n in names)] for case, what in cases().items()]
        parts.append(markdown([title, *(f"`{n}`" for n in names)], rows))
    return "\n\n".join(parts)


def synthetic(count: int, photo: Path) -> Iterator[AnnotatedImage]:
    """``count`` images of 640 x 480 with five objects each, a third with holes, a quarter with a second part."""
    rng = np.random.default_rng(0)
    for number in range(count):
        entries = []
        for k in range(5):
            angles, radius = np.sort(rng.uniform(0, 2 * np.pi, 14)), rng.uniform(15, 90, 14)
            around = rng.uniform((120, 60), (480, 420))
            outline = around + radius[:, None] * np.stack((np.cos(angles), np.sin(angles)), 1)
            canvas = np.zeros((480, 640), np.uint8)
            cv2.fillPoly(canvas, [outline.astype(np.int32)], 1)
            if k % 3 == 0:
                cv2.circle(canvas, [int(v) for v in outline.mean(0)], 9, 0, -1)
            if k % 4 == 0:
                cv2.circle(canvas, [int(v) for v in rng.uniform((20, 20), (620, 460))], 12, 1, -1)
            entries.append(Annotation(f"class {k}", Rle.from_mask(canvas > 0), str(k)))
        yield AnnotatedImage(f"{number:06d}.jpg", (480, 640), tuple(entries), photo)


def rates(count: int, folder: Path) -> str:
    """Images per processor second from COCO into each format and back, and how many objects stayed exact."""
    photo = folder / "photo.jpg"
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((480, 640, 3)), (0, 0), 9)
    write_image(photo, cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8))
    with format_named("coco").writer(folder / "coco") as writer:
        for sheet in synthetic(count, photo):
            writer.add(sheet)
    rows = []
    for name in EXCHANGE:
        into, there = converted(folder / "coco", name, folder / f"to-{name}")
        back, again = converted(folder / f"to-{name}", "coco", folder / f"back-{name}")
        rows.append([f"`{name}`", f"{into:.0f}", there, f"{back:.0f}", again])
    return markdown(["format", "from COCO, images/s", "exact", "to COCO, images/s", "exact"], rows)


def converted(source: Path, name: str, output: Path) -> tuple[float, str]:
    """Images per processor second, and objects kept exactly of all."""
    started = time.process_time()
    done = convert_data(ConvertDataConfig(source=source, to=name, output=output))
    return done.images / (time.process_time() - started), f"{done.exact} of {done.objects}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, help="measure rates on this many images of five objects")
    given = parser.parse_args()
    if given.images is None:
        print(survival())
    else:
        with tempfile.TemporaryDirectory() as place:
            print(rates(given.images, Path(place)))
