"""Annotations of one tool into those of another: streamed, exact where the format can be, every loss named."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from segue.core.errors import DataError, MissingFile
from segue.data.exchange.base import Choices, Loss, Sheet
from segue.data.exchange.rows import EXCHANGE, exchange, recognise
from segue.data.formats.registry import FORMATS, open_data
from segue.jobs.job import job
from segue.session.config import CommandLine, JobConfig

EXAMPLES = 20


class ConvertDataConfig(JobConfig):
    """What ``segue convert-data`` takes: a folder of annotations, the format to write and where.

    ``polygons`` and ``tolerance`` (pixels) replace exact masks; ``images`` says what happens to the photos;
    ``dry_run`` writes nothing and reports the same.
    """

    source: Annotated[
        Path, Field(description="Folder of annotations; its format is recognised."), CommandLine(positional=True)
    ]
    to: str
    output: Path | None = None
    format: str = "auto"
    polygons: bool = False
    tolerance: float = Field(0.0, ge=0)
    images: Literal["copy", "link", "none"] = "copy"
    dry_run: bool = False

    @field_validator("to")
    @classmethod
    def _known(cls, name: str) -> str:
        EXCHANGE[name]  # raises, naming the nearest
        return name

    @model_validator(mode="after")
    def _somewhere(self) -> ConvertDataConfig:
        if self.output is None and not self.dry_run:
            raise ValueError("no folder to write: give --output, or --dry-run")
        if self.tolerance and not (self.polygons or self.to == "yolo"):
            raise ValueError("a tolerance simplifies polygons: add --polygons")
        return self


class _Tally:
    """How many objects were lost to what, and the first examples; of bounded size."""

    def __init__(self) -> None:
        self.images = self.objects = self.exact = 0
        self.kinds: dict[str, list[float]] = {}
        self.examples: list[dict[str, Any]] = []

    def count(self, sheet: Sheet, losses: Sequence[Loss]) -> None:
        self.images += 1
        self.objects += len(sheet.entries)
        self.exact += len(sheet.entries) - len({loss.object for loss in losses if loss.object and loss.iou != 1})
        for loss in losses:
            row = self.kinds.setdefault(loss.what, [0, 1.0, 0.0, 0])
            row[0] += 1
            if loss.iou is not None:
                row[1], row[2], row[3] = min(row[1], loss.iou), row[2] + loss.iou, row[3] + 1
            if len(self.examples) < EXAMPLES:
                self.examples.append({"image": loss.image, "what": loss.what, "object": loss.object, "iou": loss.iou})

    def losses(self) -> dict[str, dict[str, float | None]]:
        return {
            what: {
                "count": int(n),
                "worst_iou": round(low, 6) if k else None,
                "mean_iou": round(s / k, 6) if k else None,
            }
            for what, (n, low, s, k) in self.kinds.items()
        }


@job(ConvertDataConfig)
def convert_data(config: ConvertDataConfig) -> dict[str, Any]:
    """Convert a folder of annotations, one image in memory at a time.

    Returns the counts of images and objects, how many objects are exact, what was lost (by kind: count, worst
    and mean IoU), the first examples and the rate. Raises ``DataError`` for a folder of no known format, a damaged
    file, or an output folder that is not empty.

    >>> import tempfile, numpy as np
    >>> from segue.data.io.image import write_image, write_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/in/images/a.png", np.zeros((4, 4, 3), np.uint8))
    ...     write_labels(f"{folder}/in/masks/a.png", np.eye(4, dtype=bool))
    ...     done = convert_data(ConvertDataConfig(source=f"{folder}/in", to="coco", output=f"{folder}/out"))
    >>> done["from"], done["images"], done["objects"], done["exact"], done["losses"]
    ('png', 1, 1, 1, {})
    """
    started = time.perf_counter()
    if not config.source.is_dir():
        raise MissingFile(f"{config.source}", "a folder of annotations", "check the spelling")
    name, sheets, names = _source(config)
    target = None if config.dry_run else config.output
    if target is not None and target.exists() and any(target.iterdir()):
        raise DataError(f"{target}, which is not empty", "a new folder", "choose another or empty it")
    tally = _Tally()
    choices = Choices(config.polygons, config.tolerance, config.images)
    with exchange(config.to).writer(target, choices, names) as writer:
        for sheet in sheets:
            losses = [*sheet.losses, *_without_image(sheet), *writer.add(sheet)]
            tally.count(sheet, losses)
    seconds = time.perf_counter() - started
    return {
        "source": str(config.source),
        "from": name,
        "to": config.to,
        "output": str(target) if target else None,
        "images": tally.images,
        "objects": tally.objects,
        "exact": tally.exact,
        "losses": tally.losses(),
        "examples": tally.examples,
        "seconds": round(seconds, 3),
        "images_per_second": round(tally.images / max(seconds, 1e-9), 1),
    }


def _source(config: ConvertDataConfig) -> tuple[str, Iterator[Sheet], Sequence[str]]:
    """The format's name, its sheets, and its class names in the order of their numbers."""
    if config.format in EXCHANGE or (config.format == "auto" and _is_exchange(config.source)):
        name = recognise(config.source) if config.format == "auto" else config.format
        form = exchange(name)
        if not form.detect(config.source):
            raise DataError(f"{config.source}", f"the layout of '{name}': {EXCHANGE[name].layout}")
        return name, form.read(config.source), form.classes(config.source)
    if config.format != "auto":
        FORMATS[config.format]  # raises, naming the nearest
    opened = open_data(config.source, config.format)
    return opened.format, (Sheet.from_sample(sample) for sample in opened.samples), ()


def _is_exchange(folder: Path) -> bool:
    return any(exchange(name).detect(folder) for name in EXCHANGE)


def _without_image(sheet: Sheet) -> list[Loss]:
    missing = sheet.file is None and sheet.pixels is None
    return [Loss(sheet.file_name, "image file not found: annotations only")] if missing else []
