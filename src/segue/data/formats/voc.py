"""Pascal VOC: palette PNGs of objects and classes, 255 void; CVAT's segmentation masks, with their own colours."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image

from segue.core.errors import DataError
from segue.core.files import natural_sort_key, read_text
from segue.data.formats.base import Format, WriteOptions, Writer, label_map
from segue.data.formats.locate import ImageLocator, stems
from segue.data.formats.output import OutputFolder
from segue.data.formats.voc_colors import ClassColors, color, read_codes
from segue.data.io.image import Labels
from segue.data.rasterize import rles_of_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle

IGNORE = 255
IGNORE_COLOR = color(IGNORE)
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
_LOSSLESS = (".png", ".tif", ".tiff", ".bmp", ".gif")
_LIST = "ImageSets/Segmentation/train.txt"


class VocWriter(Writer):
    """``JPEGImages/``, ``SegmentationObject/``, ``SegmentationClass/``, a list, and ``labelmap.txt`` with the
    class names (that of CVAT), because VOC's own twenty are seldom the ones at hand."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, [n for n in names if n != "background"])
        self._list = output.stream(_LIST)

    def add(self, image: AnnotatedImage) -> list[Loss]:
        kinds = [self.number(annotation.name) + 1 for annotation in image.annotations[: IGNORE - 1]]
        if max(kinds, default=0) >= IGNORE:
            raise DataError(f"more than {IGNORE - 1} classes", "as many as a palette holds", "write the format 'coco'")
        objects, losses = label_map(image, range(1, IGNORE))
        classes = np.array([0, *kinds], np.int32)[objects]
        if (ignore_mask := image.ignore_mask) is not None:
            objects[ignore_mask] = classes[ignore_mask] = IGNORE
        stem = self.place_flat("JPEGImages", image)
        self.output.put(f"SegmentationObject/{stem}.png", palette_png(objects))
        self.output.put(f"SegmentationClass/{stem}.png", palette_png(classes))
        self._list.write(f"{stem}\n".encode())
        return losses + self._renamed(image)

    def finish(self) -> None:
        self.output.keep(self._list)
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        lines += [f"{_plain(name)}:{','.join(map(str, color(k + 1)))}::" for name, k in self.classes.items()]
        self.output.put("labelmap.txt", ("\n".join(lines) + "\n").encode())

    def _renamed(self, image: AnnotatedImage) -> list[Loss]:
        changed = {a.name: _plain(a.name) for a in image.annotations if a.name and _plain(a.name) != a.name}
        what = "class written as {!r}, as labelmap.txt ends names at a colon"
        return [Loss(image.file_name, what.format(plain), name, 1.0) for name, plain in changed.items()]


def _plain(name: str) -> str:
    """A class name as labelmap.txt can hold it."""
    return " ".join(name.replace(":", " ").replace("#", " ").splitlines()) if set(name) & set(":#\n\r") else name


class Voc(Format):
    """Everingham et al., IJCV 2010. One object per colour of ``SegmentationObject``, named by the class map where
    there is one; without it one object per class. Classes are the colours that ``labelmap.txt`` names, else those of
    VOC's palette; 255 is void in both maps. The split is "val" where it is listed."""

    name = "voc"
    writer_type = VocWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        places = [folder / kind for kind in ("SegmentationObject", "SegmentationClass") if (folder / kind).is_dir()]
        names = [] if options.all_splits else listed(folder / "ImageSets" / "Segmentation", options.split)
        every = [stems(place) for place in places]
        maps = [{stem: file for stem, file in one.items() if file.suffix.lower() in _LOSSLESS} for one in every]
        others = [
            file for one, held in zip(every, maps, strict=True) for file in one.values() if file not in held.values()
        ]
        losses = [Loss("", "label map that is no PNG left out", file=file.name) for file in others]
        names = names or sorted(set().union(*maps), key=natural_sort_key)
        if not names:
            raise DataError(f"no mask in {folder}", "palette PNG files in SegmentationObject or SegmentationClass")
        colors, locator = (
            ClassColors(folder / "labelmap.txt", CLASSES),
            ImageLocator(*options.places(folder / "JPEGImages")),
        )
        ignored = (IGNORE,) if options.ignore_values is None else options.ignore_values

        def load(index: int) -> AnnotatedImage:
            name = names[index]
            masks = [held[name] for held in maps if name in held] or [places[0] / f"{name}.png"]
            kinds = next((file for file in masks if file.is_relative_to(folder / "SegmentationClass")), None)
            return _annotated(name, masks[0], kinds, colors, locator, ignored)

        classes = [name for name in colors.names if name != "background"] if colors.own else ()
        return DataSet(self.name, folder, Samples(names, load), classes, losses)


def _annotated(
    stem: str, mask: Path, kinds: Path | None, colors: ClassColors, locator: ImageLocator, ignored: Sequence[int]
) -> AnnotatedImage:
    objects, palette = read_codes(mask)
    if palette is not None and IGNORE_COLOR in palette.values():
        objects[np.isin(objects, [code for code, one in palette.items() if one == IGNORE_COLOR])] = IGNORE
    classes = None if kinds is None else colors.classes(kinds)
    if classes is not None and classes.shape != objects.shape:
        raise DataError(f"{kinds} of another size than {mask}", "one size")
    if kinds == mask and classes is not None:
        objects = np.where(objects == IGNORE, IGNORE, classes)
    image = locator.any_suffix(stem)
    name = f"{stem}{'.jpg' if image is None else image.suffix}"
    every = [(k, rle) for k, rle in rles_of_labels(objects) if k not in ignored]
    annotations, losses = [], []
    for number, (k, rle) in enumerate(every, start=1):
        id = stem if len(every) == 1 else f"{stem}#{k if k <= IGNORE else number}"
        kind, doubt = _class_of(rle, classes, colors.names)
        annotations.append(Annotation(kind, rle, id))
        if doubt:
            losses.append(Loss(name, doubt, id, 1.0, mask.name))
    void = np.isin(objects, ignored)
    ignore_rle = Rle.from_mask(void) if void.any() else None
    size = objects.shape[0], objects.shape[1]
    return AnnotatedImage(name, size, tuple(annotations), image, ignore_rle, tuple(losses))


def _class_of(rle: Rle, classes: Labels | None, names: Sequence[str]) -> tuple[str, str]:
    """The class that most of an object's pixels have, and what to say where that is none, or not of all."""
    if classes is None:
        return "", ""
    crop, x, y = rle.crop()
    counts = np.bincount(classes[y : y + crop.shape[0], x : x + crop.shape[1]][crop])
    most = int(counts.argmax())
    if not 0 < most < len(names) or names[most] == "background":
        return "", "no class in the class map"
    others = [names[k] for k in np.flatnonzero(counts).tolist() if k not in (0, most) and k < len(names)]
    return names[most], f"partly of class {', '.join(others)} in the class map" if others else ""


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
    names = [line.split()[0] for line in read_text(file).splitlines() if line.strip()]
    if not names:
        raise DataError(f"the empty list {file}", "one file name a line")
    return names


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
