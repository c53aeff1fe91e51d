"""The run of an adapter by ClickAdapter's published schedule, on one's own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from segue.adapters.base import Adapter
from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter
from segue.data.record import Sample
from segue.nn.training_core import IterativeCore
from segue.training.click_simulation import ritm_clicks
from segue.training.config import OptimizerConfig
from segue.training.crop_batches import CropBatches
from segue.training.engine import Engine, Plan, Validation
from segue.training.iterative_task import IterativeTask, Modes
from segue.training.optimizers import build_optimizer, parameter_groups
from segue.training.recipe_config import CropsConfig, RecipeSource, SimulationConfig
from segue.training.schedules import Budget, Clock, ClockKind, Every, Schedule, ScheduleConfig

SIDE, EPOCHS, LR, VIEWS = 448, 60.0, 5e-6, 8  # pixels of a crop, epochs, rate, views of a step (4 GPUs of 2)
CUTS = 50 / 60, 55 / 60  # shares of the epochs after which the rate falls to a tenth
VALIDATIONS = 6


@dataclass(frozen=True)
class PublishedSettings:
    """ClickAdapter's numbers, but for what is given; fewer ``epochs`` cut the rate at the same shares of them.

    Source: Li et al., section IV; augmentation, user and optimizer are SimpleClick's.
    """

    epochs: float = EPOCHS
    lr: float = LR
    batch: int = 2
    steps: int | None = None
    minutes: float | None = None
    clock: ClockKind = "wall"


def published_run(
    model: Segmenter,
    adapter: Adapter,
    samples: Sequence[Sample],
    settings: PublishedSettings,
    validate: Callable[[Engine], Validation],
    checkpoint: Path,
    seed: int = 0,
) -> Engine:
    """The run of ``adapter`` on a ``model`` that stands still; the weights of the last step are its result.

    Crops are as large as the model sees a square of 448 pixels. Raises ``ConfigError`` for a model without iterative
    training, and for a batch that does not go into 8.
    """
    core = model.training_core()
    if not isinstance(core, IterativeCore):
        raise ConfigError(
            f"the published schedule for {model.name or type(model).__name__}",
            "a model with iterative training, such as simpleclick-base",
            "leave --schedule at cpu",
        )
    if VIEWS % settings.batch:
        raise ConfigError(f"batch={settings.batch}", f"1, 2, 4 or 8: a step has {VIEWS} views")
    side = max(model.frame((SIDE, SIDE)).grid)
    crops = CropsConfig(sources=(RecipeSource(path=Path()),), size=side, least_area=max(1, 1000 * side**2 // SIDE**2))
    simulation, generator = SimulationConfig(), torch.Generator().manual_seed(seed)
    opening = partial(ritm_clicks, config=simulation)
    batches = CropBatches([samples], crops, settings.batch, torch.device(model.device), generator, opening)
    accumulate = VIEWS // settings.batch
    steps = max(1, len(samples) // VIEWS)
    task = IterativeTask(core, batches, simulation, Modes.of_adapter(model, adapter), "fp32", steps * accumulate)
    optimizer = OptimizerConfig(kind="adam", lr=settings.lr, backbone_lr=None, weight_decay=0)
    cuts = [round(share * settings.epochs, 6) for share in CUTS]
    return Engine(
        adapter,
        task,
        build_optimizer(parameter_groups(adapter, optimizer), optimizer.kind),
        Schedule(ScheduleConfig(kind="milestones", unit="epochs", milestones=tuple(cuts), gamma=0.1, warmup=0)),
        Budget(settings.steps, settings.epochs, settings.minutes),
        Plan(checkpoint, validate=Every(settings.epochs / VALIDATIONS, "epochs"), at_end=True),
        clock=Clock(settings.clock),
        accumulate=accumulate,
        validate=validate,
        seed=seed,
    )
