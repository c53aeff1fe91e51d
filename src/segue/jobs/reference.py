"""The example that find and track are shown, and the clicks that segment it, which they have to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator, model_validator

from segue.core.errors import ConfigError, ImageError
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Prompt, Reference, check_mask
from segue.data.io.image import Labels, open_image, read_image, read_labels
from segue.evaluation.robot import simulate_clicks
from segue.oneshot.examples import Examples
from segue.oneshot.finder import Finder
from segue.session.config import Corners, ModelChoice, Points
from segue.session.session import Session, segment


class Pointed(ModelChoice):
    """A box or clicks on the example, instead of its mask, in original-image pixels."""

    box: Annotated[Corners | None, Field(description="Instead: a box around it.")] = None
    click: Annotated[Points, Field(description="Instead: a click on it; repeatable.")] = ()
    background_click: Annotated[Points, Field(description="With them, a click off it; repeatable.")] = ()

    def check_one_way(self, masked: bool) -> None:
        """Raises ``ConfigError`` unless either a mask, as ``masked`` says, or a box or clicks say what is meant."""
        if masked + (self.box is not None or bool(self.click)) != 1:
            raise ConfigError(
                "a mask beside a box or clicks" if masked else "a reference without what is meant in it",
                "a mask file, or a box or clicks",
                "leave one of them out" if masked else "add --mask PNG, --box X0,Y0,X1,Y1 or --click X,Y",
            )

    def example(self, model: Segmenter, image: Image) -> Reference:
        """What the box or the clicks mean in ``image``, as the model segments it."""
        prompts: list[Prompt] = [Box(*self.box)] if self.box else []
        prompts += [Click(x, y) for x, y in self.click]
        prompts += [Click(x, y, positive=False) for x, y in self.background_click]
        return Reference(image, segment(model, image, prompts))


class ReferenceChoice(Pointed):
    """The example: an image, and a mask file, a box or clicks that say what in it is meant.

    Every label of the mask file is an object of its own; boxes and clicks are one object, whose mask the model
    makes. Coordinates are original-image pixels.
    """

    reference: Annotated[Path, Field(description="The image that shows the object.")]
    mask: Annotated[Path | None, Field(description="Its mask; every label of it is an object of its own.")] = None

    @model_validator(mode="after")
    def _one_way(self) -> ReferenceChoice:
        self.check_one_way(self.mask is not None)
        return self

    def mask_value(self) -> int:
        """The grey value of the object in the mask; 255 where the model makes it from a box or clicks."""
        return 255 if self.mask is None else mask_value_of(read_labels(self.mask))

    def examples(self, model: Segmenter, page: int = 0) -> dict[int, Reference]:
        """Label -> reference, in ``page`` of its file. Raises ``ImageError`` for a mask of another size or without
        an object, and for the photo itself."""
        with open_image(self.reference) as file:
            image = file.window(page=page)
        if self.mask is None:
            return {1: self.example(model, image)}
        return masked_objects(self.reference, image, self.mask)


class ReferencesChoice(Pointed):
    """Several examples of one object, each with a mask file, or one with a box or clicks; and what is not it.

    Every label of the mask files is an object of its own, the same in all of them; where every file holds a single
    label, they show one object whatever the label's value.
    """

    reference: Annotated[
        tuple[Path, ...],
        Field(description="An image that shows the object; repeatable, with a mask each.", min_length=1),
    ]
    mask: Annotated[
        tuple[Path, ...], Field(description="Its mask; every label of it is an object of its own. One a reference.")
    ] = ()
    not_this: Annotated[
        tuple[Path, ...], Field(description="An image of what looks alike and is not meant; repeatable.")
    ] = ()
    not_this_mask: Annotated[
        tuple[Path, ...],
        Field(description="Its mask, one for each; without them it is what looks most like the object there."),
    ] = ()

    @field_validator("reference", "mask", "not_this", "not_this_mask", mode="before")
    @classmethod
    def _several(cls, paths: object) -> object:
        return (paths,) if isinstance(paths, str | Path) else () if paths is None else paths

    @model_validator(mode="after")
    def _in_pairs(self) -> ReferencesChoice:
        self.check_one_way(bool(self.mask))
        if len(self.reference) != max(1, len(self.mask)):
            raise ConfigError(
                f"{len(self.reference)} references and {len(self.mask)} masks",
                "a mask for each, in the same order",
                "repeat --reference PHOTO --mask PNG",
            )
        if self.not_this_mask and len(self.not_this) != len(self.not_this_mask):
            raise ConfigError(
                f"{len(self.not_this)} images that are not it and {len(self.not_this_mask)} masks of them",
                "a mask for each, in the same order, or none",
                "repeat --not-this PHOTO --not-this-mask PNG",
            )
        return self

    def mask_value(self) -> int:
        """The grey value of the object in the first mask; 255 where the model makes it from a box or clicks."""
        return mask_value_of(read_labels(self.mask[0])) if self.mask else 255

    def examples(self, seeker: Finder) -> dict[int, Reference]:
        """Label -> reference; an ``Examples`` where there are several or negatives.

        Raises ``ImageError`` for a mask of another size or without an object, for the photo itself, and for a negative
        without a mask in which nothing is like the object.
        """
        if not self.mask:
            shown = {1: [self.example(seeker.inner, read_image(self.reference[0]))]}
        else:
            files = [masked_objects(p, read_image(p), m) for p, m in zip(self.reference, self.mask, strict=True)]
            if all(len(objects) == 1 for objects in files):
                shown = {next(iter(files[0])): [one for objects in files for one in objects.values()]}
            else:
                ids = sorted({i for objects in files for i in objects})
                shown = {i: [objects[i] for objects in files if i in objects] for i in ids}
        made = {}
        for i, (first, *more) in shown.items():
            one = Examples(first.image, first.mask, tuple(more)) if more else first
            negatives = tuple(self._negatives(seeker, one))
            made[i] = Examples(first.image, first.mask, tuple(more), negatives) if negatives else one
        return made

    def _negatives(self, seeker: Finder, reference: Reference) -> Iterator[Reference]:
        masks = self.not_this_mask or (None,) * len(self.not_this)
        for path, file in zip(self.not_this, masks, strict=True):
            image = read_image(path)
            if file is not None:
                yield from masked_objects(path, image, file).values()
                continue
            mask = seeker.find(seeker.encode([image]), reference).prediction.mask()
            if not mask.any():
                raise ImageError(
                    f"nothing like the object in {path}",
                    "a photo of what looks alike",
                    "add --not-this-mask, or leave it out",
                )
            yield Reference(image, mask)


def masked_objects(photo: Path, image: Image, file: Path) -> dict[int, Reference]:
    """Label -> reference of the mask ``file`` of ``image``, which is in ``photo``. Raises ``ImageError`` for a mask of
    another size or without an object, and for the photo itself."""
    if file == photo:
        raise ImageError(f"the photo {file} as its own mask", "a mask file", "draw one: segue mask, --click")
    labels = read_labels(file)
    check_mask(labels > 0, image.shape[:2])
    ids = [int(i) for i in np.unique(labels) if i]
    if not ids:
        raise ImageError(f"the mask {file} without an object", "at least one label that is not 0")
    return {i: Reference(image, labels == i) for i in ids}


def mask_value_of(labels: Labels) -> int:
    """The grey value of the object in a mask file (H, W), as PerSAM's code takes it; PerSeg's 128 for labels 1, 2, ...

    >>> mask_value_of(np.array([[0, 255]])), mask_value_of(np.array([[0, 1, 2]]))
    (255, 128)
    """
    values = set(np.unique(labels).tolist()) - {0}
    return max(values) if len(values) == 1 and 128 <= max(values) <= 255 else 128


def reference_clicks(model: Segmenter, reference: Reference, most: int = 5) -> list[Click]:
    """The clicks by which the robot segments the reference itself: repeated elsewhere, they are the baseline."""
    trace = simulate_clicks(Session(model, reference.image), reference.mask, max_clicks=most, stop_at=0.9)
    return list(trace.clicks)


def scale_clicks(clicks: Sequence[Click], source: Sequence[int], size: Sequence[int]) -> list[Click]:
    """Clicks in an image of ``source`` (H, W) at the same places of one of ``size`` (H, W).

    >>> scale_clicks([Click(10, 5)], (20, 20), (40, 60))
    [Click(x=30.0, y=10.0, positive=True)]
    """
    across, down = size[1] / source[1], size[0] / source[0]
    return [Click(min(c.x * across, size[1] - 1), min(c.y * down, size[0] - 1), c.positive) for c in clicks]
