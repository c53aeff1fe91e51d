"""PerSAM-assisted DreamBooth: a diffusion loss that only the object's pixels can move.

DreamBooth teaches a text-to-image model a subject from a few photos, and with it their backgrounds. With a mask
of the subject in each photo the background is left out of the loss; prior preservation stays as it was.
Tensors only: it works with diffusers' training scripts and with any other noise predictor.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from segue.core.errors import DataError, InputError
from segue.core.types import Image, Mask
from segue.data.io.image import find_images, read_image, read_mask

NAMED = 5  # photos that a warning names


class Subjects(Dataset[Mapping[str, Tensor]]):
    """A folder of photos and a folder of masks with equal stems -> square pictures in [-1, 1] and their masks.

    Picture and mask are resized (shorter side to ``size``), cut and mirrored together, so that every pixel of
    the loss knows whether it is subject. Photos without a mask, or whose mask is empty, are left out with a warning
    that names them: ``segue find`` writes an empty mask where the subject is absent. ``crop`` "random" or "center",
    moved so that the whole subject is in the picture, of one that is larger the middle; ``flip`` mirrors every second
    picture at random. However small a subject is, its mask keeps a pixel.

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
        found = [(photo, Path(masks) / f"{photo.stem}.png") for photo in find_images([photos])]
        self.photos = [(photo, mask) for photo, mask in found if mask.exists() and read_mask(mask).any()]
        left = sorted({photo for photo, _ in found} - {photo for photo, _ in self.photos})
        if not self.photos:
            raise DataError(
                f"{len(found)} photos without masks in {masks}",
                "PNG masks of the photos' names",
                "make them with: segue find",
            )

        if left:
            named = ", ".join(photo.name for photo in left[:NAMED]) + (" ..." if len(left) > NAMED else "")
            warnings.warn(f"{len(left)} photos without the subject are left out: {named}", stacklevel=2)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        photo, mask_file = self.photos[index]
        image = read_image(photo)
        mask = read_mask(mask_file, (image.shape[0], image.shape[1]))
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
        share = cv2.resize(mask.astype(np.float32), shape, interpolation=cv2.INTER_AREA)
        cover = share >= min(0.5, float(share.max()))
        left, top = (self._start(axis, cover) for axis in (1, 0))
        window = slice(top, top + self.size), slice(left, left + self.size)
        picture, cover = picture[window], cover[window]
        if self.flip and self.random.random() < 0.5:
            picture, cover = picture[:, ::-1], cover[:, ::-1]
        return np.ascontiguousarray(picture), np.ascontiguousarray(cover)

    def _start(self, axis: int, cover: Mask) -> int:
        """Where the cut begins along an axis of (H, W) bool: in the middle or anywhere, as far as it shows the subject,
        of a larger one the middle."""
        inside = np.flatnonzero(cover.any(1 - axis))
        first, last, most = int(inside[0]), int(inside[-1]), int(cover.shape[axis]) - self.size
        if last - first + 1 > self.size:
            low = high = (first + last + 1 - self.size) // 2
        else:
            low, high = last + 1 - self.size, first
        low, high = min(max(low, 0), most), min(max(high, 0), most)
        if self.crop == "random":
            return int(self.random.integers(low, high + 1))
        return min(max(most // 2, low), high)


def collate(items: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Items of ``Subjects`` -> ``pixels`` (b, 3, s, s) and ``mask`` (b, 1, s, s).

    Items of other sources whose mask is empty teach nothing: they are dropped with a warning. Raises ``DataError``
    where none is left.

    >>> collate([{"pixels": torch.zeros(3, 4, 4), "mask": torch.ones(1, 4, 4)}])["mask"].shape
    torch.Size([1, 1, 4, 4])
    """
    kept = [item for item in items if item["mask"].any()]
    if not kept:
        raise DataError(f"a batch of {len(items)} empty masks", "the subject in a picture", "leave such pictures out")
    if len(kept) < len(items):
        warnings.warn(f"{len(items) - len(kept)} pictures without the subject are left out of a batch", stacklevel=2)
    return {key: torch.stack([item[key] for item in kept]) for key in ("pixels", "mask")}


def latent_mask(mask: Tensor, size: tuple[int, int], least: float = 0.5) -> Tensor:
    """(b, 1, H, W) mask of 0 / 1 -> (b, 1, h, w) bool at the latent grid's ``size`` (h, w).

    A latent cell belongs to the object where at least ``least`` of its pixels do; of an object too small for that the
    most covered cells.

    >>> mask = torch.zeros(1, 1, 16, 16); mask[..., :8, :12] = 1
    >>> latent_mask(mask, (2, 2)).int().tolist()
    [[[[1, 1], [0, 0]]]]
    """
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise InputError(f"masks of shape {tuple(mask.shape)}", "(b, 1, H, W)")
    share = F.adaptive_avg_pool2d(mask.float(), size)
    most = share.amax((-2, -1), keepdim=True)
    return (share >= most.clamp(max=least)) & (most > 0)


def dreambooth_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    prior: tuple[Tensor, Tensor] | None = None,
    prior_weight: float = 1.0,
) -> Tensor:
    """The mean squared error inside the masks, plus ``prior_weight`` times the whole error of the class images.

    ``prediction`` and ``target`` (b, c, h, w) are the subject's noise (or velocity), ``mask`` (b, 1, h, w) bool on
    the same grid, ``prior`` the pair (prediction, target) of the class images, which no mask touches. The
    gradient with respect to a prediction outside its mask is exactly zero, whatever the prediction is there.
    Each photo counts alike, however small its subject. Raises ``InputError`` for an empty mask.

    Source: PerSAM (Zhang et al., 2023), section 3.4; DreamBooth (Ruiz et al., 2022), equation 2.

    >>> noise = torch.zeros(1, 1, 2, 2, requires_grad=True)
    >>> mask = torch.tensor([[[[True, False], [False, False]]]])
    >>> dreambooth_loss(noise, torch.ones(1, 1, 2, 2), mask).backward()
    >>> noise.grad.flatten().tolist()
    [-2.0, 0.0, 0.0, 0.0]
    """
    if prediction.shape != target.shape or mask.shape != (len(target), 1, *target.shape[2:]):
        raise InputError(
            f"a prediction {tuple(prediction.shape)}, target {tuple(target.shape)}, mask {tuple(mask.shape)}",
            "prediction and target (b, c, h, w), mask (b, 1, h, w)",
            "bring masks to the latent grid with latent_mask",
        )
    pixels = mask.flatten(1).sum(1)
    if (pixels == 0).any():
        raise InputError(
            f"{int((pixels == 0).sum())} empty masks", "the subject in every photo", "leave such photos out"
        )
    # Chosen, not multiplied: a NaN or infinity in the background must not reach the gradient as 0 * inf.
    error = torch.where(mask, prediction.float() - target.float(), 0.0).square()
    loss = (error.flatten(1).sum(1) / (pixels * prediction.shape[1])).mean()
    if prior is not None:
        loss = loss + prior_weight * F.mse_loss(prior[0].float(), prior[1].float())
    return loss


def split_prior(batch: Tensor) -> tuple[Tensor, Tensor]:
    """(2b, ...) as DreamBooth stacks it, subjects first -> (b, ...) subjects and (b, ...) class images.

    >>> [part.tolist() for part in split_prior(torch.arange(4))]
    [[0, 1], [2, 3]]
    """
    if len(batch) % 2:
        raise InputError(f"a batch of {len(batch)}", "as many class images as photos of the subject")
    subject, prior = batch.chunk(2)
    return subject, prior
