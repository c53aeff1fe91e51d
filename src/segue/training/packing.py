"""Photos with label maps, packed for training: decoded once into memory maps, since a JPEG costs as much to decode as
a training step's encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.geometry import label_boxes
from segue.core.types import Image
from segue.data.record import AnnotatedImage, Sample

IGNORE = 65535  # the label of what is left out; 8-bit label maps say 255
LARGEST = 1280  # pixels of the longer side of a packed photo
Objects: TypeAlias = Mapping[int, tuple[int, int, int, int, int]]  # label: area, x0, y0, x1, y1
Labels: TypeAlias = NDArray[np.uint16]


@dataclass(frozen=True)
class PackedPhoto:
    """One packed photo: its group (folder), file stem, size (h, w), objects, and where its pixels begin."""

    group: str
    stem: str
    size: tuple[int, int]
    objects: Objects
    start: int


@dataclass(frozen=True)
class Pack:
    """All photos at their own sizes, one after the other: pixels (n, 3) uint8 and labels (n,) uint16, row by row."""

    photos: Sequence[PackedPhoto]
    pixels: NDArray[np.uint8]
    labels: Labels

    def image(self, index: int) -> Image:
        """The photo's pixels (h, w, 3), RGB; a view of the pack."""
        return self.pixels[self._range(index)].reshape(*self.photos[index].size, 3)

    def label_map(self, index: int) -> Labels:
        """Its labels (h, w): 0 background, ``IGNORE`` left out; a view of the pack."""
        return self.labels[self._range(index)].reshape(self.photos[index].size)

    def held_out(self, share: float) -> tuple[list[int], list[int]]:
        """Indices of (training, held-out) photos, split by a hash of the file stem: stable as data is added."""

        def hashed(photo: PackedPhoto) -> float:
            return int(hashlib.sha256(photo.stem.encode()).hexdigest()[:8], 16) / 2**32

        rest = [i for i, s in enumerate(self.photos) if hashed(s) >= share]
        held = [i for i, s in enumerate(self.photos) if hashed(s) < share and s.objects]
        return rest, held

    def _range(self, index: int) -> slice:
        photo = self.photos[index]
        return slice(photo.start, photo.start + photo.size[0] * photo.size[1])


def build_pack(folders: Sequence[Path], cache: Path, largest: int = LARGEST) -> Pack:
    """Decode every ``images/*`` with its ``masks/*.png`` under ``folders`` into ``cache``; reuse what is there.

    Photos whose longer side exceeds ``largest`` pixels are shrunk to it. A folder of photos without ``masks`` gives
    photos without objects (backgrounds for pasting).
    """
    pairs = [(folder, image, mask) for folder in folders for image, mask in pairs_of(folder)]
    if not pairs:
        raise DataError(
            f"{', '.join(map(str, folders)) or 'no folder'}",
            "folders of images/ and masks/",
            "name the folders that hold the training photos",
        )
    key = hashlib.sha256(
        json.dumps([str(i.resolve()) for _, i, _ in pairs] + [largest, "own sizes"]).encode()
    ).hexdigest()[:16]
    home = cache / key
    index = home / "photos.json"
    if not index.exists():
        home.mkdir(parents=True, exist_ok=True)
        rows, start = [], 0
        with (home / "pixels.u8").open("wb") as pixels, (home / "labels.u16").open("wb") as maps:
            for folder, image_path, mask_path in pairs:
                image, labels = shrunk(*read_pair(image_path, mask_path), largest)
                rows.append((folder.name, image_path.stem, labels.shape, objects_of(labels), start))
                pixels.write(image.tobytes())
                maps.write(labels.tobytes())
                start += labels.size
        index.write_text(json.dumps(rows))
    photos = [
        PackedPhoto(group, stem, (h, w), {int(k): tuple(v) for k, v in objects.items()}, start)
        for group, stem, (h, w), objects, start in json.loads(index.read_text())
    ]
    pixels_map = np.memmap(home / "pixels.u8", np.uint8, "r").reshape(-1, 3)
    return Pack(photos, pixels_map, np.memmap(home / "labels.u16", np.uint16, "r"))


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


def read_pair(image_path: Path, mask_path: Path | None) -> tuple[Image, Labels]:
    """A photo (h, w, 3) and its labels (h, w); raises ``DataError`` where one can't be read or they don't fit."""
    image = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{image_path}, which no decoder reads", "a photo", "remove or replace the file")
    if mask_path is None:
        return image[:, :, ::-1], np.zeros(image.shape[:2], np.uint16)
    stored = cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.shape != image.shape[:2]:
        raise DataError(f"{mask_path} of another size than {image_path}", "one label map per photo, same size")
    labels = stored.astype(np.uint16)
    if stored.dtype == np.uint8:
        labels[stored == 255] = IGNORE
    return image[:, :, ::-1], labels


def shrunk(image: Image, labels: Labels, largest: int) -> tuple[Image, Labels]:
    """Both with the longer side at most ``largest`` pixels."""
    scale = largest / max(labels.shape)
    if scale >= 1:
        return np.ascontiguousarray(image), labels
    size = tuple(max(1, round(side * scale)) for side in labels.shape[::-1])
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return small, cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)


def objects_of(labels: Labels) -> Objects:
    """Area and bounding box of every label but background and what is left out.

    >>> objects_of(np.array([[0, 300, 300], [IGNORE, 300, 7]], np.uint16))
    {7: (1, 2, 1, 3, 2), 300: (3, 1, 0, 3, 2)}
    """
    known = np.where(labels == IGNORE, 0, labels)
    areas = np.bincount(known.ravel())
    return {label: (int(areas[label]), *box) for label, box in label_boxes(known).items()}


def pack_samples(samples: Iterable[Sample], largest: int = 448) -> Pack:
    """Samples in memory as the training loop's views want them.

    Overlapping objects: the smaller lies on top. Raises ``DataError`` where no sample has an object.
    """
    photos, images, maps, start = list[PackedPhoto](), list[Image](), list[Labels](), 0
    for sample in samples:
        image, target = sample.read()
        image, labels = shrunk(image, label_map(target, image.shape[:2]), largest)
        photos.append(PackedPhoto("adapt", sample.id, (labels.shape[0], labels.shape[1]), objects_of(labels), start))
        images.append(image.reshape(-1, 3))
        maps.append(labels.ravel())
        start += labels.size
    if not any(p.objects for p in photos):
        raise DataError("training images without any object", "at least one mask that is not empty")
    return Pack(photos, np.concatenate(images), np.concatenate(maps))


def label_map(target: AnnotatedImage, size: Sequence[int]) -> Labels:
    """(H, W), the smaller objects over the larger, ignored pixels ``IGNORE``."""
    labels = np.zeros(tuple(size[:2]), np.uint16)
    for value, instance in enumerate(sorted(target.annotations, key=lambda i: -i.area), start=1):
        labels[instance.mask] = value
    if target.ignore_mask is not None:
        labels[target.ignore_mask] = IGNORE
    return labels
