"""Images, masks and texts: ``images/``, ``masks/`` and ``anns/<split>.json``, as medical text-prompt sets come.

Source: the layout that VLSM-Adapter and its predecessors publish (entries with ``img_name``, ``mask_name`` and
``prompts``, a mapping from p0, p1, ... to one text or a list of them).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segue.core.errors import DataError
from segue.core.files import read_json
from segue.core.types import Mask
from segue.data.formats.base import SPLITS, Format, WriteOptions, Writer, void_loss
from segue.data.formats.locate import safe_name
from segue.data.formats.output import OutputFolder
from segue.data.io.image import Labels, read_labels, write_labels
from segue.data.photo_size import photo_size
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples


class MaskWithTexts(NamedTuple):
    """One mask of one image and what may be said to mean it."""

    image: str
    mask: str
    texts: tuple[str, ...]


class ImageTextMaskWriter(Writer):
    """``images/``, ``masks/`` with a file an object, and ``anns/<split>.json``; images that
    belong to a split stay in it."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, image: AnnotatedImage) -> list[Loss]:
        split, name = self.split_of(image)
        stem = self.output.free("_".join(name.with_suffix("").parts))
        placed = self.place(f"images/{stem}{name.suffix}", image).removeprefix("images/")
        for k, annotation in enumerate(image.annotations):
            mask = f"{stem}.png" if len(image.annotations) == 1 else f"{stem}_{k}.png"
            if self.output.folder is not None:
                write_labels(self.output.folder / "masks" / mask, annotation.mask)
            texts = annotation.texts or ((annotation.name,) if annotation.name else ())
            row = {"img_name": placed, "mask_name": mask, "prompts": {"p0": "", "p1": list(texts)}}
            self._rows.setdefault(split, []).append(row)
        return void_loss(image)

    def finish(self) -> None:
        for split, rows in self._rows.items():
            self.output.put(f"anns/{split}.json", json.dumps(rows, indent=1).encode())


class ImageTextMask(Format):
    """One sample an image; every row of an image is an object. ``Options.split`` None reads all splits, and a
    sample's ``group`` is its split."""

    name = "image-text-mask"
    writer_type = ImageTextMaskWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        images: list[tuple[str, str, list[MaskWithTexts]]] = []
        for file in _annotations(folder, options.split):
            by_image: dict[str, list[MaskWithTexts]] = {}
            for row in read_rows(file):
                by_image.setdefault(row.image, []).append(row)
            images += [(file.stem, image, rows) for image, rows in by_image.items()]
        ids = [Path(image).stem for _, image, _ in images]

        def load(index: int) -> AnnotatedImage:
            split, image, rows = images[index]
            path = folder / "images" / safe_name(image)
            names = [ids[index]] if len(rows) == 1 else [f"{ids[index]}#{k}" for k in range(len(rows))]
            objects = tuple(
                Annotation.from_mask(binary(read_labels(folder / "masks" / row.mask)), "", name, row.texts)
                for name, row in zip(names, rows, strict=True)
            )
            size = objects[0].rle.size if objects else photo_size(path)
            return AnnotatedImage(image, size, objects, path, group=split)

        return DataSet(self.name, folder, Samples(ids, load, [split for split, _, _ in images]))


def read_rows(file: Path) -> list[MaskWithTexts]:
    """The rows of one split. Raises ``DataError`` that names the file for anything else."""
    try:
        rows = read_json(file)
        return [MaskWithTexts(str(r["img_name"]), str(r["mask_name"]), flatten(r["prompts"])) for r in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file}, which does not fit ({type(error).__name__}: {error})",
            'a list of {"img_name": ..., "mask_name": ..., "prompts": {"p1": ["...", ...]}}',
        ) from error


def flatten(prompts: Any) -> tuple[str, ...]:
    """Every text that is not empty, in the order of its keys; each once.

    >>> flatten({"p0": "", "p1": "polyp", "p2": ["one polyp", "polyp"]})
    ('polyp', 'one polyp')
    """
    texts = [t for v in prompts.values() for t in ([v] if isinstance(v, str) else v)]
    return tuple(dict.fromkeys(str(t) for t in texts if str(t).strip()))


def binary(labels: Labels) -> Mask:
    """(H, W) grey levels of a binary mask -> bool: above half where there are levels beyond 1, so that the noise
    of masks stored as JPEG (Kvasir-SEG's) is no object.

    >>> import numpy as np
    >>> binary(np.array([[0, 3, 250]])), binary(np.array([[0, 1, 1]]))
    (array([[False, False,  True]]), array([[False,  True,  True]]))
    """
    mask: Mask = labels > (127 if labels.max(initial=0) > 1 else 0)
    return mask


def _annotations(folder: Path, split: str | None) -> list[Path]:
    files = sorted((folder / "anns").glob("*.json"), key=lambda p: (SPLITS.index(p.stem) if p.stem in SPLITS else 9, p))
    chosen = [f for f in files if split in (None, f.stem)]
    if not chosen:
        raise DataError(
            f"no split '{split}' in {folder / 'anns'}" if split else f"no split in {folder / 'anns'}",
            f"one of: {', '.join(f.stem for f in files) or 'train.json, val.json, test.json'}",
        )
    return chosen
