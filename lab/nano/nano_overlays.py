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
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask
from segue.data.io.drawing import contact_sheet, overlay
from segue.data.io.image import write_image
from segue.evaluation.robot import simulate_clicks
from segue.training.config import TrainConfig

SHOWN, SIDE, OUTLINE = (1, 3), 220, (255, 220, 0)


def tile(image: Image, mask: Mask, target: Mask, clicks: Sequence[Click], iou: float) -> Image:
    """One answer, its clicks and IoU written below."""
    scale = SIDE / max(image.shape[:2])
    drawn = overlay(image, mask, clicks)
    outlines, _ = cv2.findContours(target.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, OUTLINE, max(1, round(1 / scale)))
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    said = np.full((18, small.shape[1], 3), 255, np.uint8)
    count = f"{len(clicks)} click{'s' * (len(clicks) > 1)}: IoU {iou:.2f}"
    cv2.putText(said, count, (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([small, said])


def tiles(model: Segmenter, image: Image, target: Mask, ignore_mask: Mask) -> list[Image]:
    """What the robot is shown after each of the clicks to show; the last again if it needs fewer."""
    masks: list[Mask] = []
    session = segue.Session(model, image)
    course = simulate_clicks(
        session, target, ignore_mask, max_clicks=max(SHOWN), boundary=False, watch=lambda _, mask: masks.append(mask)
    )
    print(" ".join(f"{iou:.2f}" for iou in course.ious), flush=True)
    counts = [min(count, len(masks)) for count in SHOWN]
    return [tile(image, masks[n - 1], target, course.clicks[:n], course.ious[n - 1]) for n in counts]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of the training")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/nano-overlays.jpg"))
    parser.add_argument("--objects", type=int, default=10)
    options = parser.parse_args(arguments)
    every = [(i, m, v) for _, i, masks, v in photos(TrainConfig.from_file(options.config)) for m in masks]
    model = segue.load("nano", device="cpu")
    chosen = every[:: max(1, len(every) // options.objects)][: options.objects]
    shown = [one for what in chosen for one in tiles(model, *what)]
    write_image(options.output, contact_sheet(shown, columns=2 * len(SHOWN), side=SIDE + 18), quality=88)


if __name__ == "__main__":
    main()
