"""Pascal VOC segmentation: ``JPEGImages/``, ``SegmentationObject/`` (or ``SegmentationClass/``), 255 void."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image

from segue.core.errors import DataError
from segue.core.files import write_bytes
from segue.data.formats.pairs import file_stem
from segue.data.io.image import Labels, read_image, read_labels, write_image
from segue.data.sample import Format, Options, Sample, Target, labels_of_truth, truth_of_labels

VOID = 255
CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


class Voc(Format):
    """Everingham et al., IJCV 2010. One object per colour of ``SegmentationObject``, named by the class map
    where there is one; without it one object per class. The split is "val" where it is listed.

    >>> Voc().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        return (folder / "JPEGImages").is_dir() and _masks(folder) is not None

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        masks = _masks(folder)
        if masks is None:
            raise DataError(f"no masks in {folder}", "the folder SegmentationObject or SegmentationClass")
        ignore_mask = (VOID,) if options.ignore_values is None else options.ignore_values
        names = listed(folder / "ImageSets" / "Segmentation", options.split)
        names = names or sorted(p.stem for p in masks.glob("*.png"))
        if not names:
            raise DataError(f"no mask in {masks}", "palette PNG files")
        images = folder / "JPEGImages"
        return [
            Sample(name, partial(read_image, images / f"{name}.jpg"), partial(_truth, masks, name, ignore_mask))
            for name in names
        ]

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        names = []
        for sample in samples:
            image, target = sample.read()
            name = file_stem(sample)
            labels = labels_of_truth(target, image.shape[:2], sample.id, ignore_mask=VOID)
            if len(target.instances) >= VOID:
                raise DataError(f"{len(target.instances)} objects in '{sample.id}'", f"at most {VOID - 1}")
            kinds = labels.copy()
            for k, instance in enumerate(target.instances, start=1):
                kinds[labels == k] = CLASSES.index(instance.name) if instance.name in CLASSES else 0
            write_image(folder / "JPEGImages" / f"{name}.jpg", image)
            write_bytes(folder / "SegmentationObject" / f"{name}.png", palette_png(labels))
            if all(i.name in CLASSES for i in target.instances):
                write_bytes(folder / "SegmentationClass" / f"{name}.png", palette_png(kinds))
            names.append(name)
        write_bytes(folder / "ImageSets/Segmentation/val.txt", "".join(f"{n}\n" for n in names).encode())


def listed(folder: Path, split: str | None) -> list[str]:
    """File stems in ``folder``'s list of ``split``; by default those of ``val.txt``, or none without it.

    Raises ``DataError`` for a split that is asked for and not listed.

    >>> listed(Path("/no/such/folder"), None)
    []
    """
    file = folder / f"{split or 'val'}.txt"
    if not file.exists():
        if split is None:
            return []
        known = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) or "none"
        raise DataError(f"the split '{split}'", f"a list {file}", f"splits that are there: {known}")
    names = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    if not names:
        raise DataError(f"the empty list {file}", "one file name a line")
    return names


def color(label: int) -> tuple[int, int, int]:
    """VOC's colour of a label: its bits, three by three, become the high bits of red, green and blue.

    >>> color(1), color(255)
    ((128, 0, 0), (224, 224, 192))
    """
    parts = [0, 0, 0]
    for bit in range(8):
        parts[bit % 3] |= ((label >> bit) & 1) << (7 - bit // 3)
    return parts[0], parts[1], parts[2]


def palette_png(labels: Labels) -> bytes:
    """(H, W) labels 0 ... 255 -> an 8-bit palette PNG in VOC's colours.

    >>> PIL.Image.open(BytesIO(palette_png(np.array([[0, 1]], np.int32)))).convert("RGB").getpixel((1, 0))
    (128, 0, 0)
    """
    image = PIL.Image.fromarray(labels.astype(np.uint8)).convert("L")
    indexed = PIL.Image.frombytes("P", image.size, image.tobytes())
    indexed.putpalette([part for label in range(256) for part in color(label)])
    buffer = BytesIO()
    indexed.save(buffer, "PNG")
    return buffer.getvalue()


def _masks(folder: Path) -> Path | None:
    named = (folder / name for name in ("SegmentationObject", "SegmentationClass"))
    return next((path for path in named if path.is_dir()), None)


def _truth(masks: Path, name: str, ignore_mask: tuple[int, ...]) -> Target:
    labels, kinds = read_labels(masks / f"{name}.png"), masks.with_name("SegmentationClass") / f"{name}.png"
    names = {}
    if kinds.exists():
        classes = read_labels(kinds)
        if classes.shape != labels.shape:
            raise DataError(f"{kinds} of another size than {masks / name}.png", "one size")
        for label in set(np.unique(labels).tolist()) - {0, *ignore_mask}:
            kind = int(np.bincount(classes[labels == label]).argmax())
            names[str(label)] = CLASSES[kind] if 0 < kind < len(CLASSES) else ""
    return truth_of_labels(labels, name, ignore_mask, names)


FORMAT = Voc()
