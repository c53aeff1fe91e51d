"""The configuration of a training run; ``configs/*.yaml`` hold the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from segue.core.errors import ConfigError, MissingFile
from segue.session.config import JobConfig

Share = Annotated[float, Field(ge=0, le=1)]


class DataConfig(JobConfig):
    """Where the photos are and how views of them are drawn.

    ``folders`` gives each folder under ``root`` its sampling weight (within the total a folder counts by the
    square root of its number of photos); ``cutouts`` are folders of RGBA pictures, pasted on a share ``paste`` of
    the views, objects of other photos on a share ``transplant``, drawn thin things on a share ``shapes``. ``sizes``
    are the sides of views in pixels; every step draws one of them, with fewer views the larger they are, so that
    steps cost the same. ``merge`` is the share of targets that join two objects, ``held_out`` that of the photos
    kept for validation. Decoded photos are kept under ``cache``.
    """

    root: Path
    folders: dict[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)
    cutouts: tuple[str, ...] = ()
    cache: Path = Path.home() / ".cache" / "segue" / "train"
    held_out: Share = 0.08
    sizes: tuple[Annotated[int, Field(ge=64, multiple_of=32)], ...] = Field((256,), min_length=1)
    merge: Share = 0.12
    paste: Share = 0.25
    most_pasted: int = Field(3, ge=1, le=10)
    transplant: Share = 0.0
    shapes: Share = 0.0
    colour: Share = 1.0


class ClickConfig(JobConfig):
    """How a user is simulated.

    "errors" clicks ``rounds`` (low, high) times, each time into the deeper error, at its centre with probability
    ``greedy``; the first click is at the centre with probability ``centred``. A share ``boxes`` of the objects
    starts from a box and a share ``resumed`` in the middle of the work, with up to ``most_scattered`` clicks and
    a rough mask. A share ``glances`` of the steps is played as nano answers: a glance at the whole photo chooses the
    view, where with probability ``told`` a first answer, mixed with what the glance saw, is the mask so far.
    "decaying" is InterFormer's: each further click happens with probability ``gamma``.
    """

    policy: Literal["errors", "decaying"] = "errors"
    rounds: tuple[int, int] = (2, 4)
    gamma: Share = 0.6
    inner: float = Field(1.7, ge=1)
    centred: Share = 0.5
    greedy: Share = 0.6
    boxes: Share = 0.1
    resumed: Share = 0.2
    most_scattered: int = Field(8, ge=1)
    glances: Share = 0.0
    told: Share = 0.5

    @model_validator(mode="after")
    def _ordered(self) -> ClickConfig:
        if not 1 <= self.rounds[0] <= self.rounds[1]:
            raise ValueError(f"rounds {self.rounds} must be 1 <= low <= high")
        return self


class OptimiserConfig(JobConfig):
    """AdamW, or Muon for weights that are matrices, at rates that rise over ``warmup`` steps, stay, and fall to 0
    over the last share ``decay``.

    The pretrained backbone learns at ``backbone_rate``; gradients are clipped to norm ``clip``; the shipped
    weights are a moving average with factor ``ema``. ``layer_decay`` below 1 gives each block of a ViT that share
    of the next one's rate, the embeddings the least, in place of ``backbone_rate`` (InterFormer: 0.65 for ViT-B,
    0.75 for ViT-L).
    """

    kind: Literal["adamw", "muon"] = "adamw"
    rate: float = Field(8e-4, gt=0)
    backbone_rate: float = Field(1.5e-4, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(300, ge=1)
    decay: Share = 0.25
    clip: float = Field(2.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    layer_decay: float = Field(1.0, gt=0, le=1)


class TrainConfig(JobConfig):
    """One training run.

    ``model`` and ``config`` name a registry row and its keywords; ``start`` is a file of pretrained weights for
    its encoder, of which the first ``frozen`` blocks stay fixed; ``warm`` is an earlier run's model folder, or a
    weights file, to go on from, which may lack blocks that this one has more of. ``batch`` views with up to
    ``objects`` targets each make a step. Every ``validate_every`` steps (0: never) the robot annotates
    ``validate_objects`` held-out objects with up to ``validate_clicks`` clicks.

    >>> TrainConfig.from_fields(steps=0, output="runs/x", data={"root": ".", "folders": {"shoes": 1}})
    Traceback (most recent call last):
    segue.core.errors.ConfigError: got steps=0: input should be greater than or equal to 1...
    """

    model: str = "nano"
    config: dict[str, Any] = Field(default_factory=dict)
    start: Path | None = None
    frozen: int = Field(0, ge=0)
    warm: Path | None = None
    seed: int = 0
    steps: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    objects: int = Field(2, ge=1)
    output: Path
    resume: Annotated[bool, Field(description="Continue from the checkpoint in the output folder.")] = False
    bf16: bool = True
    device: str | None = None
    threads: int | None = Field(None, ge=1)
    checkpoint_minutes: float = Field(2.0, gt=0)
    log_every: int = Field(20, ge=1)
    iou_weight: float = Field(0.5, ge=0)
    score_weight: float = Field(0.1, ge=0)
    validate_every: int = Field(0, ge=0)
    validate_objects: int = Field(100, ge=1)
    validate_clicks: int = Field(10, ge=1)
    data: DataConfig
    clicks: ClickConfig = ClickConfig()
    optimiser: OptimiserConfig = OptimiserConfig()

    @classmethod
    def read(cls, path: Path, **changes: Any) -> TrainConfig:
        """The configuration in a YAML file, with top-level ``changes``; ``ConfigError`` names a wrong key."""
        if not path.is_file():
            raise MissingFile(f"no file {path}", "a training configuration", "start from configs/nano.yaml")
        try:
            values = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}, which is no YAML ({error})", "a training configuration") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path}, which holds no keys", "a training configuration")
        return cls.from_fields(**values, **changes) if not changes else cls.from_fields(**{**values, **changes})
