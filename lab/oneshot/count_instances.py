"""How well one example counts: `python lab/oneshot/count_instances.py PHOTOS`, the folder of the training groups.

One object of one photo is shown, its class is counted in others of the group. Groups have several classes or a single
one; photos without the class are left out. The reference is the object nearest to the median area of the group, among
those that touch no border.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segue.core.types import Image, Mask, Reference
from segue.data.formats.registry import open_data
from segue.data.record import Options
from segue.metrics.overlap import iou
from segue.oneshot.instances import find_instances
from segue.oneshot.search import finder
from segue.session.load import load

GROUPS = {
    "strawberry_plant": ("Fruit",),
    "strawberry_yuta": ("R_strawberry",),
    "nuts_tony607": ("date", "fig", "hazelnut"),
    "mushrooms_farm": ("Mushroom",),
}


def photos(folder: Path, name: str) -> list[tuple[Image, list[Mask]]]:
    """The photos of a group that show a class, and its objects' masks."""
    loaded = [sample.load() for sample in open_data(folder, "auto", Options()).samples]
    each = [(sample, [a.mask for a in sample.annotations if a.name == name]) for sample in loaded]
    return [(sample.image(), masks) for sample, masks in each if masks]


def shown(several: Sequence[tuple[Image, list[Mask]]]) -> tuple[int, Reference]:
    """Which photo shows the example, and it."""
    inner = [
        (int(m.sum()), index, m)
        for index, (_, masks) in enumerate(several)
        for m in masks
        if not (m[0].any() or m[-1].any() or m[:, 0].any() or m[:, -1].any())
    ]
    middle = np.median([area for area, _, _ in inner])
    _, index, mask = min(inner, key=lambda row: abs(row[0] - middle))
    return index, Reference(several[index][0], mask)


def main() -> None:
    """Search and print a row for every class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--most", type=int, default=12, help="photos of a class")
    parser.add_argument("--groups", nargs="*", default=list(GROUPS))
    options = parser.parse_args()
    seeker = finder(load("nano"))
    for group in options.groups:
        for name in GROUPS[group]:
            several = photos(options.photos / group, name)
            index, reference = shown(several)
            queries = [row for number, row in enumerate(several) if number != index][: options.most]
            errors, right, made, there = [], 0, 0, 0
            for image, masks in queries:
                matches = [
                    match.prediction.mask()
                    for match in find_instances(seeker, seeker.encode([image]), reference, 200)
                    if match.score >= seeker.threshold
                ]
                errors.append(len(matches) - len(masks))
                hits = sum(max((iou(found, m) for found in matches), default=0.0) > 0.5 for m in masks)
                right, made, there = right + hits, made + len(matches), there + len(masks)
            print(
                f"{group} {name}: {len(queries)} photos, {there} objects, {made} found, {right} of them located; "
                f"mean absolute error {np.mean(np.abs(errors)):.2f}, bias {np.mean(errors):+.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
