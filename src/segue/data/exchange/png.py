"""PNG label maps of 8 or 16 bit: ``images/`` and ``masks/``, the plain folder of ``segue.data.formats.folder``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from segue.data.exchange.base import (
    Choices,
    Entry,
    Exchange,
    Loss,
    Sheet,
    Writer,
    label_map,
    lazy_samples,
)
from segue.data.exchange.rings import rles_of_labels
from segue.data.exchange.sink import Sink
from segue.data.formats.folder import VOID, class_names, void_in_readme
from segue.data.formats.pairs import paired
from segue.data.io.image import SUFFIXES, read_labels, write_labels
from segue.data.rle import Rle
from segue.data.sample import Options, Sample

_NUMBERS = (*range(1, VOID), *range(VOID + 1, 65536))  # VOID stays free for void


class PngWriter(Writer):
    """``images/``, ``masks/*.png`` (one id an object, 16 bit from 256 on), ``classes.json``, and a README that
    says 255 is void where it is. Later objects lie on top."""

    def __init__(self, sink: Sink, choices: Choices, names: Sequence[str] = ()) -> None:
        super().__init__(sink, choices, names)
        self._names = sink.stream("classes.json")
        self._names.write(b"{")
        self._count, self._void = 0, False

    def add(self, sheet: Sheet) -> list[Loss]:
        stem = self.place_flat("images", sheet)
        labels, losses = label_map(sheet, _NUMBERS)
        if sheet.ignore_mask is not None and sheet.ignore_mask.area:
            labels[sheet.ignore_mask.mask() & (labels == 0)] = VOID
            self._void = True
        if self.sink.folder is not None:
            write_labels(self.sink.folder / "masks" / f"{stem}.png", labels)
        self._put(stem, {str(k): e.name for k, e in zip(_NUMBERS, sheet.entries, strict=False) if e.name})
        return losses

    def finish(self) -> None:
        self._names.write(b"\n}\n")
        self.sink.keep(self._names)
        if self._void:
            self.sink.put("README.txt", b"masks: 0 = background, 255 = void, every other number one object\n")

    def _put(self, stem: str, names: Mapping[str, str]) -> None:
        if names:
            comma = "," if self._count else ""
            self._names.write(f"{comma}\n{json.dumps(stem)}: {json.dumps(names)}".encode())
            self._count += 1


class Png(Exchange):
    """A label map an image; 128 or 255 are void where a README beside them says so.

    >>> Png().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "png"
    writer_type: ClassVar[type[Writer]] = PngWriter

    def detect(self, folder: Path) -> bool:
        masks = folder / "masks"
        return (folder / "images").is_dir() and masks.is_dir() and any(p.suffix in SUFFIXES for p in masks.iterdir())

    def read(self, folder: Path) -> Iterator[Sheet]:
        ignore_mask, names = void_in_readme(folder), class_names(folder)
        for image, mask in paired(folder / "images", folder / "masks"):
            yield _sheet(image, mask, ignore_mask, names.get(image.stem, {}))

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        ignore_mask, names = options.ignore_values or void_in_readme(folder), class_names(folder)
        masks = dict(paired(folder / "images", folder / "masks"))
        return lazy_samples(masks, lambda p: p.stem, lambda p: _sheet(p, masks[p], ignore_mask, names.get(p.stem, {})))


def _sheet(image: Path, mask: Path, ignore_mask: Sequence[int], names: Mapping[str, str]) -> Sheet:
    labels = read_labels(mask)
    entries = tuple(Entry(names.get(str(k), ""), rle, str(k)) for k, rle in rles_of_labels(labels, ignore_mask))
    ignored = np.isin(labels, ignore_mask) if ignore_mask else None
    rest = Rle.from_mask(ignored) if ignored is not None and ignored.any() else None
    return Sheet(image.name, (labels.shape[0], labels.shape[1]), entries, image, rest)
