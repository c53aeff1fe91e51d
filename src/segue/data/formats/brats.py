"""BraTS, brain tumours: one folder a case with ``*_flair.nii.gz`` and ``*_seg.nii.gz`` (NIfTI volumes)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.types import Image
from segue.data.formats.base import Format, Writer, no_split, void_loss
from segue.data.io.pixels import STRETCH
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples

_IMAGES = ("*_flair.nii.gz", "*_flair.nii", "*-t2f.nii.gz", "*-t2f.nii")
_MASKS = ("*_seg.nii.gz", "*_seg.nii", "*-seg.nii.gz", "*-seg.nii")


class BratsWriter(Writer):
    """``<case>/<case>_flair.nii.gz`` and ``<case>/<case>_seg.nii.gz``, volumes of one slice."""

    def add(self, image: AnnotatedImage) -> list[Loss]:
        if len(image.annotations) != 1 or void_loss(image):
            raise DataError(
                f"{len(image.annotations)} objects, or void pixels, in '{image.file_name}'",
                "one object, as the format 'brats' holds",
                "write 'folder' or 'coco' instead",
            )
        pixels = image.image()
        if (pixels != pixels[..., :1]).any():
            raise DataError(
                f"the colour image '{image.file_name}'",
                "grey, as the format 'brats' holds one channel",
                "write 'folder' instead",
            )
        if self.output.folder is not None:
            case = self.output.folder / self.output.free(image.stem.replace("/", "__"))
            case.mkdir(parents=True, exist_ok=True)
            # One slice; 0 is air to the reader, so that brightness starts at 1.
            tumour = image.annotations[0].mask.astype(np.uint8)
            for kind, values in (("flair", pixels[..., 0].astype(np.int16) + 1), ("seg", tumour)):
                volume = nibabel.Nifti1Image(np.ascontiguousarray(values.T[..., None]), np.eye(4))
                nibabel.save(volume, case / f"{case.name}_{kind}.nii.gz")
        return []


class Brats(Format):
    """Menze et al., IEEE TMI 2015. Each case gives one axial FLAIR slice, the one with the largest tumour; the
    object is the whole tumour (every label but 0). Rows are the volume's second axis, columns its first."""

    name = "brats"
    writer_type = BratsWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        no_split(options, self.name)
        cases = list(_cases(folder))
        if not cases:
            raise DataError(f"no case in {folder}", "folders with *_flair.nii.gz and *_seg.nii.gz")

        def load(index: int) -> AnnotatedImage:
            case, image, mask = cases[index]
            tumour = _largest_slice(mask)[1]
            size = tumour.shape[0], tumour.shape[1]
            objects = (Annotation.from_mask(tumour, "whole tumour", case.name),) if tumour.any() else ()
            return AnnotatedImage(f"{case.name}.png", size, objects, pixels=partial(_image, image, mask))

        names = [case.name for case, _, _ in cases]
        return DataSet(self.name, folder, Samples(names, load, names))


def _cases(folder: Path) -> Iterator[tuple[Path, Path, Path]]:
    for case in sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []:
        image = next((p for pattern in _IMAGES for p in case.glob(pattern)), None)
        mask = next((p for pattern in _MASKS for p in case.glob(pattern)), None)
        if image and mask:
            yield case, image, mask


@lru_cache(maxsize=1)  # an image's pixels and its mask need the same slice number
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
