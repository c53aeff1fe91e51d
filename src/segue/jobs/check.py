"""What is suspicious in a data set, found by reading it as a conversion would: one image in memory at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from segue.core.failures import Failure, Failures
from segue.core.geometry import part_sizes
from segue.data.formats.locate import images_below
from segue.data.formats.registry import open_data
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options
from segue.data.rle import Rle, overlap
from segue.jobs.job import job
from segue.session.config import CommandLine, JobConfig, JobResult

EXAMPLES = 5  # of each kind


class SourceConfig(JobConfig):
    """A data set of any format, all of it: what is checked and what is converted."""

    source: Annotated[
        Path, Field(description="Folder of a data set, or an annotation file."), CommandLine(positional=True)
    ]
    format: Annotated[
        str, Field(description="Its format, where it is not recognised."), CommandLine(names=("--from", "--format"))
    ] = "auto"
    split: Annotated[str | None, Field(description="Only this split; without it all of them.")] = None
    results: Annotated[
        Literal["annotations", "predictions", "drafts"], Field(description="Which results of Label Studio are read.")
    ] = "annotations"
    photos: Annotated[
        Path | None, Field(description="Folder of the photos, where they do not lie beside the annotations.")
    ] = None

    def open(self, ignore_values: tuple[int, ...] | None = None) -> DataSet:
        """The data set; label values of ``ignore_values`` are void. Raises ``DataError`` for no known format."""
        options = Options(ignore_values, self.split, self.split is None, self.results, self.photos)
        return open_data(self.source, self.format, options)


class CheckConfig(SourceConfig):
    """What ``segue check`` takes: a data set of any format.

    >>> CheckConfig(source="labelled").specks
    16
    """

    ignore_values: Annotated[
        tuple[int, ...] | None, Field(description="Labels that are void, such as 255; without it what the format says.")
    ] = None
    specks: Annotated[int, Field(description="Parts of fewer pixels are specks.", ge=0)] = 16
    overlap: Annotated[float, Field(description="Objects that share more of the smaller one overlap.", ge=0, le=1)] = (
        0.1
    )


class CheckFinding(BaseModel):
    """One kind of suspicious thing: how often, and the first of them."""

    what: str
    count: int
    examples: list[str]


class CheckResult(JobResult):
    """The ``format``, counts of ``images`` and ``objects`` (by class in ``classes``), and the ``findings``, worst
    first; ``failed`` are images that do not read."""

    source: str
    format: str
    images: int
    objects: int
    classes: dict[str, int]
    findings: list[CheckFinding]
    failed: tuple[Failure, ...]


class _Findings:
    """Counts of what was found, with the first of each kind; of bounded size."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, list[str]]] = {}

    def add(self, what: str, where: str) -> None:
        count, examples = self._kinds.get(what, (0, []))
        self._kinds[what] = count + 1, examples if len(examples) >= EXAMPLES else [*examples, where]

    def losses(self, losses: Sequence[Loss]) -> None:
        for loss in losses:
            self.add(loss.what, " ".join(filter(None, (loss.file, loss.image, loss.object))))

    def listed(self) -> list[CheckFinding]:
        order = sorted(self._kinds.items(), key=lambda item: -item[1][0])
        return [CheckFinding(what=what, count=count, examples=examples) for what, (count, examples) in order]


