"""What a published training run is made of: its data sets read where they lie, its crops, and its simulated users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from segue.data.formats.registry import open_data
from segue.data.record import DataSet, Options
from segue.session.config import JobConfig

Share = Annotated[float, Field(ge=0, le=1)]


class RecipeSource(JobConfig):
    """One data set of any format, read where it lies.

    >>> RecipeSource.from_fields(path="coco", split="train").format
    'auto'
    """

    path: Annotated[Path, Field(description="Folder of the data set, or its annotation file.")]
    format: Annotated[str, Field(description="Its format; auto recognises it.")] = "auto"
    split: Annotated[str | None, Field(description="Its split; default: the format's own.")] = None
    photos: Annotated[Path | None, Field(description="Where its photos are, if not beside the annotations.")] = None
    weight: Annotated[
        float | None, Field(gt=0, description="Share of the draws, of all weights; default: its number of images.")
    ] = None
    stuff: Annotated[Share, Field(description="Share of draws in which regions of stuff count as objects.")] = 1.0

    def open(self) -> DataSet:
        """The data set; annotations are read when they are drawn. Raises ``MissingFile`` and ``DataError``."""
        return open_data(self.path, self.format, Options(split=self.split, photos=self.photos))


class CropsConfig(JobConfig):
    """Random crops of photos at a random scale, as RITM, SimpleClick and InterFormer are trained.

    >>> CropsConfig.from_fields(sources=[{"path": "coco"}], scale=(1.4, 0.75))
    Traceback (most recent call last):
    segue.core.errors.ConfigError: scale (1.4, 0.75) must rise from above zero
    """

    sources: Annotated[tuple[RecipeSource, ...], Field(min_length=1, description="Data sets to learn from.")]
    validation: Annotated[RecipeSource | None, Field(description="Data set that the robot annotates.")] = None
    size: Annotated[int, Field(ge=32, description="Side of a crop in pixels.")] = 448
    scale: Annotated[tuple[float, float], Field(description="Range of the scale, uniform.")] = (0.75, 1.4)
    flip: Annotated[
        Literal["none", "horizontal", "any"], Field(description="Mirror half of the views; any: either way or both.")
    ] = "horizontal"
    turns: Annotated[Share, Field(description="Share of views turned by quarters.")] = 0.0
    tilt: Annotated[Share, Field(description="Share turned by up to 3 degrees and shifted by up to 3 %.")] = 0.0
    padding: Annotated[Literal["around", "end"], Field(description="Where black is added to small photos.")] = "around"
    most_of_one: Annotated[
        float | None,
        Field(gt=0, le=1, description="Largest share of one segment in a crop, in 10 tries."),
    ] = None
    colour: Annotated[
        Literal["none", "ritm", "photometric"],
        Field(description="ritm: brightness, contrast, RGB shift; photometric: mmsegmentation's distortion."),
    ] = "ritm"
    least_area: Annotated[int, Field(ge=1, description="Pixels of an object in the crop at least.")] = 1000
    background: Annotated[Share, Field(description="Probability to keep a crop without an object.")] = 0.05
    merge: Annotated[Share, Field(description="Share of targets that join two objects.")] = 0.15
    epoch: Annotated[int | None, Field(ge=1, description="Views of an epoch; default: as many as images.")] = None
    workers: Annotated[int, Field(ge=1, description="Threads that read and crop.")] = 4

    @model_validator(mode="after")
    def _scale_rises(self) -> CropsConfig:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale {self.scale} must rise from above zero")
        return self


class SimulationConfig(JobConfig):
    """How a user is simulated for a published recipe: rounds without gradient, in evaluation mode, then learned ones.

    >>> SimulationConfig(policy="decaying").gamma
    0.6
    """

    policy: Annotated[
        Literal["ritm", "decaying"],
        Field(
            description="ritm: sampled clicks, then 0 to 3 iterations; decaying: a centred click, then a number of "
            "iterations that decays by gamma."
        ),
    ] = "ritm"
    most_clicks: Annotated[int, Field(ge=1, description="ritm: sampled clicks of each kind at most.")] = 24
    count_gamma: Annotated[Share, Field(description="ritm: odds of one more sampled click.")] = 0.8
    negatives: Annotated[
        tuple[Share, Share, Share],
        Field(description="ritm: shares of negative clicks in the background, on others, at the own border."),
    ] = (0.1, 0.4, 0.5)
    iterations: Annotated[int, Field(ge=0, description="ritm: rounds of clicks on errors at most.")] = 3
    most_rounds: Annotated[int, Field(ge=0, description="decaying: further clicks at most.")] = 20
    gamma: Annotated[Share, Field(description="decaying: odds of one more click.")] = 0.6
    inner: Annotated[float, Field(ge=1, description="decaying: clicks are deeper than the deepest / this.")] = 1.7
    learned: Annotated[
        Literal["last", "every"], Field(description="Which rounds are back-propagated; published: the last.")
    ] = "last"
    auxiliary: Annotated[float, Field(ge=0, description="Weight of the auxiliary head's loss.")] = 0.4

    @model_validator(mode="after")
    def _shares_add_up(self) -> SimulationConfig:
        if abs(sum(self.negatives) - 1) > 1e-6:
            raise ValueError(f"negatives {self.negatives} must add up to 1")
        return self
