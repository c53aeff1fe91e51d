"""Shrink folders of images/ and masks/ (and of cut-outs) so that they fit an upload.

`python pack_training_data.py SOURCE TARGET --longest 448 --quality 80`; the layout stays, so that `data.root` in a
training configuration may point to either.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2


def pack(source: Path, target: Path, longest: int = 448, quality: int = 80) -> int:
    """Copy every folder of ``source``, photos with the longer side at most ``longest`` pixels; bytes written."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix not in (".jpg", ".png"):
            shutil.copyfile(path, copy)
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise ValueError(f"{path} is no picture that OpenCV reads")
        scale = min(1.0, longest / max(picture.shape[:2]))
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        is_mask = path.parent.name == "masks"
        if scale < 1:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if is_mask else cv2.INTER_AREA)
        options = [cv2.IMWRITE_PNG_COMPRESSION, 9] if is_mask else [cv2.IMWRITE_JPEG_QUALITY, quality]
        cv2.imwrite(str(copy), picture, options)
    return sum(p.stat().st_size for p in target.rglob("*") if p.is_file())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--longest", type=int, default=448)
    parser.add_argument("--quality", type=int, default=80)
    given = parser.parse_args()
    written = pack(given.source, given.target, given.longest, given.quality)
    print(f"{written / 2**20:.1f} MiB in {given.target}")
