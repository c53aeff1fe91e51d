"""Formats made of a folder of images and a folder of masks: the click benchmarks, PerSeg, and slices of volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.formats.base import Format, Writer, from_labels, label_map, no_split
from segue.data.formats.locate import stems
from segue.data.formats.signs import owner_of_mask
from segue.data.io.image import Labels, read_labels, read_mask, write_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle

Objects = tuple[tuple[Annotation, ...], Rle | None]


class Pair(NamedTuple):
    """A sample: its ``id``, the image, its mask files, its group, and the class names of labels (as text)."""

    id: str
    image: Path
    masks: tuple[Path, ...]
    group: str = ""
    names: Mapping[str, str] = MappingProxyType({})


class PairedFolders(Format):
    """``images/*`` and ``masks/*.png`` under names of the format's own; one binary mask an image, everything but 0.

    >>> PairedFolders("davis", "img", "gt").name
    'davis'
    """

    def __init__(self, name: str, images: str, masks: str) -> None:
        self.name, self.images, self.masks = name, images, masks
        self.writer_type = self.make_writer()

    def make_writer(self) -> type[Writer]:
        """The writer into folders of these names."""
        form = self

        class PairedWriter(Writer):
            def add(self, image: AnnotatedImage) -> list[Loss]:
                labels = form.labels(image)
                stem = self.place_flat(form.images, image)
                if self.output.folder is not None:
                    write_labels(self.output.folder / form.masks / f"{stem}.png", labels)
                return []

        return PairedWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        pairs = list(self.pairs(folder, options))
        if not pairs:
            raise DataError(f"no image in {folder / self.images}", f"images, and their masks in {self.masks}/")

        def load(index: int) -> AnnotatedImage:
            pair = pairs[index]
            annotations, ignore_rle = self.objects(pair, options)
            rles = [a.rle for a in annotations] or ([ignore_rle] if ignore_rle else [])
            size = rles[0].size if rles else read_labels(pair.masks[0]).shape
            name = f"{pair.group}/{pair.image.name}" if "/" in pair.id else pair.image.name
            losses = _blurred(name, annotations)
            return AnnotatedImage(
                name, (size[0], size[1]), annotations, pair.image, ignore_rle, losses, group=pair.group
            )

        return DataSet(self.name, folder, Samples([p.id for p in pairs], load, [p.group for p in pairs]))

    def pairs(self, folder: Path, options: Options) -> Iterator[Pair]:
        """The samples in a stable order. Raises ``DataError`` for files without partner."""
        no_split(options, self.name)
        for image, mask in paired(folder / self.images, folder / self.masks):
            inside = image.relative_to(folder / self.images).with_suffix("")
            yield Pair(inside.as_posix(), image, (mask,), "/".join(inside.parts[:-1]))

    def objects(self, pair: Pair, options: Options) -> Objects:
        """The objects in the mask files of one image, and what does not count."""
        labels, ignored = read_labels(pair.masks[0]), options.ignore_values or ()
        return from_labels(np.where(np.isin(labels, (0, *ignored)), labels, 1), pair.id, ignored)

    def labels(self, image: AnnotatedImage) -> Labels:
        """The mask file (H, W) of an image. Raises ``DataError`` for what it cannot hold."""
        annotation = self.only_object(image)
        self.no_void(image)
        return annotation.mask * np.int32(255)

    def only_object(self, image: AnnotatedImage) -> Annotation:
        """The single object of an image. Raises ``DataError`` where others would be lost."""
        if len(image.annotations) != 1:
            raise DataError(
                f"{len(image.annotations)} objects in '{image.file_name}'",
                f"one, as the format '{self.name}' holds",
                "write 'folder' or 'coco' instead",
            )
        return image.annotations[0]

    def no_void(self, image: AnnotatedImage) -> None:
        """Raise ``DataError`` where void pixels would be lost."""
        if image.ignore_rle is not None and image.ignore_rle.area:
            raise DataError(
                f"void pixels in '{image.file_name}'",
                f"none, as the format '{self.name}' has no word for them",
                "write 'folder', 'voc' or 'coco' instead",
            )


class GrabCut(PairedFolders):
    """Rother et al., GrabCut, SIGGRAPH 2004: 50 images, the object's ragged edge marked as void. 0 background, 128
    void, 255 object."""

    ignore_value = 128

    def objects(self, pair: Pair, options: Options) -> Objects:
        labels = read_labels(pair.masks[0])
        ignored = (self.ignore_value,) if options.ignore_values is None else options.ignore_values
        # The published reading: above 128 is object, below it background.
        found = np.where(np.isin(labels, ignored), -1, labels > self.ignore_value).astype(np.int32)
        return from_labels(found, pair.id, (-1,))

    def labels(self, image: AnnotatedImage) -> Labels:
        labels = self.only_object(image).mask * np.int32(255)
        if (ignore_mask := image.ignore_mask) is not None:
            labels[ignore_mask] = self.ignore_value
        return labels


class PerSeg(PairedFolders):
    """Zhang et al., Personalize SAM, ICLR 2024: one object to a folder, one mask to an image, 00 the reference."""

    def make_writer(self) -> type[Writer]:
        form = self

        class PerSegWriter(Writer):
            def add(self, image: AnnotatedImage) -> list[Loss]:
                annotation = form.only_object(image)
                form.no_void(image)
                group, _, stem = image.stem.rpartition("/")
                stem = self.output.free(f"{group or annotation.name or 'object'}/{stem}")
                self.place(f"{form.images}/{stem}.png", image)
                if self.output.folder is not None:
                    write_labels(self.output.folder / form.masks / f"{stem}.png", annotation.mask)
                return []

        return PerSegWriter

    def pairs(self, folder: Path, options: Options) -> Iterator[Pair]:
        no_split(options, self.name)
        for group in sorted(p.name for p in (folder / self.images).iterdir() if p.is_dir()):
            for image, mask in paired(folder / self.images / group, folder / self.masks / group):
                yield Pair(f"{group}/{image.stem}", image, (mask,), group)

    def objects(self, pair: Pair, options: Options) -> Objects:
        mask = read_mask(pair.masks[0])
        return ((Annotation.from_mask(mask, pair.group, pair.id),) if mask.any() else ()), None


class Sstem(PairedFolders):
    """Gerhard et al., figshare 2013, electron microscopy of the Drosophila nerve cord. Each 4-connected component of
    the mask is one object, as SimpleClick evaluates it; the folder is a stack or holds stacks (``stack1/raw`` ...).
    """

    def pairs(self, folder: Path, options: Options) -> Iterator[Pair]:
        no_split(options, self.name)
        inside = sorted(p for p in folder.iterdir() if p.is_dir())
        for stack in (folder, *inside):
            if (stack / self.images).is_dir() and (stack / self.masks).is_dir():
                group = stack.name if stack != folder else ""
                for image, mask in paired(stack / self.images, stack / self.masks):
                    yield Pair(f"{group}/{image.stem}" if group else image.stem, image, (mask,), group)

    def objects(self, pair: Pair, options: Options) -> Objects:
        return from_labels(_components(read_mask(pair.masks[0]))[1], pair.id)

    def labels(self, image: AnnotatedImage) -> Labels:
        self.no_void(image)
        mask = np.zeros(image.size, bool)
        for annotation in image.annotations:
            mask |= annotation.mask
        if _components(mask)[0] != len(image.annotations):
            raise DataError(
                f"objects that touch or have several parts in '{image.file_name}'",
                "each object one component, as the format 'sstem' tells them apart by that",
                "write 'folder' instead",
            )
        return mask * np.int32(255)


class OaiZib(PairedFolders):
    """Ambellan et al., Medical Image Analysis 2019, magnetic resonance of the knee, in the slices that SimpleClick
    evaluates: femoral and tibial cartilage are one object each, whatever their label values."""

    default = "test"

    def pairs(self, folder: Path, options: Options) -> Iterator[Pair]:
        root = folder / (options.split or self.default)
        if options.split is None and not root.is_dir():
            root = folder
        for image, mask in paired(root / "image", root / "annotations"):
            yield Pair(image.stem, image, (mask,))

    def objects(self, pair: Pair, options: Options) -> Objects:
        return from_labels(read_labels(pair.masks[0]), pair.id)

    def labels(self, image: AnnotatedImage) -> Labels:
        self.no_void(image)
        labels, losses = label_map(image, range(1, 256))
        if losses:
            raise DataError(
                f"{losses[0].what} in '{image.file_name}'",
                "at most 255 objects, each apart from the others",
                "write the format 'coco' instead",
            )
        return labels


class Berkeley(PairedFolders):
    """McGuinness and O'Connor, Pattern Recognition 2010: 100 objects in 96 images; a second object of an image has
    its own mask file, whose stem continues the image's after ``_``, ``-`` or ``#``."""

    def make_writer(self) -> type[Writer]:
        form = self

        class BerkeleyWriter(Writer):
            def add(self, image: AnnotatedImage) -> list[Loss]:
                form.no_void(image)
                stem = self.place_flat(form.images, image)
                for k, annotation in enumerate(image.annotations, start=1):
                    name = stem if len(image.annotations) == 1 else f"{stem}_{k}"
                    if self.output.folder is not None:
                        write_labels(self.output.folder / form.masks / f"{name}.png", annotation.mask)
                return []

        return BerkeleyWriter

    def pairs(self, folder: Path, options: Options) -> Iterator[Pair]:
        no_split(options, self.name)
        images, masks = stems(folder / self.images), stems(folder / self.masks)
        owned: dict[str, list[Path]] = {stem: [] for stem in images}
        for stem, path in masks.items():
            image = owner_of_mask(stem, set(images))
            if image is None:
                raise DataError(f"the mask {path} without image", "an image of the same stem", "remove the mask")
            owned[image].append(path)
        lonely = sum(not paths for paths in owned.values())
        if lonely:
            raise DataError(f"{lonely} of {len(images)} images without mask in {folder}", "a mask for each image")
        for stem in sorted(images):
            yield Pair(stem, images[stem], tuple(owned[stem]))

    def objects(self, pair: Pair, options: Options) -> Objects:
        return tuple(Annotation.from_mask(read_mask(mask), id=mask.stem) for mask in pair.masks), None


def paired(images: Path, masks: Path) -> Sequence[tuple[Path, Path]]:
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
        raise DataError(f"no image in {images}", "image files")
    return [(by_stem[stem], masks_by_stem[stem]) for stem in sorted(by_stem)]


def _blurred(name: str, annotations: Sequence[Annotation]) -> tuple[Loss, ...]:
    """What to say of a label map that looks like one mask with a soft edge: a large label, and many tiny ones."""
    areas = sorted(annotation.area for annotation in annotations)
    if len(areas) <= 8 or 2 * areas[-1] < sum(areas) or 20 * areas[len(areas) // 2] > areas[-1]:
        return ()
    what = "many tiny labels beside a large one: each is an object, or is it one mask with a soft edge?"
    return (Loss(name, what, iou=1.0),)


def _components(mask: Mask) -> tuple[int, Labels]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return count - 1, labels


GRABCUT = GrabCut("grabcut", "data_GT", "boundary_GT")
DAVIS = PairedFolders("davis", "img", "gt")
PERSEG = PerSeg("perseg", "Images", "Annotations")
SSTEM = Sstem("sstem", "raw", "mitochondria")
OAIZIB = OaiZib("oaizib", "test/image", "test/annotations")
BERKELEY = Berkeley("berkeley", "images", "masks")
