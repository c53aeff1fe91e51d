"""Training runs by clicks: of a whole model, and of an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from segue.adapters.base import Adapter, training
from segue.core.errors import CheckpointError, MissingFile
from segue.core.segmenter import Segmenter
from segue.core.types import Image, Mask
from segue.data.record import Sample
from segue.models.checkpoints import read_state
from segue.models.pretrained import WEIGHTS
from segue.nn.device import choose_device
from segue.nn.training_core import TrainingCore
from segue.session.load import build
from segue.training.click_dialogue import Dialogue
from segue.training.click_sampler import boxes_around, scattered_clicks
from segue.training.click_task import ClickTask
from segue.training.config import ClickConfig, DataConfig, LossConfig, OptimizerConfig, TrainConfig
from segue.training.engine import Engine, Plan, Task, Validation
from segue.training.optimizers import Group, build_optimizer, gradient_scaler, parameter_groups
from segue.training.packing import IGNORE, Pack, build_pack, pack_samples
from segue.training.processes import Processes
from segue.training.schedules import Budget, Clock, ClockKind, Every, Schedule, ScheduleConfig
from segue.training.selection import Ema, Selection
from segue.training.view_batches import ViewBatches, pick_objects, reduced_mask

ADAPTER_LR = {"detail": 2e-3, "lora": 1e-3, "head": 3e-4, "full": 2e-4, "prompt": 5e-3}


HeldOut: TypeAlias = tuple[Image, Mask, Mask]  # image, target, ignore_mask


@dataclass(frozen=True)
class TrainRun:
    """A model in training: its ``engine``, and ``held_out``, which gives up to so many objects to validate by."""

    engine: Engine
    model: Segmenter
    held_out: Callable[[int], Iterable[HeldOut]]

    @property
    def adapter(self) -> Adapter | None:
        """What learns, where that is an adapter."""
        return self.engine.module if isinstance(self.engine.module, Adapter) else None


def train_run(config: TrainConfig, validate: Callable[[TrainRun], Validation], checkpoint: Path) -> TrainRun:
    """The run of a whole model on packed views that ``config`` describes; raises ``MissingFile`` and
    ``CheckpointError`` for weights that are not there or another model's."""
    data = config.data
    assert data is not None
    processes = Processes(torch.device(choose_device(config.device)))
    device = processes.device
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    with processes.main_first():  # it writes the caches that the others read
        pack = build_pack([data.root / name for name in data.folders], data.cache)
        indices, held_out = pack.held_out(data.held_out)
        batches = ViewBatches(
            pack, indices, data.folders, data, config.batch, config.objects, device, generator, config.seed
        )
    model = build(config.model, config.config)
    module: nn.Module = model.module.train()
    core: TrainingCore = model.training_core()
    prepare(module, core, config, batches)
    module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = ClickTask(Dialogue(core, config.clicks, config.loss, generator, config.precision), batches)
    groups = parameter_groups(module, config.optimizer, core.backbone())
    engine = engine_of(config, module, task, groups, processes, config.accumulate, checkpoint, lambda _: validate(run))
    run = TrainRun(engine, model, partial(packed_objects, pack, held_out))
    return run


def engine_of(
    config: TrainConfig,
    module: nn.Module,
    task: Task,
    groups: Sequence[Group],
    processes: Processes,
    accumulate: int,
    checkpoint: Path,
    validate: Callable[[Engine], Validation],
) -> Engine:
    """The engine around a ``task``, with everything else as ``config`` says."""
    return Engine(
        module,
        task,
        build_optimizer(groups, config.optimizer.kind),
        Schedule(config.schedule, config.steps),
        Budget(config.steps, config.epochs, config.minutes),
        Plan(
            checkpoint,
            config.checkpoint_minutes,
            Every(config.log_every, "steps"),
            Every(config.validate_every, "steps") if config.validate_every else None,
        ),
        clock=Clock(config.clock),
        ema=Ema(module, config.ema),
        clip=config.optimizer.clip,
        accumulate=accumulate,
        scaler=gradient_scaler(processes.device, config.precision),
        processes=processes,
        validate=validate,
        seed=config.seed,
    )


