"""The Berkeley click benchmark: ``images/`` and ``masks/``, binary; a second object of an image has its own
mask file, whose stem continues the image's after ``_``, ``-`` or ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from segue.core.errors import DataError
from segue.data.formats.pairs import file_stem, no_split, stems
from segue.data.io.image import read_image, read_mask, write_image, write_labels
from segue.data.sample import Format, Instance, Options, Sample, Target, no_void

_CONTINUED = re.compile(r"^(.+?)[_#-][^_#-]*$")


class Berkeley(Format):
    """McGuinness and O'Connor, Pattern Recognition 2010: 100 objects in 96 images.

    >>> Berkeley().detect(Path("/no/such/folder"))
    False
    """

    def fits(self, folder: Path) -> bool:
        return (folder / "images").is_dir() and (folder / "masks").is_dir()

    def detect(self, folder: Path) -> bool:
        if not self.fits(folder):
            return False
        images = {p.stem for p in (folder / "images").iterdir()}
        masks = {p.stem for p in (folder / "masks").iterdir()}
        # One mask for each image is the plain folder; it reads the same unless the name says Berkeley.
        return folder.name.lower() == "berkeley" or (
            bool(masks - images) and all(owner(mask, images) is not None for mask in masks)
        )

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        no_split(options, "berkeley")
        images, masks = stems(folder / "images"), stems(folder / "masks")
        owned: dict[str, list[Path]] = {stem: [] for stem in images}
        for stem, path in masks.items():
            image = owner(stem, images)
            if image is None:
                raise DataError(f"the mask {path} without image", "an image of the same stem", "remove the mask")
            owned[image].append(path)
        lonely = sum(not paths for paths in owned.values())
        if lonely or not images:
            raise DataError(f"{lonely} of {len(images)} images without mask in {folder}", "a mask for each image")
        return [Sample(s, partial(read_image, images[s]), partial(_truth, tuple(owned[s]))) for s in sorted(images)]

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            no_void(target, sample.id, "berkeley")
            stem = file_stem(sample)
            write_image(folder / "images" / f"{stem}.png", image)
            for k, instance in enumerate(target.instances, start=1):
                name = stem if len(target.instances) == 1 else f"{stem}_{k}"
                write_labels(folder / "masks" / f"{name}.png", instance.mask)


def owner(mask: str, images: Iterable[str]) -> str | None:
    """The stem among ``images`` that a mask of stem ``mask`` belongs to.

    >>> owner("3096_2", {"3096", "2092"}), owner("2092", {"2092"}), owner("x", {"2092"})
    ('3096', '2092', None)
    """
    if mask in images:
        return mask
    continued = _CONTINUED.match(mask)
    return continued[1] if continued and continued[1] in images else None


def _truth(masks: tuple[Path, ...]) -> Target:
    return Target(tuple(Instance(mask.stem, read_mask(mask)) for mask in masks))


FORMAT = Berkeley()
