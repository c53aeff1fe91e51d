"""Ten objects of the validation split as `nano` answers the robot: after one click and after three.

    python examples/nano_overlays.py configs/nano-8.yaml -o docs/nano-overlays.jpg

The true outline is yellow, positive clicks are green and negative ones red.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from validation_split import photos

import segue
from segue.core.types import Image, Mask
from segue.data.image import write_image
from segue.data.overlay import overlay
from segue.jobs.config import TrainConfig
from segue.session.robot import Course, play

SHOWN, SIDE = (1, 3), 220


def tile(image: Image, mask: Mask, truth: Mask, course: Course) -> Image:
    """One answer on a white square, its clicks and IoU written below."""
    scale = SIDE / max(image.shape[:2])
    drawn = np.ascontiguousarray(overlay(image, mask, course.clicks))
    outlines, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (255, 220, 0), max(1, round(1 / scale)))
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    square = np.full((SIDE + 18, SIDE + 4, 3), 255, np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    count = f"{len(course.clicks)} click{'s' * (len(course.clicks) > 1)}: IoU {course.ious[-1]:.2f}"
    cv2.putText(square, count, (2, SIDE + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return square


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of the training")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/nano-overlays.jpg"))
    parser.add_argument("--objects", type=int, default=10)
    options = parser.parse_args(arguments)
    every = [(i, m, v) for _, i, masks, v in photos(TrainConfig.read(options.config)) for m in masks]
    model, columns = segue.load("nano", device="cpu"), []
    for image, truth, void in every[:: max(1, len(every) // options.objects)][: options.objects]:
        tiles: list[Image] = []

        def watch(
            course: Course, mask: Mask, image: Image = image, truth: Mask = truth, tiles: list[Image] = tiles
        ) -> None:
            if len(course.clicks) in SHOWN:
                tiles.append(tile(image, mask, truth, course))

        course = play(segue.Session(model, image), truth, void, max_clicks=max(SHOWN), boundary=False, watch=watch)
        columns.append(np.vstack(tiles + [np.full_like(tiles[0], 255)] * (len(SHOWN) - len(tiles))))
        print(" ".join(f"{iou:.2f}" for iou in course.ious), flush=True)
    half = -(-len(columns) // 2)
    rows = [
        np.hstack([*row, *[np.full_like(row[0], 255)] * (half - len(row))])
        for row in (columns[:half], columns[half:])
        if row
    ]
    write_image(options.output, np.vstack(rows), quality=88)


if __name__ == "__main__":
    main()
