"""The example that find and track are shown, and the clicks that segment it, which they have to beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from segue.core.errors import ConfigError, ImageError
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Prompt, Reference, check_mask
from segue.data.io.image import Labels, open_image, read_labels
from segue.evaluation.robot import simulate_clicks
from segue.session.config import Corners, ModelChoice, Points
from segue.session.session import Session, segment


class ReferenceChoice(ModelChoice):
    """The example: an image, and a mask file, a box or clicks that say what in it is meant.

    Every label of the mask file is an object of its own; boxes and clicks are one object, whose mask the model
    makes. Coordinates are original-image pixels.
    """

    reference: Annotated[Path, Field(description="The image that shows the object.")]
    mask: Annotated[Path | None, Field(description="Its mask; every label of it is an object of its own.")] = None
    box: Annotated[Corners | None, Field(description="Instead: a box around it.")] = None
    click: Annotated[Points, Field(description="Instead: a click on it; repeatable.")] = ()
    background_click: Annotated[Points, Field(description="With them, a click off it; repeatable.")] = ()

    @model_validator(mode="after")
    def _one_way(self) -> ReferenceChoice:
        if (self.mask is not None) + (self.box is not None or bool(self.click)) != 1:
            raise ConfigError(
                "a reference without what is meant in it" if self.mask is None else "a mask beside a box or clicks",
                "a mask file, or a box or clicks",
                "add --mask PNG, --box X0,Y0,X1,Y1 or --click X,Y" if self.mask is None else "leave one of them out",
            )
        return self

    def mask_value(self) -> int:
        """The grey value of the object in the mask; 255 where the model makes it from a box or clicks."""
        return 255 if self.mask is None else mask_value_of(read_labels(self.mask))

    def examples(self, model: Segmenter, page: int = 0) -> dict[int, Reference]:
        """Label -> reference, in ``page`` of its file. Raises ``ImageError`` for a mask of another size or without
        an object, and for the photo itself."""
        if self.mask is not None and self.mask == self.reference:
            raise ImageError(f"the photo {self.mask} as its own mask", "a mask file", "draw one: segue mask, --click")
        with open_image(self.reference) as file:
            image = file.window(page=page)
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
