"""Annotations of one tool into those of another: streamed, exact where the format can be, every loss named."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from segue.core.errors import DataError
from segue.core.failures import Failure, Failures
from segue.data.formats.base import WriteOptions
from segue.data.formats.registry import FORMATS, format_named, known_name
from segue.data.record import AnnotatedImage, DataSet, Loss
from segue.jobs.check import SourceConfig
from segue.jobs.job import job
from segue.session.config import JobResult

EXAMPLES = 20


class ConvertDataConfig(SourceConfig):
    """What ``segue convert-data`` takes: a folder of annotations, the format to write and where.

    >>> ConvertDataConfig(source="in", to="png", output="out").to
    'folder'
    """

    to: Annotated[str, Field(description=f"The format to write: {', '.join(FORMATS)}.")]
    output: Annotated[Path | None, Field(description="A new folder to write.")] = None
    polygons: Annotated[bool, Field(description="Polygons instead of exact masks.")] = False
    tolerance: Annotated[float, Field(description="Pixels that polygons may stray; fewer points.", ge=0)] = 0.0
    images: Annotated[Literal["copy", "link", "none"], Field(description="What happens to the photos.")] = "copy"
    dry_run: Annotated[bool, Field(description="Write nothing; report what would be lost.")] = False
    strict: Annotated[bool, Field(description="Stop at the first image that does not read.")] = False

    @field_validator("to")
    @classmethod
    def _known(cls, name: str) -> str:
        plain = known_name(name)  # raises, naming the nearest
        if not FORMATS[plain].writes:
            raise ValueError(f"'{plain}' is read only")
        return plain

    @model_validator(mode="after")
    def _somewhere(self) -> ConvertDataConfig:
        if self.output is None and not self.dry_run:
            raise ValueError("no folder to write: give --output, or --dry-run")
        if self.tolerance and not (self.polygons or self.to == "yolo"):
            raise ValueError("a tolerance simplifies polygons: add --polygons")
        return self


class LossKind(BaseModel):
    """How often something was lost, and the ``worst_iou`` and ``mean_iou`` of what is left."""

    count: int = 0
    worst_iou: float | None = None
    mean_iou: float | None = None


class ConvertDataResult(JobResult):
    """What was converted: counts of ``images`` and ``objects``, how many objects are ``exact``, ``losses`` by kind,
    their first ``examples``, and the images that ``failed``."""

    source: str
    from_: Annotated[str, Field(alias="from")]
    to: str
    output: str | None
    images: int
    objects: int
    exact: int
    losses: dict[str, LossKind]
    examples: tuple[Loss, ...]
    failed: tuple[Failure, ...]
    seconds: float
    images_per_second: float


class LossTally:
    """How many objects were lost to what, and the first examples; of bounded size."""

    def __init__(self) -> None:
        self.images = self.objects = self.exact = 0
        self.examples: list[Loss] = []
        self._kinds: dict[str, list[float]] = {}

    def count(self, image: AnnotatedImage, losses: Sequence[Loss]) -> None:
        """Add an image and what it lost."""
        self.images += 1
        self.objects += len(image.annotations)
        lost = {loss.object for loss in losses if loss.object and loss.iou != 1}
        self.exact += sum(annotation.label not in lost for annotation in image.annotations)
        self.add(losses)

    def add(self, losses: Sequence[Loss]) -> None:
        """Add losses."""
        for loss in losses:
            row = self._kinds.setdefault(loss.what, [0, 1.0, 0.0, 0])
            row[0] += 1
            if loss.iou is not None:
                row[1], row[2], row[3] = min(row[1], loss.iou), row[2] + loss.iou, row[3] + 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(loss)

    def kinds(self) -> dict[str, LossKind]:
        """The losses by what happened."""
        return {
            what: LossKind(
                count=int(n), worst_iou=round(low, 6) if k else None, mean_iou=round(s / k, 6) if k else None
            )
            for what, (n, low, s, k) in self._kinds.items()
        }


@job(ConvertDataConfig)
def convert_data(config: ConvertDataConfig) -> ConvertDataResult:
    """Convert a folder of annotations, one image in memory at a time.

    An image that does not read is left out and named, unless ``strict``. Raises ``DataError`` for a folder of no known
    format, for one without any object, for a damaged file that holds everything, or an output folder that is not empty.

    >>> import tempfile, numpy as np
    >>> from segue.data.io.image import write_image, write_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/in/images/a.png", np.zeros((4, 4, 3), np.uint8))
    ...     write_labels(f"{folder}/in/masks/a.png", np.eye(4, dtype=bool))
    ...     done = convert_data(ConvertDataConfig(source=f"{folder}/in", to="coco", output=f"{folder}/out"))
    >>> done.from_, done.images, done.objects, done.exact, done.losses
    ('folder', 1, 1, 1, {})
    """
    started = time.perf_counter()
    data = config.open()
    target = None if config.dry_run else config.output
    tally, failures, photos = LossTally(), Failures(config.strict), set[int]()
    tally.add(data.losses)
    write = WriteOptions(config.polygons, config.tolerance, config.images)
    with _new_folder(target), format_named(config.to).writer(target, write, data.classes) as writer:
        for sample in data.samples:
            with failures.guard(sample.id):
                image = sample.load()
                losses = [*image.losses, *_about_photo(image, photos), *writer.add(image)]
                tally.count(image, losses)
        if not tally.objects:
            raise _nothing(data, tally, failures.rows)
    seconds = time.perf_counter() - started
    return ConvertDataResult(
        source=str(config.source),
        from_=data.format,
        to=config.to,
        output=str(target) if target else None,
        images=tally.images,
        objects=tally.objects,
        exact=tally.exact,
        losses=tally.kinds(),
        examples=tuple(tally.examples),
        failed=tuple(failures.rows),
        seconds=round(seconds, 3),
        images_per_second=round(tally.images / max(seconds, 1e-9), 1),
    )


@contextmanager
def _new_folder(target: Path | None) -> Iterator[None]:
    """A folder to fill: nothing of it stays after an error. Raises ``DataError`` where it holds something already."""
    if target is not None and target.exists() and any(target.iterdir()):
        raise DataError(f"{target}, which is not empty", "a new folder", "choose another or empty it")
    try:
        yield
    except BaseException:
        if target is not None:
            shutil.rmtree(target, ignore_errors=True)
        raise


def _nothing(data: DataSet, tally: LossTally, failed: Sequence[Failure]) -> DataError:
    """What was there, where there is no object at all."""
    reasons = [f"{what} ({kind.count})" for what, kind in tally.kinds().items()]
    reasons += [failure.reason for failure in failed[:3]]
    why = f": {'; '.join(reasons[:8])}" if reasons else ""
    return DataError(
        f"{data.folder} without any object in {len(data.samples)} images of the format '{data.format}'{why}",
        "at least one object with a mask",
    )


def _about_photo(image: AnnotatedImage, before: set[int]) -> list[Loss]:
    """What to say of an image's photo; ``before`` are the hashes of those that came before it."""
    if image.file is None:
        return [] if image.pixels else [Loss(image.file_name, "image file not found: annotations only")]
    twice = hash(image.file) in before
    before.add(hash(image.file))
    return [Loss(image.file_name, "photo that an earlier entry has: kept as an image of its own", iou=1.0)] * twice
