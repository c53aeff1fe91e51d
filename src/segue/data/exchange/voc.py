"""Pascal VOC: palette PNGs of objects and classes, 255 void; later objects on top where masks overlap."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.exchange.base import (
    Choices,
    Entry,
    Exchange,
    Finder,
    Loss,
    Sheet,
    Writer,
    label_map,
    lazy_samples,
)
from segue.data.exchange.rings import rles_of_labels
from segue.data.exchange.sink import Sink
from segue.data.formats.voc import CLASSES, VOID, color, listed, palette_png
from segue.data.io.image import Labels, read_labels
from segue.data.rle import Rle
from segue.data.sample import Options, Sample

_LIST = "ImageSets/Segmentation/train.txt"


class VocWriter(Writer):
    """``JPEGImages/``, ``SegmentationObject/``, ``SegmentationClass/``, a list, and ``labelmap.txt`` with the
    class names (that of CVAT), because VOC's own twenty are seldom the ones at hand."""

    def __init__(self, sink: Sink, choices: Choices, names: Sequence[str] = ()) -> None:
        super().__init__(sink, choices, [n for n in names if n != "background"])
        self._list = sink.stream(_LIST)

    def add(self, sheet: Sheet) -> list[Loss]:
        stem = self.place_flat("JPEGImages", sheet)
        kinds = [self.number(entry.name) + 1 for entry in sheet.entries[: VOID - 1]]
        if max(kinds, default=0) >= VOID:
            raise DataError(f"more than {VOID - 1} classes", "as many as a palette holds", "write the format 'coco'")
        objects, losses = label_map(sheet, range(1, VOID))
        classes = np.array([0, *kinds], np.int32)[objects]
        if sheet.ignore_mask is not None:
            ignore_mask = sheet.ignore_mask.mask() & (objects == 0)
            objects[ignore_mask] = classes[ignore_mask] = VOID
        self.sink.put(f"SegmentationObject/{stem}.png", palette_png(objects))
        self.sink.put(f"SegmentationClass/{stem}.png", palette_png(classes))
        self._list.write(f"{stem}\n".encode())
        return losses

    def finish(self) -> None:
        self.sink.keep(self._list)
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        for name, k in self.classes.items():
            lines.append(f"{json.dumps(name)[1:-1].replace(':', ' ')}:{','.join(map(str, color(k + 1)))}::")
        self.sink.put("labelmap.txt", ("\n".join(lines) + "\n").encode())


class Voc(Exchange):
    """Everingham et al., IJCV 2010; 255 is void in both maps.

    >>> Voc().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "voc"
    writer_type: ClassVar[type[Writer]] = VocWriter

    def detect(self, folder: Path) -> bool:
        return (folder / "SegmentationObject").is_dir() or (folder / "SegmentationClass").is_dir()

    def read(self, folder: Path) -> Iterator[Sheet]:
        names, finder = _names(folder), Finder(folder / "JPEGImages")
        for mask in _masks(folder, None):
            yield _sheet(mask, names, finder)

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        names, finder = _names(folder), Finder(folder / "JPEGImages")
        return lazy_samples(_masks(folder, options.split), lambda p: p.stem, lambda p: _sheet(p, names, finder))

    def classes(self, folder: Path) -> Sequence[str]:
        return _names(folder)[1:] if (folder / "labelmap.txt").exists() else ()


def _names(folder: Path) -> Sequence[str]:
    file = folder / "labelmap.txt"
    if not file.exists():
        return CLASSES
    rows = [line.split(":") for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    names = [str(json.loads(f'"{row[0]}"')) for row in rows]
    return names if names[:1] == ["background"] else ["background", *names]


def _masks(folder: Path, split: str | None) -> list[Path]:
    objects = folder / "SegmentationObject"
    masks = objects if objects.is_dir() else folder / "SegmentationClass"
    names = listed(folder / "ImageSets" / "Segmentation", split) if split else []
    files = [masks / f"{name}.png" for name in names] or sorted(masks.glob("*.png"))
    if not files:
        raise DataError(f"no mask in {masks}", "palette PNG files")
    return files


def _sheet(mask: Path, names: Sequence[str], finder: Finder) -> Sheet:
    objects, beside = read_labels(mask), mask.parent.with_name("SegmentationClass") / mask.name
    classes = read_labels(beside) if beside.exists() else None
    if classes is not None and classes.shape != objects.shape:
        raise DataError(f"{beside} of another size than {mask}", "one size")
    image = next((path for path in (finder.find(f"{mask.stem}{s}") for s in (".jpg", ".png", ".jpeg")) if path), None)
    image = image or next(iter(sorted((mask.parent.parent / "JPEGImages").glob(f"{mask.stem}.*"))), None)
    entries = tuple(Entry(_kind(rle, classes, names), rle, str(k)) for k, rle in rles_of_labels(objects, (VOID,)))
    ignore_mask: Mask = objects == VOID
    name = image.name if image is not None else f"{mask.stem}.jpg"
    return Sheet(
        name,
        (objects.shape[0], objects.shape[1]),
        entries,
        image,
        Rle.from_mask(ignore_mask) if ignore_mask.any() else None,
    )


def _kind(rle: Rle, classes: Labels | None, names: Sequence[str]) -> str:
    if classes is None:
        return ""
    crop, x, y = rle.crop()
    values = classes[y : y + crop.shape[0], x : x + crop.shape[1]][crop]
    kind = int(np.bincount(values).argmax())
    return names[kind] if 0 < kind < len(names) else ""
