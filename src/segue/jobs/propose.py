"""Everything at once: masks of all objects of an image, and how well they cover what is annotated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from segue.core.errors import ConfigError, DataError
from segue.core.failures import Failure, Failures
from segue.core.files import read_text, write_text
from segue.core.segmenter import Segmenter
from segue.core.types import Image
from segue.data.formats.registry import open_data
from segue.data.io.drawing import TINTS, contact_sheet, overlay
from segue.data.io.image import Labels, find_images, read_image, write_image, write_labels
from segue.data.record import AnnotatedImage, Options
from segue.data.rle import Rle
from segue.evaluation.proposals import overlaps
from segue.jobs.data_set import To, data_set_writer
from segue.jobs.job import job
from segue.jobs.output import Force, PictureFile, claim_output, unique_names
from segue.jobs.progress import progress
from segue.metrics.proposals import Overlaps, average_recall, best_overlap
from segue.session.config import CommandLine, JobResult, ModelChoice
from segue.session.mask_generator import generated
from segue.session.proposals import ProposalSettings
from segue.session.proposals import propose as proposals_of

MASKS, PROPOSALS, RESULTS, SETTINGS = "masks", "proposals", "results.json", "settings.json"
RECALLS = (1, 10, 100, 1000)  # proposals an image, for AR@k
DEFAULTS = ProposalSettings()


class ProposeConfig(ModelChoice):
    """What ``segue propose`` takes: images, or a data set as ``target`` whose images are then those that are searched
    and whose objects the proposals are compared with."""

    images: Annotated[
        tuple[str, ...], Field(description="Images, folders or patterns to search."), CommandLine(positional=True)
    ] = ()
    output: Annotated[Path, Field(description="The folder to write.")]
    target: Annotated[
        Path | None,
        Field(description="Data set whose images are searched and compared with: AR@k, best IoU."),
        CommandLine(names=("--target", "--truth"), metavar="DATA"),
    ] = None
    format: Annotated[str, Field(description="Format of the data set; 'auto' recognises it.")] = "auto"
    split: Annotated[str | None, Field(description="Part of the data set, where it has parts.")] = None
    points_per_side: Annotated[PositiveInt, Field(description="Clicks along the longer side of an image.")] = (
        DEFAULTS.points_per_side
    )
    crop_layers: Annotated[
        int, Field(description="Also search crops, 4 in the first layer, 16 in the second; 0 for none.", ge=0, le=4)
    ] = DEFAULTS.crop_layers
    second_looks: Annotated[int, Field(description="Proposals that are clicked once more, carefully.", ge=0)] = (
        DEFAULTS.second_looks
    )
    predicted_iou: Annotated[
        float | None, Field(description="Least estimated IoU of a proposal; without it the model's own.", ge=0, le=1)
    ] = None
    stability: Annotated[
        float | None, Field(description="Least stability of a proposal; without it the model's own.", ge=0, le=1)
    ] = None
    nms_iou: Annotated[
        float, Field(description="Of two masks that agree more than this, the surer is kept.", gt=0, le=1)
    ] = DEFAULTS.nms_iou
    min_area: Annotated[int, Field(description="Least pixels of a proposal.", ge=1)] = DEFAULTS.min_area
    most: Annotated[PositiveInt, Field(description="Proposals an image at most, the surest.")] = 1000
    contact_sheet: Annotated[PictureFile | None, Field(description="Also write one picture of all the results.")] = None
    strict: Annotated[bool, Field(description="Stop at the first image that fails.")] = False
    to: To | None = None
    resume: Annotated[bool, Field(description="Go on with what an earlier run left in the output.")] = False
    force: Force = False

    @property
    def settings(self) -> ProposalSettings:
        """How every image is searched."""
        names = asdict(DEFAULTS).keys() & type(self).model_fields.keys()
        return ProposalSettings(**{name: getattr(self, name) for name in names})


class ProposedImage(JobResult):
    """One image: its files, how many ``proposals`` it has and how many of these are ``parts`` of others; the mean IoU
    of its objects' best matches (``best_iou``) where they are known."""

    image: str
    mask: Path
    file: Path
    proposals: int
    parts: int
    seconds: float
    best_iou: float | None = None


class ProposeResult(JobResult):
    """What ``segue propose`` found, as ``results.json`` holds it; with a ``target`` the number of its ``objects``, the
    average recall ``ar`` by proposals an image, and the mean IoU of the objects' best matches."""

    model: str
    images: tuple[ProposedImage, ...]
    objects: int | None = None
    ar: dict[str, float] | None = None
    best_iou: float | None = None
    seconds: float
    failed: tuple[Failure, ...]


@dataclass(frozen=True)
class _Item:
    """One image to search: its name and file, its pixels, and its annotations where they are known."""

    name: str
    path: Path
    read: Callable[[], tuple[Image, AnnotatedImage | None]]


