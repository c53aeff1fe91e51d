"""One example, many images: masks, a contact sheet and scores."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from segue.core.failures import Failure, Failures
from segue.core.files import write_text
from segue.core.types import Image, Mask, Reference
from segue.data.io.drawing import NEGATIVE, Color, captioned, contrasting, heat_map, in_rows, overlay
from segue.data.io.image import find_images, read_image, write_image, write_labels
from segue.jobs.data_set import To, data_set_writer
from segue.jobs.finding import FinderFields
from segue.jobs.job import job
from segue.jobs.output import Force, PictureFile, claim_output, unique_names
from segue.jobs.progress import progress
from segue.jobs.reference import ReferencesChoice
from segue.oneshot.finder import Match
from segue.oneshot.search import MOST, LabeledMatch, label_matches, search
from segue.session.config import CommandLine, JobResult

MASKS, RESULTS = "masks", "results.json"


class FindConfig(ReferencesChoice, FinderFields):
    """What ``segue find`` takes."""

    images: Annotated[
        tuple[str, ...],
        Field(description="Images, folders or patterns to look in.", min_length=1),
        CommandLine(positional=True),
    ]
    output: Annotated[Path, Field(description="The folder to write.")]
    strict: Annotated[bool, Field(description="Stop at the first image that fails.")] = False
    contact_sheet: Annotated[PictureFile | None, Field(description="Also write one picture of all the results.")] = None
    explain: Annotated[
        Path | None,
        Field(description="Folder for pictures of where the object may be, and the points that follow (a SAM's two)."),
    ] = None
    threshold: Annotated[
        float | None,
        Field(description="Least score of a match, 0 to 1; without it the calibration's, 0 where there is none."),
    ] = None
    instances: Annotated[
        PositiveInt | Literal["all"], Field(description="How many of it an image may show, a number or all.")
    ] = 1
    to: To | None = None
    force: Force = False


class FoundObject(JobResult):
    """A match: its label in the mask file, which object of the reference it is, its score and area in pixels."""

    label: int
    object: int
    score: float
    area: int


class AbsentObject(JobResult):
    """An object of the reference that is not in the image, and the best score of what was looked at."""

    object: int
    score: float


class FoundImage(JobResult):
    """What was found in one image, and what was not."""

    image: Path
    mask: Path
    found: tuple[FoundObject, ...]
    absent: tuple[AbsentObject, ...]
    seconds: float


class FindResult(JobResult):
    """What ``segue find`` found, as ``results.json`` holds it; ``objects`` are the labels of the reference's mask.

    Scores are probabilities where they are ``calibrated`` for the model; where not, something is found in every image.
    """

    model: str
    reference: Path
    more_references: tuple[Path, ...]
    not_this: tuple[Path, ...]
    objects: tuple[int, ...]
    threshold: float
    calibrated: bool
    seconds: float
    contact_sheet: Path | None
    images: tuple[FoundImage, ...]
    failed: tuple[Failure, ...]


@job(FindConfig)
def find(config: FindConfig) -> FindResult:
    """Find the reference's objects in every image; write masks, ``results.json`` and a contact sheet.

    ``DIR/masks/<image>.png`` holds 0 and 255 for one object, labels for several (``results.json`` says which is
    which); a mask is empty where nothing reached the threshold. An image that fails is passed over and named.

    Source: PerSAM (Zhang et al., 2023), section 3 for SAMs; ``segue.oneshot.finder`` for other models.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = np.zeros((64, 96, 3), np.uint8); image[20:44, 30:60] = (250, 80, 20)
    ...     write_image(f"{folder}/a.png", image)
    ...     write_labels(f"{folder}/m.png", image[..., 0] > 0)
    ...     result = find(reference=f"{folder}/a.png", mask=f"{folder}/m.png", images=[f"{folder}/a.png"],
    ...                   output=f"{folder}/out")
    >>> len(result.images)
    1
    """
    paths = find_images(config.images)
    claim_output(config.output, (MASKS, RESULTS, *filter(None, [config.to])), force=config.force)
    model = config.load()
    seeker = config.finder(model, config.mask_value())
    references = config.examples(seeker)
    threshold = seeker.threshold if config.threshold is None else config.threshold
    most = MOST if config.instances == "all" else config.instances
    numbered = len(references) > 1 or most > 1
    rows, failures, began = [], Failures(config.strict), time.perf_counter()
    tints = _tints(references)
    tiles = [_reference_tile(config.reference[0], references, tints)]
    names = unique_names(paths)
    if config.explain is not None:
        claim_output(
            config.explain,
            [_picture_name(names[p], o, references) for p in paths for o in references],
            force=config.force,
        )
    with data_set_writer(config.output, config.to) as add:
        for path in progress(paths, len(paths), "find"):
            with failures.guard(path):
                image, started = read_image(path), time.perf_counter()
                matches = search(seeker, image, references, most, threshold)
                labeled, labels = label_matches(matches, threshold, image.shape, most)
                file = config.output / MASKS / f"{names[path]}.png"
                write_labels(file, labels if numbered else labels > 0)
                if config.explain is not None:
                    for name, reference in references.items():
                        seen = heat_map(image, *seeker.explain(seeker.encode([image]), reference))
                        write_image(config.explain / _picture_name(names[path], name, references), seen)
                add(path, image.shape[:2], _by_name(config.reference[0].stem, labeled, len(references)))
                rows.append(_described(path, file, matches, labeled, time.perf_counter() - started))
                if config.contact_sheet is not None:
                    tiles.append(_tile(path, image, rows[-1], labeled, tints))
    failed = failures.check(len(rows))
    if config.contact_sheet is not None:
        write_image(config.contact_sheet, in_rows(tiles, tiles[0].shape[:2], gap=12))
    result = FindResult(
        model=config.model,
        reference=config.reference[0],
        more_references=config.reference[1:],
        not_this=config.not_this,
        objects=tuple(references),
        threshold=threshold,
        calibrated=seeker.calibration is not None,
        seconds=round(time.perf_counter() - began, 3),
        contact_sheet=config.contact_sheet,
        images=tuple(rows),
        failed=failed,
    )
    write_text(config.output / RESULTS, json.dumps(result.to_json(), indent=1))
    return result


def _picture_name(stem: str, name: int, references: Mapping[int, Reference]) -> str:
    """The file that explains one object of the reference in one image."""
    return f"{stem}.png" if len(references) == 1 else f"{stem}-{name}.png"


def _described(
    path: Path, mask: Path, matches: Mapping[int, Sequence[Match]], labeled: Sequence[LabeledMatch], seconds: float
) -> FoundImage:
    there = {match.object for match in labeled}
    return FoundImage(
        image=path,
        mask=mask,
        found=tuple(
            FoundObject(label=m.label, object=m.object, score=round(m.score, 4), area=int(m.mask.sum()))
            for m in labeled
        ),
        absent=tuple(
            AbsentObject(object=name, score=round(several[0].score if several else 0.0, 4))
            for name, several in matches.items()
            if name not in there
        ),
        seconds=round(seconds, 4),
    )


def _by_name(stem: str, labeled: Sequence[LabeledMatch], objects: int) -> list[tuple[str, Mask]]:
    """(class, mask) of what was found: the reference's name, with the object's label where there are several."""
    return [(stem if objects == 1 else f"{stem}-{match.object}", match.mask) for match in labeled]


def _tints(references: Mapping[int, Reference]) -> dict[int, Color]:
    """A tint for each object, one that stands out from it."""
    tints: dict[int, Color] = {}
    for name, reference in references.items():
        tints[name] = contrasting(reference.image, reference.mask, list(tints.values()))
    return tints


def _reference_tile(path: Path, references: Mapping[int, Reference], tints: Mapping[int, Color]) -> Image:
    drawn = next(iter(references.values())).image
    for name, reference in references.items():
        drawn = overlay(drawn, reference.mask, color=tints[name])
    return captioned(drawn, path.name, "reference")


def _tile(
    path: Path, image: Image, row: FoundImage, labeled: Sequence[LabeledMatch], tints: Mapping[int, Color]
) -> Image:
    """The image with what was found and its scores; paler, where nothing was."""
    if not labeled:
        best = max((absent.score for absent in row.absent), default=0.0)
        return captioned(image // 3 + 170, path.name, f"not found  {best:.2f}", note_color=NEGATIVE)
    for match in labeled:
        image = overlay(image, match.mask, color=tints[match.object])
    return captioned(image, path.name, "  ".join(f"{found.score:.2f}" for found in row.found[:4]))
