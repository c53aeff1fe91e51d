"""Photos with label maps, packed for training: decoded once into memory maps, since a JPEG costs as much to decode as
a training step's encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.geometry import mask_box
from segue.data.record import AnnotatedImage, Sample

IGNORE = 255
CANVAS = 512
MOST_OBJECTS = 199  # labels above are those of what is pasted
Objects: TypeAlias = Mapping[int, tuple[int, int, int, int, int]]  # label: area, x0, y0, x1, y1 on the canvas


@dataclass(frozen=True)
class PackedPhoto:
    """One packed photo: its group (folder), file stem, size (h, w) and objects on the canvas."""

    group: str
    stem: str
    size: tuple[int, int]
    objects: Objects


@dataclass(frozen=True)
class Pack:
    """Memory maps of all photos: images (N, CANVAS, CANVAS, 3), labels (N, CANVAS, CANVAS), uint8."""

    photos: Sequence[PackedPhoto]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def held_out(self, share: float) -> tuple[list[int], list[int]]:
        """Indices of (training, held-out) photos, split by a hash of the file stem: stable as data is added."""

        def hashed(photo: PackedPhoto) -> float:
            return int(hashlib.sha256(photo.stem.encode()).hexdigest()[:8], 16) / 2**32

        rest = [i for i, s in enumerate(self.photos) if hashed(s) >= share]
        held = [i for i, s in enumerate(self.photos) if hashed(s) < share and s.objects]
        return rest, held


def build_pack(folders: Sequence[Path], cache: Path, canvas: int = CANVAS) -> Pack:
    """Decode every ``images/*`` with its ``masks/*.png`` under `folders` into `cache`; reuse what is there.

    A folder of photos without ``masks`` gives photos without objects (backgrounds for pasting).
    """
    pairs = [(folder, image, mask) for folder in folders for image, mask in pairs_of(folder)]
    if not pairs:
        raise DataError(
            f"{', '.join(map(str, folders)) or 'no folder'}",
            "folders of images/ and masks/",
            "name the folders that hold the training photos",
        )
    key = hashlib.sha256(json.dumps([str(i) for _, i, _ in pairs] + [canvas]).encode()).hexdigest()[:16]
    home = cache / key
    index = home / "scenes.json"
    shape = (len(pairs), canvas, canvas)
    if not index.exists():
        home.mkdir(parents=True, exist_ok=True)
        images = np.memmap(home / "images.u8", np.uint8, "w+", shape=(*shape, 3))
        labels = np.memmap(home / "labels.u8", np.uint8, "w+", shape=shape)
        rows = [pack_one(pair, images[i], labels[i]) for i, pair in enumerate(pairs)]
        images.flush()
        labels.flush()
        index.write_text(json.dumps(rows))
    rows = json.loads(index.read_text())
    photos = [PackedPhoto(g, s, (h, w), {int(k): tuple(v) for k, v in o.items()}) for g, s, (h, w), o in rows]
    return Pack(
        photos,
        np.memmap(home / "images.u8", np.uint8, "r", shape=(*shape, 3)),
        np.memmap(home / "labels.u8", np.uint8, "r", shape=shape),
    )


def pairs_of(folder: Path) -> list[tuple[Path, Path | None]]:
    """(image, mask or None) of one folder, sorted by name."""
    if not (folder / "images").is_dir():
        return [(p, None) for p in sorted(folder.glob("*.jpg"))]
    pairs: list[tuple[Path, Path | None]] = []
    for image in sorted((folder / "images").iterdir()):
        mask = folder / "masks" / f"{image.stem}.png"
        if not mask.exists():
            raise DataError(
                f"{image} without {mask}",
                "a mask of the same stem for every image",
                "add the mask or remove the image",
            )
        pairs.append((image, mask))
    return pairs


def pack_one(
    pair: tuple[Path, Path, Path | None], image_row: NDArray[np.uint8], label_row: NDArray[np.uint8]
) -> tuple[str, str, tuple[int, int], Objects]:
    """Write one photo (shrunk to the canvas if larger) and its label map; return its row of the index."""
    folder, image_path, mask_path = pair
    image = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{image_path}, which no decoder reads", "a photo", "remove or replace the file")
    labels = (
        np.zeros(image.shape[:2], np.uint8) if mask_path is None else cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)
    )
    if labels is None or labels.shape != image.shape[:2]:
        raise DataError(f"{mask_path} of another size than {image_path}", "one label map per photo, same size")
    return folder.name, image_path.stem, *place_on_canvas(image[:, :, ::-1], labels, image_row, label_row)


def place_on_canvas(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], image_row: NDArray[np.uint8], label_row: NDArray[np.uint8]
) -> tuple[tuple[int, int], Objects]:
    """Write an image and its label map into the upper left of the canvas, shrunk if larger; size and objects there."""
    scale = min(1.0, label_row.shape[0] / max(labels.shape))
    h, w = (max(1, round(side * scale)) for side in labels.shape)
    if scale < 1:
        image = cv2.resize(np.ascontiguousarray(image), (w, h), interpolation=cv2.INTER_AREA)
        labels = cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST)
    image_row[:h, :w], label_row[:h, :w] = image, labels
    objects = {}
    for value in np.unique(labels).tolist():
        if value not in (0, IGNORE):
            inside = labels == value
            box = mask_box(inside)
            assert box is not None
            objects[value] = (int(inside.sum()), *box)
    return (h, w), objects


def pack_samples(samples: Sequence[Sample], canvas: int = 448) -> Pack:
    """Samples in memory as the training loop's views want them: shrunk to ``canvas``, label maps of 8 bit.

    Overlapping objects: the smaller lies on top. Raises ``DataError`` where no sample has an object.
    """
    images = np.zeros((len(samples), canvas, canvas, 3), np.uint8)
    labels = np.zeros((len(samples), canvas, canvas), np.uint8)
    photos: list[PackedPhoto] = []
    for row, sample in enumerate(samples):
        image, target = sample.read()
        size, objects = place_on_canvas(image, label_map(target, image.shape[:2]), images[row], labels[row])
        photos.append(PackedPhoto("adapt", sample.id, size, objects))
    if not any(p.objects for p in photos):
        raise DataError("training images without any object", "at least one mask that is not empty")
    return Pack(photos, images, labels)


def label_map(target: AnnotatedImage, size: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W) uint8 of at most 199 objects, the smaller over the larger, ignored pixels 255."""
    labels = np.zeros(tuple(size[:2]), np.uint8)
    largest = sorted(target.annotations, key=lambda i: -i.area)
    for value, instance in enumerate(largest[:MOST_OBJECTS], start=1):
        labels[instance.mask] = value
    if target.ignore_mask is not None:
        labels[target.ignore_mask] = IGNORE
    return labels