@job(ProposeConfig)
def propose(config: ProposeConfig) -> ProposeResult:
    """Propose masks for every object of every image.

    ``DIR/proposals/<image>.json`` lists them, the surest first, with the keys of segment-anything's generator, masks
    as COCO's run lengths, and ``inside``: the number of the smallest proposal that holds each.
    ``DIR/masks/<image>.png`` labels them 1, 2, ... in that order, parts on top of wholes. An image that fails is
    passed over and named.

    Source: Segment Anything (Kirillov et al., 2023), appendix B; AR@k as COCO's.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = np.zeros((48, 64, 3), np.uint8); image[10:30, 20:50] = (250, 80, 20)
    ...     write_image(f"{folder}/a.png", image)
    ...     result = propose(images=[f"{folder}/a.png"], output=f"{folder}/out", points_per_side=4, crop_layers=0)
    >>> len(result.images)
    1
    """
    items = _items(config)
    works = (MASKS, PROPOSALS, RESULTS, SETTINGS, *filter(None, [config.to]))
    claim_output(config.output, works, resume=config.resume, force=config.force)
    _claim_settings(config)
    model, began = config.load(), time.perf_counter()
    rows, measured, tiles, failures = list[ProposedImage](), list[Overlaps](), list[Image](), Failures(config.strict)
    if config.resume and config.to is not None:  # written anew from the proposals that are there
        claim_output(config.output, (config.to,), force=True)
    with data_set_writer(config.output, config.to) as add:
        for item in progress(items, len(items), "propose"):
            with failures.guard(item.path):
                started = time.perf_counter()
                image, target = item.read()
                file = config.output / PROPOSALS / f"{item.name}.json"
                records = json.loads(read_text(file)) if file.is_file() else _records(model, image, config)
                rles = [Rle.from_coco(record["segmentation"]) for record in records]
                mask = config.output / MASKS / f"{item.name}.png"
                write_labels(mask, label_map(rles, image.shape[:2]))
                write_text(file, json.dumps(records))
                add(item.path, image.shape[:2], (("object", rle.mask()) for rle in rles))
                ious = None if target is None else overlaps(rles, target)
                measured += [] if ious is None else [ious]
                seconds = round(time.perf_counter() - started, 3)
                rows.append(_row(item, mask, file, records, seconds, ious))
                if config.contact_sheet is not None:
                    tiles.append(drawn(image, rles))
    failed = failures.check(len(rows))
    if config.contact_sheet is not None:
        write_image(config.contact_sheet, contact_sheet(tiles))
    result = ProposeResult(
        model=config.model,
        images=tuple(rows),
        seconds=round(time.perf_counter() - began, 3),
        failed=failed,
        **_measures(measured if config.target is not None else None),
    )
    write_text(config.output / RESULTS, json.dumps(result.to_json(), indent=1))
    return result


def label_map(rles: Sequence[Rle], size: Sequence[int]) -> Labels:
    """(H, W): the number, from 1, of every mask, smaller ones on top.

    >>> label_map([Rle((1, 3), np.array([1, 1, 1])), Rle((1, 3), np.array([0, 2, 1]))], (1, 3)).tolist()
    [[2, 1, 0]]
    """
    labels = np.zeros((size[0], size[1]), np.int32)
    for number in sorted(range(len(rles)), key=lambda i: -rles[i].area):
        crop, x, y = rles[number].crop()
        labels[y : y + crop.shape[0], x : x + crop.shape[1]][crop] = number + 1
    return labels


def drawn(image: Image, rles: Sequence[Rle]) -> Image:
    """``image`` with every mask tinted and outlined, smaller ones on top."""
    for number in sorted(range(len(rles)), key=lambda i: -rles[i].area):
        image = overlay(image, rles[number].mask(), color=TINTS[number % len(TINTS)], opacity=0.3)
    return image


def _records(model: Segmenter, image: Image, config: ProposeConfig) -> list[dict[str, Any]]:
    found = proposals_of(model, image, config.settings)[: config.most]
    parents = [p.inside if p.inside is not None and p.inside < len(found) else None for p in found]
    return [record | {"inside": parent} for record, parent in zip(generated(found), parents, strict=True)]


def _items(config: ProposeConfig) -> list[_Item]:
    """What is searched. Raises ``ConfigError`` where nothing says it, or twice."""
    if (config.target is None) == (not config.images):
        arrived = "no image" if config.target is None else "images beside a data set"
        raise ConfigError(arrived, "images, or a data set with --target", "name one of the two")
    if config.target is None:
        paths = find_images(config.images)
        names = unique_names(paths)
        return [_Item(names[path], path, partial(_without_target, path)) for path in paths]
    samples = list(open_data(config.target, config.format, Options(split=config.split)).samples)
    if not samples:
        raise DataError(f"{config.target} without images", "a data set with at least one")
    paths = [Path(sample.id) for sample in samples]
    names = unique_names(paths)
    return [_Item(names[path], path, sample.read) for path, sample in zip(paths, samples, strict=True)]


def _without_target(path: Path) -> tuple[Image, None]:
    return read_image(path), None


def _claim_settings(config: ProposeConfig) -> None:
    """Keep what the proposals depend on. Raises ``ConfigError`` where an earlier run had it otherwise."""
    own = {"model": config.model, "weights": str(config.weights), "adapter": str(config.adapter), "most": config.most}
    content, file = json.dumps(own | asdict(config.settings), indent=1), config.output / SETTINGS
    if file.is_file() and read_text(file) != content:
        raise ConfigError(f"{config.output} of a run with other settings", f"those in {file}", "--force begins anew")
    write_text(file, content)


def _row(
    item: _Item, mask: Path, file: Path, records: Sequence[dict[str, Any]], seconds: float, ious: Overlaps | None
) -> ProposedImage:
    return ProposedImage(
        image=str(item.path),
        mask=mask,
        file=file,
        proposals=len(records),
        parts=sum(record["inside"] is not None for record in records),
        seconds=seconds,
        best_iou=None if ious is None or not ious.shape[1] else round(best_overlap([ious]), 4),
    )


def _measures(measured: Sequence[Overlaps] | None) -> dict[str, Any]:
    if measured is None:
        return {}
    return {
        "objects": sum(ious.shape[1] for ious in measured),
        "ar": {str(k): round(average_recall(measured, k), 4) for k in RECALLS},
        "best_iou": round(best_overlap(measured), 4),
    }
