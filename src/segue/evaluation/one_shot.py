"""One-shot evaluation: which reference goes with which query, and the scores by class.

PerSeg, FSS-1000, LVIS-92i, PASCAL-Part, PACO-Part: LVIS-92i and PACO-Part are COCO JSON files, PerSeg a format of its
own; the other two are read here. An episode list names samples by their ids, so the same list measures every model on
the same pairs.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import DataError, MissingFile, UnknownName
from segue.core.files import read_text, write_bytes
from segue.core.types import Image, Mask
from segue.data.formats.registry import open_data
from segue.data.io.image import read_mask
from segue.data.photo_size import photo_size
from segue.data.record import AnnotatedImage, Annotation, Options, Sample
from segue.metrics.boundary import band_width, boundary_band
from segue.metrics.overlap import counts
from segue.session.config import JobResult


@dataclass(frozen=True)
class Episode:
    """Show the class ``name`` in sample ``reference``, find it in sample ``query``.

    >>> Episode("cat", "cat/00", "cat/01").query
    'cat/01'
    """

    name: str
    reference: str
    query: str


@dataclass(frozen=True)
class OneShotData:
    """Samples by id, and for every class the ids of the samples that show it, in a stable order."""

    samples: Mapping[str, Sample]
    classes: Mapping[str, Sequence[str]]

    def shot(self, name: str, sample: str) -> tuple[Image, Mask]:
        """The image and the mask of class ``name`` (all its instances together) in ``sample``.

        Raises ``DataError`` for a sample that is not there.
        """
        if sample not in self.samples:
            raise DataError(f"the sample '{sample}'", f"one of {len(self.samples)} in this folder")
        pixels, annotated = self.samples[sample].read()
        mask = np.zeros(annotated.size, bool)
        for annotation in annotated.annotations:
            if annotation.name == name:
                mask |= annotation.mask
        return pixels, mask


def open_one_shot(folder: Path | str, layout: str = "auto", split: str | None = None) -> OneShotData:
    """Open a one-shot data set: ``perseg``, ``fss``, ``pascal-part``, ``coco`` (LVIS-92i, PACO-Part) or any
    format that names its objects; "auto" tells the first three by their folders.

    Raises ``MissingFile``, ``DataError`` or ``UnknownName``.

    >>> open_one_shot("/no/such/folder")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got /no/such/folder, which is not there; expected a folder with a one-shot data set
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFile(f"{folder}", "a folder with a one-shot data set")
    name = _detect(folder) if layout == "auto" else layout
    if name in READERS:
        return READERS[name](folder)
    try:
        samples = open_data(folder, name, Options(split=split)).samples
    except UnknownName as error:
        known = ", ".join((*READERS, "auto", "coco"))
        raise UnknownName(f"the layout '{name}'", f"one of: {known}, or a data format") from error
    return _by_class(samples)


def make_episodes(
    data: OneShotData, queries: int | None = None, seed: int = 0, fold: int | None = None, folds: int = 10
) -> list[Episode]:
    """For every class with two samples or more: one reference and up to ``queries`` queries (None: all others).

    Without a ``seed``-dependent choice where there is none to make: with all queries, the first sample is the
    reference (PerSeg's 00). ``fold`` keeps every ``folds``-th class, as LVIS-92i's ten folds of 92 classes.

    >>> data = OneShotData({}, {"cat": ["cat/00", "cat/01", "cat/02"]})
    >>> [e.query for e in make_episodes(data)]
    ['cat/01', 'cat/02']
    """
    chooser = random.Random(seed)
    names = sorted(name for name, ids in data.classes.items() if len(ids) > 1)
    if fold is not None:
        names = names[fold::folds]
    episodes = []
    for name in names:
        ids = list(data.classes[name])
        if queries is not None:
            chooser.shuffle(ids)
            ids = ids[: queries + 1]
        episodes += [Episode(name, ids[0], query) for query in ids[1:]]
    if not episodes:
        raise DataError("no class with two images", "a reference and a query of at least one class")
    return episodes


