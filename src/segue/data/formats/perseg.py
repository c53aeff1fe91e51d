"""PerSeg, one-shot segmentation: ``Images/<object>/NN.jpg`` and ``Annotations/<object>/NN.png``, 00 the reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from segue.core.errors import DataError
from segue.data.formats.pairs import no_split, paired
from segue.data.io.image import read_image, read_mask, write_image, write_labels
from segue.data.sample import Format, Instance, Options, Sample, Target, no_void, only_instance


class PerSeg(Format):
    """Zhang et al., Personalize SAM, ICLR 2024: one object to a folder, one mask to an image.

    >>> PerSeg().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        images, masks = folder / "Images", folder / "Annotations"
        return images.is_dir() and masks.is_dir() and any(p.is_dir() for p in masks.iterdir())

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        no_split(options, "perseg")
        groups = sorted(p.name for p in (folder / "Images").iterdir() if p.is_dir())
        if not groups:
            raise DataError(f"no folder in {folder / 'Images'}", "one folder of images for each object")
        return [
            Sample(f"{group}/{image.stem}", partial(read_image, image), partial(_truth, mask, group), group)
            for group in groups
            for image, mask in paired(folder / "Images" / group, folder / "Annotations" / group)
        ]

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            instance = only_instance(target, sample.id, "perseg")
            no_void(target, sample.id, "perseg")
            group, _, stem = sample.id.rpartition("/")
            group = group or instance.name or "object"
            write_image(folder / "Images" / group / f"{stem}.png", image)
            write_labels(folder / "Annotations" / group / f"{stem}.png", instance.mask)


def _truth(mask: Path, group: str) -> Target:
    found = read_mask(mask)
    return Target((Instance(f"{group}/{mask.stem}", found, group),) if found.any() else ())


FORMAT = PerSeg()
