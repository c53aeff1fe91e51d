"""Images, masks and texts: ``images/``, ``masks/`` and ``anns/<split>.json``, as medical text-prompt sets come.

Source: the layout that VLSM-Adapter and its predecessors publish (entries with ``img_name``, ``mask_name`` and
``prompts``, a mapping from p0, p1, ... to one text or a list of them).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from segue.core.errors import DataError
from segue.core.files import write_bytes
from segue.core.types import Mask
from segue.data.formats.pairs import file_stem
from segue.data.io.image import Labels, read_image, read_labels, write_image, write_labels
from segue.data.sample import Format, Instance, Options, Sample, Target, no_void

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Entry:
    """One mask of one image and what may be said to mean it."""

    image: str
    mask: str
    texts: tuple[str, ...]


class ImageTextMask(Format):
    """One sample an image; every entry of an image is an object. ``Options.split`` None reads all splits, and a
    sample's ``group`` is its split.

    >>> import tempfile
    >>> import numpy as np
    >>> one = Instance("a", np.eye(2, dtype=bool), texts=("a polyp",))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sample = Sample("a", lambda: np.zeros((2, 2, 3), np.uint8), lambda: Target((one,)), "val")
    ...     ImageTextMask().write(Path(folder), [sample])
    ...     again = ImageTextMask().samples(Path(folder), Options(split="val"))
    ...     again[0].read()[1].instances[0].texts
    ('a polyp',)
    """

    def detect(self, folder: Path) -> bool:
        return all((folder / name).is_dir() for name in ("images", "masks", "anns"))

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        found: list[Sample] = []
        for file in _annotations(folder, options.split):
            by_image: dict[str, list[Entry]] = {}
            for entry in read_entries(file):
                by_image.setdefault(entry.image, []).append(entry)
            found += [_sample(folder, image, entries, file.stem) for image, entries in by_image.items()]
        return found

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        entries: dict[str, list[dict[str, Any]]] = {}
        for sample in samples:
            image, target = sample.read()
            no_void(target, sample.id, "image-text-mask")
            stem = file_stem(sample)
            write_image(folder / "images" / f"{stem}.png", image)
            for k, instance in enumerate(target.instances):
                mask = f"{stem}.png" if len(target.instances) == 1 else f"{stem}_{k}.png"
                write_labels(folder / "masks" / mask, instance.mask)
                texts = instance.texts or ((instance.name,) if instance.name else ())
                entry = {"img_name": f"{stem}.png", "mask_name": mask, "prompts": {"p0": "", "p1": list(texts)}}
                entries.setdefault(sample.group or SPLITS[0], []).append(entry)
        for split, rows in entries.items():
            write_bytes(folder / "anns" / f"{split}.json", json.dumps(rows, indent=1).encode())


def read_entries(file: Path) -> list[Entry]:
    """The entries of one split. Raises ``DataError`` that names the file for anything else."""
    try:
        rows = json.loads(file.read_text())
        return [Entry(str(r["img_name"]), str(r["mask_name"]), flatten(r["prompts"])) for r in rows]
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


def _sample(folder: Path, image: str, entries: Sequence[Entry], split: str) -> Sample:
    stem = Path(image).stem
    return Sample(stem, partial(read_image, folder / "images" / image), partial(_truth, folder, stem, entries), split)


def _truth(folder: Path, stem: str, entries: Sequence[Entry]) -> Target:
    names = [stem] if len(entries) == 1 else [f"{stem}#{k}" for k in range(len(entries))]
    return Target(
        tuple(
            Instance(name, binary(read_labels(folder / "masks" / entry.mask)), texts=entry.texts)
            for name, entry in zip(names, entries, strict=True)
        )
    )


FORMAT = ImageTextMask()
