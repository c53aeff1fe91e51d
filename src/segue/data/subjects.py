"""Photos of one subject with their masks, as DreamBooth's training reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segue.core.errors import DataError
from segue.core.types import Image, Mask
from segue.data.io.image import find_images, read_image, read_mask


@dataclass(frozen=True)
class SubjectPhoto:
    """A photo and the mask of the subject in it."""

    image: Path
    mask: Path


class Subjects(Dataset[Mapping[str, Tensor]]):
    """A folder of photos and a folder of masks with equal stems -> square pictures in [-1, 1] and their masks.

    Picture and mask are resized (shorter side to ``size``), cut and mirrored together, so that every pixel of
    the loss knows whether it is subject. Photos without a mask, or whose mask is empty, are left out:
    ``segue find`` writes an empty mask where the subject is absent. ``crop`` "random" or "center"; ``flip``
    mirrors every second picture at random.

    Raises ``DataError`` when no photo remains. Source: PerSAM (Zhang et al., 2023), section 3.4.

    >>> import tempfile
    >>> from segue.data.io.image import write_image, write_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/a.png", np.zeros((40, 60, 3), np.uint8))
    ...     write_labels(f"{folder}/masks/a.png", np.ones((40, 60), bool))
    ...     item = Subjects(f"{folder}/a.png", f"{folder}/masks", size=32)[0]
    >>> item["pixels"].shape, item["mask"].shape
    (torch.Size([3, 32, 32]), torch.Size([1, 32, 32]))
    """

    def __init__(
        self,
        photos: str | Path,
        masks: str | Path,
        *,
        size: int = 512,
        crop: str = "center",
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        self.size, self.crop, self.flip = size, crop, flip
        self.random = np.random.default_rng(seed)
        found = [SubjectPhoto(p, Path(masks) / f"{p.stem}.png") for p in find_images([photos])]
        self.photos = [p for p in found if p.mask.exists() and read_mask(p.mask).any()]
        if not self.photos:
            raise DataError(
                f"{len(found)} photos without masks in {masks}",
                "PNG masks of the photos' names",
                "make them with: segue find",
            )

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        photo = self.photos[index]
        image = read_image(photo.image)
        mask = read_mask(photo.mask, (image.shape[0], image.shape[1]))
        picture, cover = self._cut(image, mask)
        return {
            "pixels": torch.from_numpy(picture).permute(2, 0, 1).float() / 127.5 - 1,
            "mask": torch.from_numpy(cover)[None].float(),
        }

    def _cut(self, image: Image, mask: Mask) -> tuple[Image, Mask]:
        height, width = mask.shape
        scale = self.size / min(height, width)
        shape = max(self.size, round(width * scale)), max(self.size, round(height * scale))
        picture = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        cover = cv2.resize(mask.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0
        top, left = ((free // 2) for free in (cover.shape[0] - self.size, cover.shape[1] - self.size))
        if self.crop == "random":
            top = int(self.random.integers(0, cover.shape[0] - self.size + 1))
            left = int(self.random.integers(0, cover.shape[1] - self.size + 1))
        window = slice(top, top + self.size), slice(left, left + self.size)
        picture, cover = picture[window], cover[window]
        if self.flip and self.random.random() < 0.5:
            picture, cover = picture[:, ::-1], cover[:, ::-1]
        return np.ascontiguousarray(picture), np.ascontiguousarray(cover)


def collate(items: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Items of ``Subjects`` -> ``pixels`` (b, 3, s, s) and ``mask`` (b, 1, s, s); a picture whose crop lost the
    subject has an empty mask and is dropped, unless that leaves none.

    >>> collate([{"pixels": torch.zeros(3, 4, 4), "mask": torch.ones(1, 4, 4)}])["mask"].shape
    torch.Size([1, 1, 4, 4])
    """
    kept = [item for item in items if item["mask"].any()] or list(items)
    return {key: torch.stack([item[key] for item in kept]) for key in ("pixels", "mask")}