@job(CheckConfig)
def check(config: CheckConfig) -> CheckResult:
    """Read a data set of any format and report everything suspicious: images that do not read, other sizes than their
    photo's, annotations without mask, image or class, the same file or mask twice, empty masks, specks, objects that
    overlap or cover the whole image, images without objects, and photos that nothing is said of.

    Raises ``DataError`` for a folder of no known format.

    >>> import tempfile
    >>> import numpy as np
    >>> from segue.data.io.image import write_image, write_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/images/a.png", np.zeros((9, 9, 3), np.uint8))
    ...     write_labels(f"{folder}/masks/a.png", np.eye(9, dtype=bool))
    ...     [finding.what for finding in check(source=folder).findings]
    ['part of fewer than 16 pixels']
    """
    data = config.open(config.ignore_values)
    findings, failures = _Findings(), Failures()
    findings.losses(data.losses)
    images = objects = 0
    classes: dict[str, int] = {}
    photos: set[Path] = set()
    for sample in data.samples:
        with failures.guard(sample.id):
            image = sample.load()
            images, objects = images + 1, objects + len(image.annotations)
            for annotation in image.annotations:
                classes[annotation.name] = classes.get(annotation.name, 0) + 1
            if image.file is not None and image.file in photos:
                findings.add("photo that two entries share", image.file_name)
            if image.file is not None:
                photos.add(image.file)
            findings.losses(image.losses)
            for what, where in suspicions(image, config.specks, config.overlap):
                findings.add(what, where)
    for what, where in _of_the_whole(classes, data.classes):
        findings.add(what, where)
    if config.split is None and data.folder.is_dir():
        for path in _silent_photos(data.folder, photos):
            findings.add("photo that no annotation names", path.name)
    return CheckResult(
        source=str(config.source),
        format=data.format,
        images=images,
        objects=objects,
        classes={name or "(none)": count for name, count in classes.items()},
        findings=findings.listed(),
        failed=tuple(failures.rows),
    )


def suspicions(image: AnnotatedImage, specks: int, most_shared: float) -> Iterator[tuple[str, str]]:
    """(what, where) of everything suspicious in one annotated image.

    >>> import numpy as np
    >>> whole = Annotation("cat", Rle((2, 2), np.array([0, 4])), "a#1")
    >>> list(suspicions(AnnotatedImage("a.png", (2, 2), (whole,)), 0, 0.1))
    [('image file not found', 'a.png'), ('object that covers the whole image', 'a.png a#1')]
    """
    if image.file is None and image.pixels is None:
        yield "image file not found", image.file_name
    if not image.annotations:
        yield "image without an object", image.file_name
    for annotation in image.annotations:
        where = f"{image.file_name} {annotation.label}"
        area = annotation.area
        if not area:
            continue  # named by the reader
        if area == image.size[0] * image.size[1]:
            yield "object that covers the whole image", where
        elif specks and _smallest_part(annotation.rle) < specks:
            yield f"part of fewer than {specks} pixels", where
    for a, b in itertools.combinations([a for a in image.annotations if a.area], 2):
        shared = _shared(a, b)
        if shared == 1 and a.rle == b.rle:
            yield "object annotated twice", f"{image.file_name} {a.label}, {b.label}"
        elif shared > most_shared:
            yield "objects that overlap", f"{image.file_name} {a.label}, {b.label} ({shared:.0%} of the smaller)"


def _shared(a: Annotation, b: Annotation) -> float:
    """The share of the smaller object that lies in the other."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.rle.box, b.rle.box
    if ax0 >= bx1 or bx0 >= ax1 or ay0 >= by1 or by0 >= ay1:
        return 0.0
    iou = overlap(a.rle, b.rle)
    return iou * (a.area + b.area) / (1 + iou) / min(a.area, b.area)


def _smallest_part(rle: Rle) -> int:
    """Pixels of the smallest connected part (8-neighbourhood)."""
    return int(part_sizes(rle.crop()[0]).min())


def _of_the_whole(classes: dict[str, int], listed: Sequence[str]) -> Iterator[tuple[str, str]]:
    plain: dict[str, str] = {}
    for name in classes:
        other = plain.setdefault(name.strip().lower(), name)
        if other != name:
            yield "classes that differ in capitals or spaces", f"{other!r}, {name!r}"
    for name in listed:
        if name not in classes:
            yield "class without an object", name
    if classes.get("") and len(classes) > 1:
        yield "objects without a class beside others that have one", f"{classes['']} objects"


def _silent_photos(folder: Path, photos: set[Path]) -> Iterator[Path]:
    """Photos in the folders of those that are annotated, of which nothing is said."""
    places = {path.parent for path in photos}
    return (path for path in images_below(folder) if path.parent in places and path not in photos)
