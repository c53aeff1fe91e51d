"""The configurations of training runs and of adapting; ``configs/*.yaml`` hold the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.adapters.registry import ADAPTERS
from segue.core.errors import ConfigError
from segue.core.files import cache_folder
from segue.session.config import JobConfig, ModelSource
from segue.training.recipe_config import CropsConfig, Share, SimulationConfig
from segue.training.schedules import ScheduleConfig

Precision = Literal["bf16", "fp16", "fp32"]


def _pack_cache() -> Path:
    return cache_folder("train")


class DataConfig(JobConfig):
    """Where the photos are and how views of them are drawn."""

    root: Annotated[Path, Field(description="Folder that holds all others.")]
    folders: Annotated[
        dict[str, Annotated[float, Field(ge=0)]],
        Field(min_length=1, description="Sampling weight of each folder; it counts by the root of its photos' number."),
    ]
    cutouts: Annotated[tuple[str, ...], Field(description="Folders of RGBA pictures that are pasted on views.")] = ()
    cache: Annotated[Path, Field(description="Where decoded photos are kept.")] = Field(default_factory=_pack_cache)
    held_out: Annotated[Share, Field(description="Share of the photos kept for validation.")] = 0.08
    sizes: Annotated[
        tuple[Annotated[int, Field(ge=64, multiple_of=32)], ...],
        Field(min_length=1, description="Sides of views in pixels; a step draws one, fewer views the larger they are."),
    ] = (256,)
    merge: Annotated[Share, Field(description="Share of targets that join two objects.")] = 0.12
    paste: Annotated[Share, Field(description="Share of views on which cut-outs are pasted.")] = 0.25
    most_pasted: Annotated[int, Field(ge=1, le=10, description="Cut-outs on one view at most.")] = 3
    copy_paste: Annotated[Share, Field(description="Share of views that get an object of another photo.")] = 0.0
    shapes: Annotated[Share, Field(description="Share of views that get a drawn thin shape.")] = 0.0
    colour: Annotated[float, Field(ge=0, le=1, description="Strength of colour jitter.")] = 1.0
    turns: Annotated[bool, Field(description="Turn views by random quarters.")] = False


class ClickConfig(JobConfig):
    """How segue's own recipe simulates a user; those of the papers are ``SimulationConfig``'s."""

    rounds: Annotated[tuple[int, int], Field(description="Fewest and most rounds of clicks.")] = (2, 4)
    centred: Annotated[Share, Field(description="Probability that the first click is at the centre.")] = 0.5
    greedy: Annotated[Share, Field(description="Probability that a click is at the error's centre.")] = 0.6
    boxes: Annotated[Share, Field(description="Share of objects that start from a box.")] = 0.1
    resumed: Annotated[Share, Field(description="Share that starts from several clicks and a rough mask.")] = 0.2
    even: Annotated[Share, Field(description="Of clicks off the centre, share that is as likely near the border.")] = (
        0.0
    )
    imported: Annotated[Share, Field(description="Share that starts from a rough mask without clicks.")] = 0.0
    long: Annotated[Share, Field(description="Share of dialogues with unlearned rounds before the learned ones.")] = 0.0
    most_unlearned: Annotated[int, Field(ge=1, description="Unlearned rounds of a dialogue at most.")] = 17
    corrections: Annotated[Share, Field(description="Share of steps that look closely at a late correction.")] = 0.0
    most_scattered: Annotated[int, Field(ge=1, description="Clicks of a resumed object at most.")] = 8
    repeat_clicks_probability: Annotated[
        Share, Field(description="Probability that a round repeats the clicks and shows the model its last answer.")
    ] = 0.0
    coarse_pass_probability: Annotated[
        Share, Field(description="Share of steps that begin with a coarse pass which chooses the view (nano).")
    ] = 0.0
    coarse_mask_probability: Annotated[
        Share, Field(description="Of these, share in which the coarse pass's mask is mixed into the mask so far.")
    ] = 0.5

    @model_validator(mode="after")
    def _ordered(self) -> ClickConfig:
        if not 1 <= self.rounds[0] <= self.rounds[1]:
            raise ValueError(f"rounds {self.rounds} must be 1 <= low <= high")
        return self


class LossConfig(JobConfig):
    """The click loss: normalized focal + ``iou`` x soft IoU + ``score`` x cross-entropy of the IoU estimate."""

    iou: Annotated[float, Field(ge=0, description="Weight of the soft IoU loss.")] = 0.5
    score: Annotated[float, Field(ge=0, description="Weight of the loss of the model's own IoU estimate.")] = 0.1


class OptimizerConfig(JobConfig):
    """Optimizer and its learning rates."""

    kind: Annotated[
        Literal["adamw", "adam", "muon"],
        Field(
            description="adamw; adam, whose weight decay is part of the gradient; muon for weights that are matrices."
        ),
    ] = "adamw"
    lr: Annotated[float, Field(gt=0, description="Learning rate.")] = 8e-4
    backbone_lr: Annotated[float | None, Field(ge=0, description="That of the pretrained backbone.")] = 1.5e-4
    layer_decay: Annotated[
        float, Field(gt=0, le=1, description="Below 1: each ViT block learns at this share of the next one's rate.")
    ] = 1.0
    weight_decay: Annotated[float, Field(ge=0, description="Decoupled weight decay; none of biases and norms.")] = 0.01
    decay_embeddings: Annotated[
        bool, Field(description="Decay class token and position embedding too, as InterFormer's code does.")
    ] = False
    clip: Annotated[float | None, Field(gt=0, description="Largest norm of the gradient.")] = 2.0


class TrainConfig(JobConfig):
    """One training run.

    >>> TrainConfig.from_fields(steps=0, output="runs/x", data={"root": ".", "folders": {"shoes": 1}})
    Traceback (most recent call last):
    segue.core.errors.ConfigError: got steps=0; expected greater than or equal to 1
    """

    model: Annotated[str, Field(description="Registry name of the model.")] = "nano"
    config: Annotated[dict[str, Any], Field(description="Keywords of the model.")] = Field(default_factory=dict)
    adapter: Annotated[
        str | None, Field(description="With crops: train this adapter on the model, which stands still.")
    ] = None
    settings: Annotated[dict[str, Any], Field(description="Settings of the adapter.")] = Field(default_factory=dict)
    pretrained_backbone: Annotated[Path | None, Field(description="Pretrained weights of the encoder.")] = None
    frozen: Annotated[int, Field(ge=0, description="First blocks of the pretrained encoder that stay fixed.")] = 0
    init_from: Annotated[
        Path | None, Field(description="Model folder or weights to begin with; blocks may be missing.")
    ] = None
    seed: Annotated[int, Field(description="Of initial weights, views and clicks.")] = 0
    steps: Annotated[int | None, Field(ge=1, description="Optimizer steps.")] = None
    epochs: Annotated[float | None, Field(gt=0, description="Passes over the training photos, in place of steps.")] = (
        None
    )
    minutes: Annotated[float | None, Field(gt=0, description="Minutes of training, in place of steps.")] = None
    clock: Annotated[Literal["wall", "cpu"], Field(description="What counts as minutes: wall or processor time.")] = (
        "wall"
    )
    batch: Annotated[int, Field(ge=1, description="Views of a micro-batch.")] = 8
    accumulate: Annotated[int, Field(ge=1, description="Micro-batches of a step, in each process.")] = 1
    effective_batch: Annotated[
        int | None, Field(ge=1, description="Views of a step in all processes; sets how many micro-batches accumulate.")
    ] = None
    processes: Annotated[int, Field(ge=1, description="Processes that share a step's work.")] = 1
    objects: Annotated[int, Field(ge=1, description="Targets of a view at most.")] = 2
    output: Annotated[Path, Field(description="Folder of the checkpoint, metrics and model.")]
    resume: Annotated[bool, Field(description="Continue exactly from the checkpoint in the output.")] = False
    force: Annotated[bool, Field(description="Replace an earlier run in the output.")] = False
    precision: Annotated[Precision, Field(description="Of the forward pass, where the device has it.")] = "bf16"
    device: Annotated[str | None, Field(description="cpu or cuda; default: the GPU where there is one.")] = None
    threads: Annotated[int | None, Field(ge=1, description="Threads of the CPU.")] = None
    checkpoint_minutes: Annotated[float, Field(gt=0, description="Minutes between checkpoints.")] = 2.0
    log_every: Annotated[int, Field(ge=1, description="Steps between rows of metrics.")] = 20
    validate_every: Annotated[int, Field(ge=0, description="Steps between validations; 0: never.")] = 0
    validate_objects: Annotated[int, Field(ge=1, description="Held-out objects that the robot annotates.")] = 100
    validate_clicks: Annotated[int, Field(ge=1, description="Its clicks at most on each.")] = 10
    ema: Annotated[float, Field(ge=0, lt=1, description="Decay of the weights' moving average.")] = 0.999
    data: DataConfig | None = None
    clicks: ClickConfig = ClickConfig()
    crops: CropsConfig | None = None
    simulation: SimulationConfig = SimulationConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @model_validator(mode="after")
    def _ends(self) -> TrainConfig:
        if self.steps is None and self.epochs is None and self.minutes is None:
            raise ValueError("give steps, epochs or minutes: a run without end")
        if (self.data is None) == (self.crops is None):
            raise ValueError("give data (packed views, segue's own recipe) or crops (a published recipe), one of them")
        if self.crops is None and (self.adapter or self.effective_batch):
            raise ValueError("adapter and effective_batch go with crops; segue adapt trains adapters otherwise")
        return self

    def accumulated(self, processes: int) -> int:
        """Micro-batches of a step in each of so many ``processes``; ``ConfigError`` where they don't come out even."""
        if self.effective_batch is None:
            return self.accumulate
        if self.effective_batch % (self.batch * processes):
            raise ConfigError(
                f"effective_batch {self.effective_batch} in {processes} process(es) of batch {self.batch}",
                "a multiple of batch times processes",
            )
        return self.effective_batch // (self.batch * processes)


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
    schedule: Annotated[
        Literal["cpu", "published"],
        Field(
            description="By clicks: cpu, minutes and small views; published, ClickAdapter's 60 epochs at 448 pixels, "
            "which minutes, epochs and steps limit only where they are given."
        ),
    ] = "cpu"
    minutes: Annotated[float, Field(gt=0, description="Training time at most.")] = 15.0
    clock: Annotated[Literal["wall", "cpu"], Field(description="What counts as time: wall or processor.")] = "wall"
    steps: Annotated[int | None, Field(ge=1, description="Steps at most, for models prompted by clicks.")] = None
    epochs: Annotated[int, Field(ge=1, description="Epochs at most.")] = 1000
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
