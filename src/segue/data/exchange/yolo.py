"""YOLO segmentation: one line an object, one ring of relative coordinates; holes by slits, parts by bridges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import yaml

from segue.core.errors import DataError
from segue.data.exchange.base import (
    Entry,
    Exchange,
    Loss,
    Sheet,
    Writer,
    empty_loss,
    image_size,
    images_below,
    lazy_samples,
    outline,
    outline_losses,
    safe_name,
    void_loss,
)
from segue.data.exchange.rings import rle_of_rings
from segue.data.sample import Options, Sample

SPLITS = ("train", "val", "test")
_DECIMALS = 7  # a hundredth of a pixel in an image 100,000 pixels wide


class YoloWriter(Writer):
    """``images/<split>/``, ``labels/<split>/`` and ``data.yaml``. Images whose path begins with a split's name
    stay in it; all others are "train". An image without objects has an empty file."""

    def add(self, sheet: Sheet) -> list[Loss]:
        name = safe_name(sheet.file_name)
        split = name.parts[0] if name.parts[0] in SPLITS and len(name.parts) > 1 else "train"
        inside = PurePosixPath(*name.parts[1:]) if name.parts[0] == split else name
        stem = self.sink.free(f"{split}/{inside.with_suffix('')}")
        self.place(f"images/{stem}{inside.suffix}", sheet)
        height, width = sheet.size
        lines, losses = [], void_loss(sheet)
        for entry in sheet.entries:
            number = self.number(entry.name)
            if not entry.rle.area:
                losses.append(empty_loss(sheet, entry))
                continue
            drawn = outline(entry.rle, self.choices.tolerance, single=True)
            losses += outline_losses(sheet, entry, drawn)
            relative = np.clip(drawn.rings[0] / (width, height), 0, 1).reshape(-1)
            lines.append(f"{number}" + f" %.{_DECIMALS}f" * relative.size % tuple(relative.tolist()))
        self.sink.put(f"labels/{stem}.txt", "".join(f"{line}\n" for line in lines).encode())
        return losses

    def finish(self) -> None:
        names = "".join(f"  {k}: {json.dumps(name, ensure_ascii=False)}\n" for name, k in self.classes.items())
        head = "path: .\ntrain: images/train\nval: images/val\ntest: images/test\n"
        self.sink.put("data.yaml", f"{head}names:\n{names}".encode() if names else f"{head}names: {{}}\n".encode())


class Yolo(Exchange):
    """The layout of Ultralytics: a folder ``labels`` where the path of the image says ``images``.

    >>> Yolo().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "yolo"
    writer_type: ClassVar[type[Writer]] = YoloWriter

    def detect(self, folder: Path) -> bool:
        return any(images.is_dir() for images in (folder / "labels", *folder.glob("*/labels"))) and bool(
            next(_images(folder), None)
        )

    def read(self, folder: Path) -> Iterator[Sheet]:
        names = self.classes(folder)
        for image in _images(folder):
            yield _sheet(image, folder, names)

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        names = self.classes(folder)
        chosen = [p for p in _images(folder) if options.split is None or options.split in _name(p, folder).parts]
        return lazy_samples(chosen, lambda p: str(_name(p, folder)), lambda p: _sheet(p, folder, names))

    def classes(self, folder: Path) -> Sequence[str]:
        file = next(iter([*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))]), None)
        if file is None:
            return ()
        try:
            names: Any = yaml.safe_load(file.read_text()).get("names") or ()
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            known = {int(k): str(name) for k, name in pairs}
        except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
            raise DataError(f"{file}, which does not read ({error})", "names: a list, or numbers with names") from error
        return [known.get(k, str(k)) for k in range(max(known, default=-1) + 1)]


def _images(folder: Path) -> Iterator[Path]:
    return (path for path in images_below(folder) if "images" in path.relative_to(folder).parts[:-1])


def _name(image: Path, folder: Path) -> PurePosixPath:
    parts = [part for part in image.relative_to(folder).parts if part != "images"]
    return PurePosixPath(*parts)


def _label_file(image: Path, folder: Path) -> Path:
    parts = list(image.relative_to(folder).with_suffix(".txt").parts)
    last = len(parts) - 1 - parts[::-1].index("images")
    return folder.joinpath(*parts[:last], "labels", *parts[last + 1 :])


def _sheet(image: Path, folder: Path, names: Sequence[str]) -> Sheet:
    size, name, file = image_size(image), str(_name(image, folder)), _label_file(image, folder)
    entries: list[Entry] = []
    losses: list[Loss] = []
    lines = file.read_text().splitlines() if file.exists() else []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) in (5, 6):
            losses.append(Loss(name, "box without a mask left out", f"line {number}"))
            continue
        try:
            kind, flat = int(float(fields[0])), np.array(fields[1:], np.float64)
            if flat.size % 2 or flat.size < 6 or not np.isfinite(flat).all():
                raise ValueError(f"{flat.size} numbers")
        except ValueError as error:
            raise DataError(
                f"line {number} of {file}, which does not read ({error})",
                "<class> x1 y1 x2 y2 x3 y3 ..., relative to the image's size",
            ) from error
        rle = rle_of_rings([flat.reshape(-1, 2) * (size[1], size[0])], size)
        entries.append(Entry(names[kind] if 0 <= kind < len(names) else str(kind), rle, str(number)))
    return Sheet(name, size, tuple(entries), image, losses=tuple(losses))


FORMAT = Yolo()
