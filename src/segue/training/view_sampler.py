"""Photos with label maps, packed for training, and random views of them as tensors.

Decoding a JPEG costs as much as a training step's encoder; the pack decodes each once into a memory map, and
the views (crop, scale, rotation, mirror) are one ``grid_sample`` on whatever device trains.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segue.core.errors import DataError
from segue.core.geometry import mask_box

VOID = 255
CANVAS = 512


@dataclass(frozen=True)
class Scene:
    """One packed photo: its group (folder), file stem, size (h, w) on the canvas and objects
    {label: (area, x0, y0, x1, y1)} in canvas pixels."""

    group: str
    stem: str
    size: tuple[int, int]
    objects: Mapping[int, tuple[int, int, int, int, int]]


@dataclass(frozen=True)
class Pack:
    """Memory maps of all scenes: images (N, CANVAS, CANVAS, 3), labels (N, CANVAS, CANVAS), uint8."""

    scenes: Sequence[Scene]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def held_out(self, share: float) -> tuple[list[int], list[int]]:
        """Indices of (training, held-out) scenes, split by a hash of the file stem: stable as data is added."""

        def hashed(scene: Scene) -> float:
            return int(hashlib.sha256(scene.stem.encode()).hexdigest()[:8], 16) / 2**32

        rest = [i for i, s in enumerate(self.scenes) if hashed(s) >= share]
        held = [i for i, s in enumerate(self.scenes) if hashed(s) < share and s.objects]
        return rest, held


def build_pack(folders: Sequence[Path], cache: Path, canvas: int = CANVAS) -> Pack:
    """Decode every ``images/*`` with its ``masks/*.png`` under `folders` into `cache`; reuse what is there.

    A folder of photos without ``masks`` gives scenes without objects (backgrounds for pasting).
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
    scenes = [Scene(g, s, (h, w), {int(k): tuple(v) for k, v in o.items()}) for g, s, (h, w), o in rows]
    return Pack(
        scenes,
        np.memmap(home / "images.u8", np.uint8, "r", shape=(*shape, 3)),
        np.memmap(home / "labels.u8", np.uint8, "r", shape=shape),
    )


def pairs_of(folder: Path) -> list[tuple[Path, Path | None]]:
    """(image, mask or None) of one folder, sorted by name."""
    if not (folder / "images").is_dir():
        return [(p, None) for p in sorted(folder.glob("*.jpg"))]
    found: list[tuple[Path, Path | None]] = []
    for image in sorted((folder / "images").iterdir()):
        mask = folder / "masks" / f"{image.stem}.png"
        if not mask.exists():
            raise DataError(
                f"{image} without {mask}",
                "a mask of the same stem for every image",
                "add the mask or remove the image",
            )
        found.append((image, mask))
    return found


def pack_one(
    pair: tuple[Path, Path, Path | None], image_row: NDArray[np.uint8], label_row: NDArray[np.uint8]
) -> tuple[str, str, tuple[int, int], dict[int, tuple[int, int, int, int, int]]]:
    """Write one photo (shrunk to the canvas if larger) and its label map; return its row of the index."""
    folder, image_path, mask_path = pair
    image = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{image_path}, which no decoder reads", "a photo", "remove or replace the file")
    label = (
        np.zeros(image.shape[:2], np.uint8) if mask_path is None else cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)
    )
    if label is None or label.shape != image.shape[:2]:
        raise DataError(f"{mask_path} of another size than {image_path}", "one label map per photo, same size")
    scale = min(1.0, image_row.shape[0] / max(label.shape))
    h, w = round(label.shape[0] * scale), round(label.shape[1] * scale)
    if scale < 1:
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
        label = cv2.resize(label, (w, h), interpolation=cv2.INTER_NEAREST)
    image_row[:h, :w] = image[:, :, ::-1]
    label_row[:h, :w] = label
    objects = {}
    for value in np.unique(label):
        if value not in (0, VOID):
            inside = label == value
            box = mask_box(inside)
            assert box is not None
            objects[int(value)] = (int(inside.sum()), *box)
    return folder.name, image_path.stem, (h, w), objects


@dataclass(frozen=True)
class Views:
    """b random square views: pixels (b, 3, S, S) float in [0, 1], labels (b, S, S) uint8 (0 background or
    unknown, 255 void), inside (b, 1, S, S) 1 where the photo is."""

    pixels: Tensor
    labels: Tensor
    inside: Tensor


class ViewSampler:
    """Random views around random objects: from the tight crop that zoom-in shows to the whole photo.

    The side of the view is log-uniform between 1.15 times the object's and the photo's, so that every zoom is
    seen equally often. Photos are drawn by group weight, objects by the square root of their area, which keeps
    crowded scenes from dominating.
    """

    def __init__(self, pack: Pack, indices: Sequence[int], weights: Mapping[str, float], generator: torch.Generator):
        self.pack, self.generator = pack, generator
        usable = [i for i in indices if pack.scenes[i].objects and weights.get(pack.scenes[i].group, 1.0) > 0]
        if not usable:
            raise DataError("no scene with objects", "at least one labelled photo with a positive weight")
        counts: dict[str, int] = {}
        for i in usable:
            counts[pack.scenes[i].group] = counts.get(pack.scenes[i].group, 0) + 1
        self.indices = usable
        self.odds = torch.tensor(
            [weights.get(pack.scenes[i].group, 1.0) / math.sqrt(counts[pack.scenes[i].group]) for i in usable]
        )

    def uniform(self, low: float, high: float) -> float:
        """One uniform draw from the sampler's own generator."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def draw(self, batch: int, size: int, device: torch.device, whole: bool = False) -> Views:
        """`batch` views of `size` x `size` pixels on `device`; the `whole` photo or most of it, if asked."""
        picks = torch.multinomial(self.odds, batch, replacement=True, generator=self.generator).tolist()
        indices = [self.indices[p] for p in picks]
        thetas = torch.stack([self.place(self.pack.scenes[i], whole) for i in indices]).to(device)
        images = torch.from_numpy(self.pack.images[indices]).to(device).permute(0, 3, 1, 2).float().div_(255)
        labels = torch.from_numpy(self.pack.labels[indices]).to(device)[:, None].float()
        inside = torch.zeros_like(labels)
        for row, i in enumerate(indices):
            h, w = self.pack.scenes[i].size
            inside[row, :, :h, :w] = 1
        shape = [batch, 1, size, size]
        grid = F.affine_grid(thetas, shape, align_corners=False)
        seen = F.grid_sample(inside, grid, mode="nearest", align_corners=False)
        pixels = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
        mapped = F.grid_sample(labels, grid, mode="nearest", align_corners=False)
        grey = 0.5 * (1 - seen)
        return Views(pixels * seen + grey, mapped[:, 0].to(torch.uint8), seen)

    def place(self, scene: Scene, whole: bool = False) -> Tensor:
        """The (2, 3) affine map from view to canvas, both in [-1, 1], of one random view of `scene`; with `whole` at
        least 0.6 of it."""
        labels = list(scene.objects)
        areas = torch.tensor([scene.objects[k][0] for k in labels], dtype=torch.float)
        label = labels[int(torch.multinomial(areas.sqrt(), 1, generator=self.generator))]
        _, x0, y0, x1, y1 = scene.objects[label]
        longest = max(scene.size)
        tight = min(max(1.15 * max(x1 - x0, y1 - y0), 48.0), 1.05 * longest)
        if whole:
            tight = max(tight, 0.63 * longest)
        side = math.exp(self.uniform(math.log(tight), math.log(1.05 * longest)))
        slack_x, slack_y = (side - (x1 - x0)) / 2, (side - (y1 - y0)) / 2
        cx = (x0 + x1) / 2 + slack_x * self.uniform(-0.9, 0.9)
        cy = (y0 + y1) / 2 + slack_y * self.uniform(-0.9, 0.9)
        half_x, half_y = (min(side, extent) / 2 for extent in (scene.size[1], scene.size[0]))
        cx = min(max(cx, half_x), scene.size[1] - half_x)  # prefer the photo to the grey around it
        cy = min(max(cy, half_y), scene.size[0] - half_y)
        turn = self.uniform(-0.25, 0.25) if self.uniform(0, 1) < 0.3 else 0.0
        stretch = math.exp(self.uniform(-0.15, 0.15))
        mirror = -1.0 if self.uniform(0, 1) < 0.5 else 1.0
        canvas = float(self.pack.labels.shape[1])
        half = side / canvas
        cos, sin = math.cos(turn) * half, math.sin(turn) * half
        return torch.tensor(
            [
                [mirror * cos * stretch, -sin / stretch, 2 * cx / canvas - 1],
                [mirror * sin * stretch, cos / stretch, 2 * cy / canvas - 1],
            ]
        )


def pick_objects(labels: Tensor, count: int, merge: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Choose `count` objects in each of b label maps (b, S, S) uint8, by the square root of visible area.

    With probability `merge` an object is joined with another of the same view, as one target.

    Returns
    -------
    rows (n,) view of each target, targets (n, 1, S, S) bool, void (n, 1, S, S) bool; views without a visible
    object give none.
    """
    rows, targets = [], []
    smallest = labels.shape[-1] ** 2 // 400
    for row, view in enumerate(labels):
        areas = torch.bincount(view.flatten().long(), minlength=256).float().cpu()
        areas[0] = areas[VOID] = 0
        odds = torch.where(areas >= smallest, areas.sqrt(), 0.0)
        present = int((odds > 0).sum())
        if present == 0:
            continue
        picks = torch.multinomial(odds, min(count, present), generator=generator).tolist()
        for pick in picks:
            target = view == pick
            if present > 1 and float(torch.rand((), generator=generator)) < merge:
                other = odds.clone()
                other[pick] = 0
                target = target | (view == int(torch.multinomial(other, 1, generator=generator)))
            rows.append(row)
            targets.append(target)
    if not rows:
        empty = torch.zeros(0, 1, *labels.shape[1:], dtype=torch.bool, device=labels.device)
        return torch.zeros(0, dtype=torch.long, device=labels.device), empty, empty
    index = torch.tensor(rows, device=labels.device)
    return index, torch.stack(targets)[:, None], (labels == VOID)[index][:, None]
