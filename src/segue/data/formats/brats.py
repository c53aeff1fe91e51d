"""BraTS, brain tumours: one folder a case with ``*_flair.nii.gz`` and ``*_seg.nii.gz`` (NIfTI volumes)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.types import Image
from segue.data.formats.pairs import file_stem, no_split
from segue.data.io.image import STRETCH
from segue.data.sample import Format, Instance, Options, Sample, Target, no_void, only_instance

_IMAGES = ("*_flair.nii.gz", "*_flair.nii", "*-t2f.nii.gz", "*-t2f.nii")
_MASKS = ("*_seg.nii.gz", "*_seg.nii", "*-seg.nii.gz", "*-seg.nii")


class Brats(Format):
    """Menze et al., IEEE TMI 2015. Each case gives one axial FLAIR slice, the one with the largest tumour; the
    object is the whole tumour (every label but 0). Rows are the volume's second axis, columns its first.

    >>> Brats().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        return next(_cases(folder), None) is not None

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        no_split(options, "brats")
        found = [
            Sample(case.name, partial(_image, image, mask), partial(_truth, mask, case.name), case.name)
            for case, image, mask in _cases(folder)
        ]
        if not found:
            raise DataError(f"no case in {folder}", "folders with *_flair.nii.gz and *_seg.nii.gz")
        return found

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            no_void(target, sample.id, "brats")
            tumour = only_instance(target, sample.id, "brats").mask
            if (image != image[..., :1]).any():
                raise DataError(
                    f"the colour image '{sample.id}'",
                    "grey, as the format 'brats' holds one channel",
                    "write 'folder' instead",
                )
            case = folder / file_stem(sample)
            case.mkdir(parents=True, exist_ok=True)
            # One slice; 0 is air to the reader, so that brightness starts at 1.
            for kind, slice_ in (("flair", image[..., 0].astype(np.int16) + 1), ("seg", tumour.astype(np.uint8))):
                volume = nibabel.Nifti1Image(np.ascontiguousarray(slice_.T[..., None]), np.eye(4))
                nibabel.save(volume, case / f"{case.name}_{kind}.nii.gz")


def _cases(folder: Path) -> Iterator[tuple[Path, Path, Path]]:
    for case in sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []:
        image = next((p for pattern in _IMAGES for p in case.glob(pattern)), None)
        mask = next((p for pattern in _MASKS for p in case.glob(pattern)), None)
        if image and mask:
            yield case, image, mask


@lru_cache(maxsize=1)  # an image's pixels and its truth need the same slice number
def _largest_slice(mask: Path) -> tuple[int, NDArray[np.bool_]]:
    tumour = _volume(mask) != 0
    z = int(tumour.sum(axis=(0, 1)).argmax())
    return z, tumour[..., z].T.copy()


def _volume(path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.asanyarray(nibabel.load(path).dataobj)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}, which does not read as NIfTI ({error})", "a complete .nii or .nii.gz") from error
    if values.ndim != 3:
        raise DataError(f"{path} of {values.ndim} axes", "a volume of 3")
    return values


def _image(image: Path, mask: Path) -> Image:
    volume = _volume(image).astype(np.float32)
    brain = volume[volume > 0]
    low, high = np.percentile(brain, STRETCH) if brain.size else (0.0, 1.0)
    grey = np.clip((volume[..., _largest_slice(mask)[0]].T - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def _truth(mask: Path, case: str) -> Target:
    tumour = _largest_slice(mask)[1]
    return Target((Instance(case, tumour, "whole tumour"),) if tumour.any() else ())


FORMAT = Brats()
