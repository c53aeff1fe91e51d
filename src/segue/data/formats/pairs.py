"""Formats made of a folder of images and a folder of masks with equal stems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from segue.core.errors import DataError, MissingFile
from segue.data.io.image import READABLE, read_image, read_labels, write_image, write_labels
from segue.data.sample import (
    Format,
    Options,
    Sample,
    Target,
    labels_of_truth,
    no_void,
    only_instance,
    truth_of_labels,
)


class PairedFolders(Format):
    """``images/*`` and ``masks/*.png`` under names of the format's own, one binary mask an image.

    Masks are one object, everything but 0, unless ``target`` says otherwise.

    >>> PairedFolders("davis", "img", "gt").detect(Path("/no/such/folder"))
    False
    """

    def __init__(self, name: str, images: str, masks: str, suffix: str = ".png") -> None:
        self.name, self.images, self.masks, self.suffix = name, images, masks, suffix

    def detect(self, folder: Path) -> bool:
        return (folder / self.images).is_dir() and (folder / self.masks).is_dir()

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        no_split(options, self.name)
        ignore_mask = self.ignore_mask(folder, options)
        return [
            Sample(image.stem, partial(read_image, image), partial(self.target, mask, ignore_mask))
            for image, mask in paired(folder / self.images, folder / self.masks)
        ]

    def ignore_mask(self, folder: Path, options: Options) -> tuple[int, ...]:
        """Label values that mean void in this folder."""
        return options.ignore_values or ()

    def target(self, mask: Path, ignore_mask: tuple[int, ...]) -> Target:
        """The objects in one mask file."""
        labels = read_labels(mask)
        for value in set(labels[labels > 0].tolist()) - set(ignore_mask):
            labels[labels == value] = 1
        return truth_of_labels(labels, mask.stem, ignore_mask)

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            only_instance(target, sample.id, self.name)
            no_void(target, sample.id, self.name)
            write_image(folder / self.images / f"{file_stem(sample)}{self.suffix}", image)
            labels = labels_of_truth(target, image.shape[:2], sample.id, value=255)
            write_labels(folder / self.masks / f"{file_stem(sample)}.png", labels)


def paired(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """(image, mask) paths with equal stems, sorted by stem.

    Raises ``DataError`` for an image without mask, a mask without image, or two files of one stem.

    >>> paired(Path("/no/such"), Path("/no/such"))
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got no folder /no/such; expected a folder of images
    """
    by_stem, masks_by_stem = stems(images), stems(masks)
    for have, lack, what in ((by_stem, masks_by_stem, "mask"), (masks_by_stem, by_stem, "image")):
        alone = sorted(set(have) - set(lack))
        if alone:
            raise DataError(
                f"{len(alone)} of {len(have)} files without {what} (first: {have[alone[0]]})",
                f"equal file names but for the suffix in {images} and {masks}",
                f"add the {what} or remove the file",
            )
    if not by_stem:
        raise DataError(f"no image in {images}", f"files of {', '.join(sorted(READABLE))}")
    return [(by_stem[stem], masks_by_stem[stem]) for stem in sorted(by_stem)]


def stems(folder: Path) -> dict[str, Path]:
    """Image files of ``folder`` by stem. Raises ``MissingFile`` for no folder, ``DataError`` for a stem twice."""
    if not folder.is_dir():
        raise MissingFile(f"no folder {folder}", "a folder of images")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in READABLE or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(
                f"{found[path.stem].name} and {path.name} in {folder}",
                "one file of each stem",
                "rename or remove one of them",
            )
        found[path.stem] = path
    return found


def file_stem(sample: Sample) -> str:
    """A sample's id as a file name."""
    return sample.id.replace("/", "__")


def no_split(options: Options, name: str) -> None:
    """Raise ``DataError`` if a split was asked of a format that has none.

    >>> no_split(Options(), "davis")
    """
    if options.split is not None:
        raise DataError(f"the split '{options.split}'", f"none, as the format '{name}' has no splits", "leave it out")
