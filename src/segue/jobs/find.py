"""One example, many images: masks, a contact sheet and scores."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from segue.core.errors import ImageError
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Mask, Prompt, Reference, check_mask
from segue.data.io.drawing import contact_sheet, overlay
from segue.data.io.image import SUFFIXES, find_images, read_image, read_labels, write_image, write_labels
from segue.evaluation.robot import simulate_clicks
from segue.jobs.job import job
from segue.oneshot.finder import Finder, Found, finder
from segue.session.config import CommandLine, Corners, ModelChoice, Points
from segue.session.session import Session, segment

TINTS = ((38, 132, 255), (255, 140, 0), (155, 89, 182), (26, 188, 156), (231, 76, 60), (241, 196, 15))


class ReferenceChoice(ModelChoice):
    """The example: an image, and a mask file, a box or clicks that say what in it is meant.

    Every label of the mask file is an object of its own; boxes and clicks are one object, whose mask the model
    makes. Coordinates are original-image pixels, boxes (x0, y0, x1, y1).
    """

    reference: Annotated[Path, Field(description="The image that shows the object.")]
    mask: Annotated[Path | None, Field(description="Its mask; every label of it is an object of its own.")] = None
    box: Annotated[Corners | None, Field(description="Instead: a box around it.")] = None
    click: Annotated[Points, Field(description="Instead: a click on it; repeatable.")] = ()
    background_click: Annotated[Points, Field(description="With them, a click off it; repeatable.")] = ()

    @model_validator(mode="after")
    def _one_way(self) -> ReferenceChoice:
        if (self.mask is not None) + (self.box is not None or bool(self.click)) != 1:
            raise ValueError("say what is meant in the reference: a mask file, or a box or clicks")
        return self

    def examples(self, model: Segmenter) -> dict[int, Reference]:
        """Label -> reference. Raises ``ImageError`` for a mask of another size or without an object."""
        image = read_image(self.reference)
        if self.mask is None:
            prompts: list[Prompt] = [Box(*self.box)] if self.box else []
            prompts += [Click(x, y) for x, y in self.click]
            prompts += [Click(x, y, positive=False) for x, y in self.background_click]
            return {1: Reference(image, segment(model, image, prompts))}
        labels = read_labels(self.mask)
        check_mask(labels > 0, image.shape[:2])
        ids = [int(i) for i in np.unique(labels) if i]
        if not ids:
            raise ImageError(f"the mask {self.mask} without an object", "at least one label that is not 0")
        return {i: Reference(image, labels == i) for i in ids}


class FindConfig(ReferenceChoice):
    """What ``segue find`` takes."""

    images: Annotated[
        tuple[str, ...],
        Field(description="Images, folders or patterns to look in.", min_length=1),
        CommandLine(positional=True),
    ]
    output: Annotated[Path, Field(description="The folder to write.")]
    fit_scale: Annotated[
        bool, Field(description="PerSAM-F: learn which of a SAM's three scales is meant, in seconds.")
    ] = False
    contact_sheet: Annotated[Path | None, Field(description="Also write one picture of all the results.")] = None
    threshold: Annotated[
        float | None,
        Field(description="Least score of a find, 0 to 1; without it the finder's own, calibrated on the reference."),
    ] = None
    instances: Annotated[int, Field(description="How many of it an image may show.", ge=1)] = 1

    @field_validator("contact_sheet")
    @classmethod
    def _picture(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() not in SUFFIXES:
            raise ValueError("not a picture format; name it .jpg or .png")
        return path


@dataclass(frozen=True, eq=False)
class Hit:
    """One object in one image: its ``label`` in the written mask, which ``object`` of the reference it is, its
    (H, W) ``mask`` and ``probability``, and the ``score`` that decided."""

    label: int
    object: int
    mask: Mask
    probability: np.ndarray[Any, np.dtype[np.float32]]
    score: float


@job(FindConfig)
def find(config: FindConfig) -> dict[str, Any]:
    """Find the reference's objects in every image; write masks, ``results.json`` and a contact sheet.

    ``DIR/masks/<image>.png`` holds 0 and 255 for one object, labels for several (``results.json`` says which is
    which); a mask is empty where nothing reached the threshold. Returns what ``results.json`` holds.

    Source: PerSAM (Zhang et al., 2023), section 3 for SAMs; ``segue.oneshot.finder`` for other models.

    >>> import tempfile, segue
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = np.zeros((64, 96, 3), np.uint8); image[20:44, 30:60] = (250, 80, 20)
    ...     write_image(f"{folder}/a.png", image)
    ...     write_labels(f"{folder}/m.png", image[..., 0] > 0)
    ...     done = find(FindConfig(reference=f"{folder}/a.png", mask=f"{folder}/m.png", images=(f"{folder}/a.png",),
    ...                            output=f"{folder}/out"))
    >>> len(done["images"])
    1
    """
    paths = find_images(config.images)
    model = config.load()
    seeker = finder(model, fit_scale=config.fit_scale)
    references = config.examples(model)
    threshold = seeker.threshold if config.threshold is None else config.threshold
    rows, tiles, began = [], [], time.perf_counter()
    names = unique_names(paths)
    for path in paths:
        image = read_image(path)
        started = time.perf_counter()
        found = search(seeker, image, references, config.instances)
        hits, labels = arranged(found, threshold, image.shape[:2], config.instances)
        target = config.output / "masks" / f"{names[path]}.png"
        write_labels(target, labels if len(references) > 1 or config.instances > 1 else labels > 0)
        rows.append(described(path, target, found, hits, threshold, time.perf_counter() - started))
        if config.contact_sheet is not None:
            tiles.append(_tile(image, hits))
    if config.contact_sheet is not None:
        write_image(config.contact_sheet, contact_sheet(tiles))
    result = {
        "model": config.model,
        "reference": str(config.reference),
        "objects": list(references),
        "threshold": threshold,
        "seconds": round(time.perf_counter() - began, 3),
        "contact_sheet": str(config.contact_sheet) if config.contact_sheet else None,
        "images": rows,
    }
    write_bytes(config.output / "results.json", json.dumps(result, indent=1).encode())
    return result


def same_clicks(model: Segmenter, reference: Reference, most: int = 5) -> list[Click]:
    """The clicks by which the robot segments the reference itself: repeated elsewhere, they are the baseline that a
    real search has to beat."""
    played = simulate_clicks(Session(model, reference.image), reference.mask, max_clicks=most, stop_at=0.9)
    return list(played.clicks)


def moved(clicks: Sequence[Click], source: Sequence[int], size: Sequence[int]) -> list[Click]:
    """Clicks in an image of ``source`` (H, W) at the same places of one of ``size`` (H, W).

    >>> moved([Click(10, 5)], (20, 20), (40, 60))
    [Click(x=30.0, y=10.0, positive=True)]
    """
    across, down = size[1] / source[1], size[0] / source[0]
    return [Click(min(c.x * across, size[1] - 1), min(c.y * down, size[0] - 1), c.positive) for c in clicks]


def search(
    seeker: Finder, image: Image, references: Mapping[int, Reference], instances: int = 1
) -> dict[int, list[Found]]:
    """Object -> what was found of it in ``image``, best first, whatever its score."""
    with torch.inference_mode():
        features = seeker.encode([image])
        return {label: seeker.find(features, reference, instances) for label, reference in references.items()}


def arranged(
    found: Mapping[int, list[Found]], threshold: float, size: tuple[int, ...], instances: int = 1
) -> tuple[list[Hit], np.ndarray[Any, np.dtype[np.int32]]]:
    """Accepted finds and the label map (H, W) int32: where two claim a pixel, the more probable has it.

    Labels are the objects' own for one instance each, else 1, 2, ... in the order of the hits.
    """
    hits: list[Hit] = []
    for label, several in found.items():
        for one in several:
            if one.score >= threshold:
                probability = one.prediction.probability().cpu().numpy()
                number = label if instances == 1 else len(hits) + 1
                hits.append(Hit(number, label, probability > 0.5, probability, one.score))
    labels = np.zeros(size[:2], np.int32)
    most = np.full(size[:2], 0.5, np.float32)
    for hit in hits:
        wins = hit.probability > most
        labels[wins], most[wins] = hit.label, hit.probability[wins]
    return hits, labels


def described(
    path: Path, mask: Path, found: Mapping[int, list[Found]], hits: list[Hit], threshold: float, seconds: float
) -> dict[str, Any]:
    """A row of ``results.json``: what was found, and the best score of what was not."""
    return {
        "image": str(path),
        "mask": str(mask),
        "found": [
            {"label": h.label, "object": h.object, "score": round(h.score, 4), "area": int(h.mask.sum())} for h in hits
        ],
        "absent": [
            {"object": label, "score": round(several[0].score if several else 0.0, 4)}
            for label, several in found.items()
            if not any(f.score >= threshold for f in several)
        ],
        "seconds": round(seconds, 4),
    }


def unique_names(paths: list[Path]) -> dict[Path, str]:
    """A file name for each path: its stem, with its folder where stems repeat.

    >>> unique_names([Path("a/1.jpg"), Path("b/1.jpg"), Path("b/2.jpg")])[Path("b/1.jpg")]
    'b-1'
    """
    stems = [p.stem for p in paths]
    names = {p: p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}-{p.stem}" for p in paths}
    if len(set(names.values())) < len(names):
        names = {p: f"{i:05d}-{p.stem}" for i, p in enumerate(paths)}
    return names


def _tile(image: Image, hits: list[Hit]) -> Image:
    drawn = image
    for hit in hits:
        drawn = overlay(drawn, hit.mask, color=TINTS[(hit.object - 1) % len(TINTS)])
    return drawn