def read_episodes(path: Path | str) -> list[Episode]:
    """Episodes from a file of JSON lines: ``{"class": ..., "reference": ..., "query": ...}``, samples by id.

    Raises ``MissingFile`` or ``DataError`` with the number of the bad line.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"{path}", "a file with a JSON object a line")
    episodes = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            episodes.append(Episode(str(row["class"]), str(row["reference"]), str(row["query"])))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"line {number} of {path}: {line[:60]}", "class, reference and query as JSON") from error
    return episodes


def write_episodes(path: Path | str, episodes: Iterable[Episode]) -> None:
    """The inverse of ``read_episodes``."""
    rows = [{"class": e.name, "reference": e.reference, "query": e.query} for e in episodes]
    write_bytes(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def _detect(folder: Path) -> str:
    if (folder / "Annotations_Part").is_dir():
        return "pascal-part"
    if (folder / "Images").is_dir() and (folder / "Annotations").is_dir():
        return "perseg"
    if _fss_classes(folder):
        return "fss"
    return "auto"


def _by_class(samples: Sequence[Sample]) -> OneShotData:
    classes: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        for name in sorted({a.name for a in sample.load().annotations if a.name}):
            classes[name].append(sample.id)
    return OneShotData({s.id: s for s in samples}, classes)


def _perseg(folder: Path) -> OneShotData:
    classes: dict[str, list[str]] = defaultdict(list)
    samples = open_data(folder, "perseg").samples
    for sample in samples:
        classes[sample.group].append(sample.id)
    return OneShotData({s.id: s for s in samples}, classes)


def _fss_classes(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.is_dir())
    return found if found and all(_fss_pairs(p) for p in found[:3]) else []


def _fss_pairs(folder: Path) -> list[Path]:
    pairs = [p for p in folder.glob("*.jpg") if p.with_suffix(".png").exists()]
    return sorted(pairs, key=lambda p: (len(p.stem), p.stem))  # 1, 2, ... 10, as they are numbered


def _fss(folder: Path) -> OneShotData:
    """FSS-1000 (Li et al., CVPR 2020): ``<class>/<n>.jpg`` beside ``<class>/<n>.png``."""
    samples, classes = {}, {}
    for group in _fss_classes(folder):
        ids = []
        for image in _fss_pairs(group):
            sample = f"{group.name}/{image.stem}"
            samples[sample] = Sample(sample, partial(_named_mask, image, group.name), group.name)
            ids.append(sample)
        classes[group.name] = ids
    if not classes:
        raise DataError(f"{folder} without classes", "<class>/<n>.jpg and <class>/<n>.png")
    return OneShotData(samples, classes)


def _named_mask(image: Path, name: str) -> AnnotatedImage:
    annotation = Annotation.from_mask(read_mask(image.with_suffix(".png")), name, f"{name}/{image.stem}")
    return AnnotatedImage(f"{name}/{image.name}", annotation.rle.size, (annotation,), image)


def _pascal_part(folder: Path) -> OneShotData:
    """PASCAL-Part (Chen et al., CVPR 2014): ``JPEGImages/*.jpg``, ``Annotations_Part/*.mat``; classes are
    ``object:part``."""
    annotations = sorted((folder / "Annotations_Part").glob("*.mat"))
    if not annotations:
        raise DataError(f"{folder / 'Annotations_Part'} without .mat files", "one for each image")
    return _by_class([Sample(p.stem, partial(_parts, p, folder / "JPEGImages" / f"{p.stem}.jpg")) for p in annotations])


def _parts(path: Path, image: Path) -> AnnotatedImage:
    from scipy.io import loadmat

    parts: list[Annotation] = []
    for thing in np.atleast_1d(loadmat(path, simplify_cells=True)["anno"]["objects"]):
        for part in _listed(thing["parts"]):
            name = f"{thing['class']}:{part['part_name']}"
            parts.append(Annotation.from_mask(np.asarray(part["mask"]) > 0, name, f"{path.stem}#{len(parts)}"))
    size = parts[0].rle.size if parts else photo_size(image)
    return AnnotatedImage(image.name, size, tuple(parts), image)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [value]
    return list(np.atleast_1d(value))


READERS: Mapping[str, Callable[[Path], OneShotData]] = {
    "perseg": _perseg,
    "fss": _fss,
    "pascal-part": _pascal_part,
}


class ClassScore(JobResult):
    """IoU, accuracy (recall of the object's pixels) and boundary IoU in per cent."""

    iou: float
    accuracy: float
    boundary_iou: float


class ClassScores:
    """The sums behind the scores: per class intersection, union, true pixels; intersection and union of the boundary
    bands (2 % of the diagonal).

    Source: PerSeg's ``eval_miou.py``; Boundary IoU (Cheng et al., 2021).

    >>> scores = ClassScores()
    >>> scores.add("cat", np.ones((4, 4), bool), np.ones((4, 4), bool))
    >>> scores.per_class()["cat"].iou, scores.means()["miou"]
    (100.0, 100.0)
    """

    def __init__(self) -> None:
        self._sums: dict[str, Any] = defaultdict(lambda: np.zeros(5, np.int64))

    def add(self, name: str, mask: Mask, target: Mask) -> None:
        """Count one image of class ``name``."""
        shared, first, second = counts(mask, target)
        width = band_width(target.shape)
        band, edge, true_edge = counts(boundary_band(mask, width), boundary_band(target, width))
        self._sums[name] += (shared, first + second - shared, second, band, edge + true_edge - band)

    def per_class(self) -> dict[str, ClassScore]:
        """The scores of every class."""
        return {
            name: ClassScore(iou=_share(s[0], s[1]), accuracy=_share(s[0], s[2]), boundary_iou=_share(s[3], s[4]))
            for name, s in self._sums.items()
        }

    def means(self) -> dict[str, float]:
        """``miou``, ``mboundary_iou`` and ``maccuracy`` over the classes."""
        rows = self.per_class().values()
        return {
            f"m{key}": round(float(np.mean([getattr(row, key) for row in rows])), 2)
            for key in ("iou", "boundary_iou", "accuracy")
        }


def _share(part: int, whole: int) -> float:
    return round(100 * float(part / max(1, whole)), 2)
