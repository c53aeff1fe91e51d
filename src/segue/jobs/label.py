"""Names of classes, many images: a mask for every class that an image shows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segue.core.errors import DataError, InputError, MissingFile
from segue.core.failures import Failure, Failures
from segue.core.files import read_text, write_text
from segue.core.segmenter import Segmenter
from segue.core.types import Image, Text
from segue.data.io.image import find_images, read_image, write_labels
from segue.jobs.data_set import To, data_set_writer
from segue.jobs.job import job
from segue.jobs.mask import READER
from segue.jobs.output import Force, claim_output, unique_names
from segue.jobs.progress import progress
from segue.oneshot.search import LabeledMatch, label_map
from segue.session.config import CommandLine, JobResult, ModelChoice

MASKS, RESULTS = "masks", "results.json"


class LabelConfig(ModelChoice):
    """What ``segue label`` takes."""

    images: Annotated[
        tuple[str, ...],
        Field(description="Images, folders or patterns to label.", min_length=1),
        CommandLine(positional=True),
    ]
    classes: Annotated[Path, Field(description="A text file, the name of a class on every line.")]
    output: Annotated[Path, Field(description="The folder to write.")]
    model: Annotated[str, Field(description="A model that takes words: name, Hugging Face id or folder.")] = READER
    threshold: Annotated[
        float, Field(description="Least score of a class, 0 to 1: the mean probability in its mask.", ge=0, le=1)
    ] = 0.5
    strict: Annotated[bool, Field(description="Stop at the first image that fails.")] = False
    to: To | None = None
    force: Force = False

    def names(self) -> list[str]:
        """The classes. Raises ``MissingFile``, and ``DataError`` for none or one named twice."""
        if not self.classes.is_file():
            raise MissingFile(f"no file {self.classes}", "the name of a class on every line", "check the spelling")
        names = [line.strip() for line in read_text(self.classes).splitlines() if line.strip()]
        if not names:
            raise DataError(f"{self.classes} without a line", "the name of a class on every line")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{self.classes}, which names '{twice}' twice", "every class once", "delete a line")
        return names


class LabeledClass(JobResult):
    """A class that an image shows: its label in the mask file, its score and area in pixels."""

    label: int
    name: str
    score: float
    area: int


class LabeledImage(JobResult):
    """The classes of one image."""

    image: Path
    mask: Path
    found: tuple[LabeledClass, ...]
    seconds: float


class LabelResult(JobResult):
    """What ``segue label`` made, as ``results.json`` holds it; label i of every mask is the i-th of ``classes``."""

    model: str
    classes: tuple[str, ...]
    threshold: float
    images: tuple[LabeledImage, ...]
    failed: tuple[Failure, ...]


@job(LabelConfig)
def label(config: LabelConfig) -> LabelResult:
    """Segment every class of a list in every image; write label maps and ``results.json``, as ``find`` does.

    ``DIR/masks/<image>.png`` holds label i where the i-th class is likeliest; ``segue annotate --import DIR`` takes
    them into the page. An image that fails is passed over and named. Raises ``InputError`` for a model without words.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "classes.txt").write_text("cat\\ndog\\n")
    ...     LabelConfig(images=("a.jpg",), classes=f"{folder}/classes.txt", output=f"{folder}/out").names()
    ['cat', 'dog']
    """
    names, paths = config.names(), find_images(config.images)
    claim_output(config.output, (MASKS, RESULTS, *filter(None, [config.to])), force=config.force)
    model = config.load()
    if Text not in model.accepts:
        raise InputError(
            f"words for {config.model}, which takes none", "a model that reads", f"choose --model {READER}"
        )
    rows, failures, files = list[LabeledImage](), Failures(config.strict), unique_names(paths)
    with data_set_writer(config.output, config.to) as add:
        for path in progress(paths, len(paths), "label"):
            with failures.guard(path):
                image, started = read_image(path), time.perf_counter()
                shown = classes_in(model, image, names, config.threshold)
                file = config.output / MASKS / f"{files[path]}.png"
                write_labels(file, label_map([(one.label, one.probability) for one in shown], image.shape))
                add(path, image.shape[:2], [(names[one.label - 1], one.mask) for one in shown])
                rows.append(_described(path, file, names, shown, time.perf_counter() - started))
    result = LabelResult(
        model=config.model,
        classes=tuple(names),
        threshold=config.threshold,
        images=tuple(rows),
        failed=failures.check(len(rows)),
    )
    write_text(config.output / RESULTS, json.dumps(result.to_json(), indent=1))
    return result


def classes_in(model: Segmenter, image: Image, names: list[str], threshold: float) -> list[LabeledMatch]:
    """The classes whose mask scores at least ``threshold``; the i-th name has label i."""
    features, shown = model.encode([image]), []
    for number, name in enumerate(names, start=1):
        prediction = model.decode(features, [Text(name)])
        score, mask = float(prediction.scores[0, prediction.best]), prediction.mask()
        if score >= threshold and mask.any():
            shown.append(LabeledMatch(number, number, mask, prediction.probability(), score))
    return shown


def _described(path: Path, file: Path, names: list[str], shown: list[LabeledMatch], seconds: float) -> LabeledImage:
    found = [
        LabeledClass(label=m.label, name=names[m.label - 1], score=round(m.score, 4), area=int(m.mask.sum()))
        for m in shown
    ]
    return LabeledImage(image=path, mask=file, found=tuple(found), seconds=round(seconds, 4))
