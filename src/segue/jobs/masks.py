"""Many images, or many objects in them: masks, a line of JSON for each, a data set of another tool's format."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from segue.core.errors import ConfigError
from segue.core.failures import Failure, Failures
from segue.core.geometry import mask_box
from segue.core.types import Mask, Prompt
from segue.data.io.image import Labels, find_images, read_image, write_labels
from segue.jobs.data_set import To, data_set_writer
from segue.jobs.job import job
from segue.jobs.mask import load_for
from segue.jobs.output import Force, claim_output, unique_names
from segue.jobs.progress import progress
from segue.jobs.prompts import PromptFields, read_prompts
from segue.session.cache import FeatureCache
from segue.session.config import CommandLine, JobResult, WordsChoice
from segue.session.session import Session

MASKS, LINES = "masks", "results.jsonl"


class MasksConfig(WordsChoice, PromptFields):
    """What ``segue mask`` takes for more than one image: the same prompts for all, or those of a table."""

    image: Annotated[
        tuple[str, ...], Field(description="Photographs, folders or patterns."), CommandLine(positional=True)
    ] = ()
    output: Annotated[Path, Field(description="The folder to write.")]
    prompts_file: Annotated[
        Path | None,
        Field(description="Prompts of many images: CSV, JSON or JSON lines."),
        CommandLine(names=("--prompts",), metavar="FILE"),
    ] = None
    to: To | None = None
    cache: Annotated[str | None, Field(description="Features that segue encode made: a folder or URL.")] = None
    strict: Annotated[bool, Field(description="Stop at the first image that fails.")] = False
    force: Force = False

    @field_validator("image", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (str(value),) if isinstance(value, str | Path) else tuple(map(str, value))

    def table(self) -> dict[Path, dict[str, list[Prompt]]]:
        """Image -> object -> prompts. Raises ``ConfigError`` where nothing says what is meant."""
        if self.prompts_file is None:
            if not self.image:
                raise ConfigError("no image", "photographs, folders or patterns", "name one, or give --prompts FILE")
            return {path: {"": self.prompts()} for path in find_images(self.image)}
        if self.click or self.background_click or self.box or self.text:
            raise ConfigError("prompts beside a file of prompts", "one of them", "leave one of them out")
        table = read_prompts(self.prompts_file)
        if not self.image:
            return table
        wanted = {path.resolve() for path in find_images(self.image)}
        return {path: objects for path, objects in table.items() if path.resolve() in wanted}


class MaskedObject(JobResult):
    """One mask: its ``label`` in the image's mask file, the ``object``'s name in the table, the model's ``score``, the
    ``area`` in pixels and the ``box`` (x0, y0, x1, y1) around it, None for an empty one."""

    image: Path
    mask: Path
    object: str
    label: int
    score: float
    area: int
    box: tuple[int, int, int, int] | None
    seconds: float


class MasksResult(JobResult):
    """What was made: ``objects`` as ``results.jsonl`` holds them, and the images that ``failed``."""

    model: str
    images: int
    objects: tuple[MaskedObject, ...]
    failed: tuple[Failure, ...]
    seconds: float


@job(MasksConfig)
def masks(config: MasksConfig) -> MasksResult:
    """Segment many images; write ``masks/<image>.png``, and a line of ``results.jsonl`` as soon as an image is done.

    A mask is 0 and 255 where every image has one object, labels 1, 2, ... otherwise, the later object on top. With
    ``to`` the folder of that name holds the same as a data set. An image that fails is passed over and named.

    >>> import tempfile
    >>> from segue.data.io.image import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in "ab":
    ...         write_image(f"{folder}/in/{name}.png", np.zeros((32, 48, 3), np.uint8))
    ...     masks(image=f"{folder}/in", output=f"{folder}/out", click=[(20, 10)]).images
    2
    """
    table = config.table()
    claim_output(config.output, (MASKS, LINES, *filter(None, [config.to])), force=config.force)
    model = load_for(config, [prompt for objects in table.values() for some in objects.values() for prompt in some])
    cache = FeatureCache(config.cache) if config.cache else None
    numbered = any(len(objects) > 1 for objects in table.values())
    names, began = unique_names(list(table)), time.perf_counter()
    rows, done, failures = list[MaskedObject](), 0, Failures(config.strict)
    with data_set_writer(config.output, config.to) as add:
        for path, objects in progress(table.items(), len(table), "mask"):
            with failures.guard(path):
                file = config.output / MASKS / f"{names[path]}.png"
                session = Session(model, read_image(path), cache)
                drawn = {name: _object(session, some) for name, some in objects.items()}
                write_labels(file, _labels(drawn, numbered))
                add(path, session.image.shape[:2], [(name or "object", mask) for name, (mask, _, _) in drawn.items()])
                made = [_row(path, file, label, *row) for label, row in enumerate(drawn.items(), start=1)]
                _append(config.output / LINES, made)
                rows += made
                done += 1
    seconds = round(time.perf_counter() - began, 3)
    return MasksResult(
        model=config.model, images=done, objects=tuple(rows), failed=failures.check(done), seconds=seconds
    )


def _object(session: Session, prompts: list[Prompt]) -> tuple[Mask, float, float]:
    """The mask of ``prompts`` alone, its score, and the seconds."""
    started = time.perf_counter()
    mask = session.add(*prompts)
    score = session.score
    session.undo()
    return mask, score, time.perf_counter() - started


def _labels(drawn: Mapping[str, tuple[Mask, float, float]], numbered: bool) -> Labels:
    masks = [mask for mask, _, _ in drawn.values()]
    labels = np.zeros(masks[0].shape, np.int32)
    for label, mask in enumerate(masks, start=1):
        labels[mask] = label if numbered else 255
    return labels


def _row(path: Path, file: Path, label: int, name: str, answer: tuple[Mask, float, float]) -> MaskedObject:
    mask, score, seconds = answer
    return MaskedObject(
        image=path,
        mask=file,
        object=name,
        label=label,
        score=round(score, 4),
        area=int(np.count_nonzero(mask)),
        box=mask_box(mask),
        seconds=round(seconds, 4),
    )


def _append(path: Path, rows: list[MaskedObject]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row.to_json()) + "\n" for row in rows)
