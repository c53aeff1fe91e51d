"""Measure the space in which `nano` compares a reference with other images, after its weights have changed.

    python examples/measure_match_space.py PHOTOS -o src/segue/models/nano/weights/nano-match.safetensors

Reads some tens of photos without labels; what ships was measured on 60 of `train/unlabelled_photos`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

import segue
from segue.core.types import Image
from segue.data.io.image import find_images, read_image
from segue.models.nano.model import Nano
from segue.oneshot.patch_features import Space


def measure(model: Nano, images: Sequence[Image]) -> Space:
    """Mean and spread of every channel over all cells of ``images``."""
    found = []
    with torch.inference_mode():
        for image in images:
            features = model.encode([image])
            cells = model.patch_features([image], features)[0]
            frame = features.frame
            rows = cells.shape[1] * frame.resized[0] // frame.grid[0]
            columns = cells.shape[2] * frame.resized[1] // frame.grid[1]
            found.append(cells[:, : max(1, rows), : max(1, columns)].flatten(1))
    return Space.measured(found, model.patch_widths())


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    model = segue.load("nano", device="cpu")
    assert isinstance(model, Nano)
    photos = [read_image(path) for path in find_images([given.photos])[: given.count]]
    save_file(measure(model, photos).state(), given.output)
    print(f"{len(photos)} photos, written to {given.output}")


if __name__ == "__main__":
    main()