def packed_objects(pack: Pack, photos: Sequence[int], count: int) -> Iterator[HeldOut]:
    """(image, target, ignore_mask) of up to ``count`` held-out objects, one a photo, the same every time."""
    order = np.random.default_rng(0).permutation(len(photos))[:count]
    for index in (photos[i] for i in order):
        photo = pack.photos[index]
        h, w = photo.size
        areas = {label: box[0] for label, box in photo.objects.items() if box[0] > 0.003 * h * w}
        if areas:
            label = sorted(areas)[index % len(areas)]
            labels = pack.label_map(index)
            yield np.array(pack.image(index)), labels == label, labels == IGNORE


def prepare(module: nn.Module, core: TrainingCore, config: TrainConfig, batches: ViewBatches) -> None:
    """Load a pretrained backbone, scale fresh layers on one batch, take over an earlier run's weights."""
    if config.pretrained_backbone is not None:
        if not config.pretrained_backbone.is_file():
            raise MissingFile(
                f"no file {config.pretrained_backbone}", "pretrained weights", "check pretrained_backbone:"
            )
        core.load_backbone(config.pretrained_backbone, config.frozen)
    generator, stride = batches.generator, core.stride
    views = batches.sampler.draw(4, batches.data.sizes[0], torch.device("cpu"))
    rows, targets, _ = pick_objects(views.labels, 1, 0.0, generator)
    small = reduced_mask(targets, stride)
    clicks = scattered_clicks(small, torch.zeros_like(small), 4, stride, generator)
    box = boxes_around(small, stride, generator)
    if len(rows):
        core.calibrate(views.pixels[rows], clicks, box, small.float())
    if config.init_from is not None:
        take_over(module, config.init_from)


def take_over(module: nn.Module, path: Path) -> None:
    """Load an earlier run's weights into ``module``; what they do not have stays as it was initialised."""
    state, own = read_state(path / WEIGHTS if path.is_dir() else path), module.state_dict()
    wrong = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if wrong:
        raise CheckpointError(
            f"{path}, whose {wrong[0]} has no place here",
            "a model of the same sizes, or with fewer blocks",
            "check init_from: and config:",
        )
    module.load_state_dict(own | state)


ADAPT_DATA = DataConfig(root=Path("."), folders={"adapt": 1}, sizes=(256, 320), paste=0, colour=0.5, turns=True)
ADAPT_CLICKS = ClickConfig(
    rounds=(1, 3), centred=0.7, greedy=0.7, boxes=0.0, resumed=0.15, repeat_clicks_probability=0.3
)


@dataclass(frozen=True)
class ClickSettings:
    """How an adapter learns from clicks; sizes suit a CPU.

    The learning rate falls to zero, as half a cosine, over the ``minutes``. The robot annotates the validation objects
    ``validations`` times in them; training ends after ``patience`` validations that are worse beyond a standard error.
    """

    minutes: float = 15.0
    clock: ClockKind = "wall"
    steps: int | None = None
    epochs: float | None = None
    lr: float | None = None
    batch: int = 6
    objects: int = 2
    iou_weight: float = 1.5
    ema: float = 0.98
    validations: int = 5
    patience: int = 4
    data: DataConfig = ADAPT_DATA
    clicks: ClickConfig = ADAPT_CLICKS


def adapter_run(
    model: Segmenter,
    adapter: Adapter,
    samples: Sequence[Sample],
    settings: ClickSettings,
    validate: Callable[[Engine], Validation],
    checkpoint: Path,
    seed: int = 0,
) -> Engine:
    """The run of an ``adapter`` on a ``model`` that stands still, on views of the user's own ``samples``."""
    generator, device = torch.Generator().manual_seed(seed), model.device
    pack = pack_samples(samples)
    batches = ViewBatches(
        pack, range(len(samples)), {}, settings.data, settings.batch, settings.objects, device, generator
    )
    dialogue = Dialogue(model.training_core(), settings.clicks, LossConfig(iou=settings.iou_weight), generator, "bf16")
    lr = settings.lr or ADAPTER_LR.get(adapter.kind, 1e-3)
    return Engine(
        adapter,
        ClickTask(dialogue, batches, lambda: training(model, adapter)),
        build_optimizer(parameter_groups(adapter, OptimizerConfig(lr=lr, weight_decay=1e-3))),
        Schedule(ScheduleConfig(kind="cosine", warmup=30)),
        Budget(settings.steps, settings.epochs, settings.minutes),
        Plan(checkpoint, validate=Every(settings.minutes / settings.validations, "minutes", first=True), at_end=True),
        clock=Clock(settings.clock),
        ema=Ema(adapter, settings.ema),
        clip=2.0,
        selection=Selection(settings.patience, one_standard_error=True),
        validate=validate,
        seed=seed,
    )
