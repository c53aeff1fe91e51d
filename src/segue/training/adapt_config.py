"""The configuration of ``segue adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from segue.adapters.registry import ADAPTERS
from segue.session.config import ModelSource


class AdaptConfig(ModelSource):
    """What ``segue adapt`` takes.

    Images are split, not objects: a share ``holdout`` is never trained on and gives the report, a sixth of the others
    ends training early. Published splits are kept.

    >>> AdaptConfig.from_fields(data=".", output="out", adapter="detial")
    Traceback (most recent call last):
    segue.core.errors.UnknownName: got adapter 'detial'; expected one of: ... Did you mean 'detail'?
    """

    data: Annotated[Path, Field(description="Images with masks: any format, a COCO file, an annotator's export.")]
    output: Annotated[Path, Field(description="Folder of the adapter and its report.")]
    adapter: Annotated[str, Field(description="detail, lora, head, full, prompt; for texts: dense, shallow, side.")] = (
        "detail"
    )
    format: Annotated[str, Field(description="Format of the data set, 'auto' recognises it; kvasir, isic16 ...")] = (
        "auto"
    )
    name: Annotated[str, Field(description="What masks without texts show: 'foot ulcer'.")] = ""
    minutes: Annotated[float, Field(gt=0, description="Training time at most.")] = 15.0
    clock: Annotated[Literal["wall", "cpu"], Field(description="What counts as time: wall or processor.")] = "wall"
    steps: Annotated[int | None, Field(ge=1, description="Steps at most, for models prompted by clicks.")] = None
    epochs: Annotated[int, Field(ge=1, description="Epochs at most, for models prompted by texts.")] = 1000
    holdout: Annotated[float, Field(gt=0, lt=1, description="Share of images kept for the report.")] = 0.2
    train_images: Annotated[int | None, Field(ge=2, description="Images to train on at most.")] = None
    test_images: Annotated[int | None, Field(ge=1, description="Held-out images at most.")] = None
    seed: Annotated[int, Field(description="Of the split and of training.")] = 0
    seeds: Annotated[int, Field(ge=1, description="Runs, for models prompted by texts; the paper has 3.")] = 1
    max_clicks: Annotated[int, Field(ge=1, description="Clicks an object at most, in the report.")] = 20
    boundary: Annotated[bool, Field(description="Boundary measures in the report; they take long.")] = True
    cache_dir: Annotated[
        Path | None, Field(description="Where the base's clicks are kept for the next adapter; default: your cache.")
    ] = None
    lr: Annotated[float | None, Field(gt=0, description="Learning rate; default: the adapter's own.")] = None
    batch: Annotated[int | None, Field(ge=1, description="Views or images a step.")] = None
    loss: Annotated[
        Literal["correct", "published-double-sigmoid"],
        Field(description="For texts: correct, or published-double-sigmoid to reproduce the paper."),
    ] = "correct"
    settings: Annotated[
        dict[str, Any], Field(description="A setting of the adapter, such as width=32; repeatable.")
    ] = Field(default_factory=dict)
    resume: Annotated[bool, Field(description="Go on from an interrupted run in the output folder.")] = False
    strict: Annotated[bool, Field(description="Stop at the first image that does not read.")] = False
    force: Annotated[bool, Field(description="Replace an earlier adapter in the output folder.")] = False

    def model_post_init(self, _: Any) -> None:
        ADAPTERS[self.adapter]  # an unknown name is an error here, not after the data is read
