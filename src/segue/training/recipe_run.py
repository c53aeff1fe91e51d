"""The run of a published recipe: crops of data sets read where they lie, iterative clicks, a model or its adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segue.adapters.base import attach
from segue.adapters.registry import ADAPTERS
from segue.core.errors import ConfigError, MissingFile
from segue.core.segmenter import Segmenter
from segue.data.record import Sample
from segue.nn.device import choose_device
from segue.nn.training_core import IterativeCore, TrainingCore
from segue.session.load import build, load
from segue.training.click_run import HeldOut, TrainRun, engine_of, take_over
from segue.training.click_simulation import ritm_clicks
from segue.training.config import TrainConfig
from segue.training.crop_batches import CropBatches
from segue.training.engine import Validation
from segue.training.iterative_task import IterativeTask, Modes
from segue.training.optimizers import parameter_groups
from segue.training.processes import Processes

LEAST_SHARE = 0.003  # of the photo, of an object that validates


def recipe_run(config: TrainConfig, validate: Callable[[TrainRun], Validation], checkpoint: Path) -> TrainRun:
    """The run that a configuration with ``crops`` describes.

    Raises ``ConfigError`` for a model that has no iterative training, and what opening its data and weights raises.
    """
    crops = config.crops
    assert crops is not None
    processes = Processes(torch.device(choose_device(config.device)))
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    accumulate = config.accumulated(processes.count)
    sets = [source.open().samples for source in crops.sources]
    ritm = config.simulation.policy == "ritm"
    open_with = partial(ritm_clicks, config=config.simulation) if ritm else None
    batches = CropBatches(sets, crops, config.batch, processes.device, generator, open_with)
    held = crops.validation.open().samples if crops.validation and config.validate_every else ()

    model, module, modes = _prepared(config)
    module.to(processes.device)
    model.to(processes.device)
    core: TrainingCore = model.training_core()
    if not isinstance(core, IterativeCore):
        raise ConfigError(f"crops for {config.model}", "a model with iterative training, such as simpleclick-base")
    pretrained = model.training_core().backbone()
    micro = accumulate * processes.count
    epoch = batches.views_per_epoch // (config.batch * micro) * micro
    task = IterativeTask(core, batches, config.simulation, modes, config.precision, max(epoch, 1))
    groups = parameter_groups(module, config.optimizer, pretrained)
    engine = engine_of(config, module, task, groups, processes, accumulate, checkpoint, lambda _: validate(run))
    run = TrainRun(engine, model, partial(annotated_objects, held))
    return run


def _prepared(config: TrainConfig) -> tuple[Segmenter, nn.Module, Modes]:
    """The model, what of it learns, and how it is switched between learning and answering."""
    if config.adapter is not None:
        if config.init_from is None:
            raise ConfigError(f"the adapter {config.adapter} without a trained model", "its weights", "set init_from:")
        model = load(config.model, weights=str(config.init_from), config=config.config, device="cpu")
        adapter = attach(model, ADAPTERS.load(config.adapter)(model, **config.settings))
        return model, adapter, Modes.of_adapter(model, adapter)
    model = build(config.model, config.config)
    module: nn.Module = model.module.train()
    if config.pretrained_backbone is not None:
        if not config.pretrained_backbone.is_file():
            raise MissingFile(
                f"no file {config.pretrained_backbone}", "pretrained weights", "check pretrained_backbone:"
            )
        model.training_core().load_backbone(config.pretrained_backbone, config.frozen)
    if config.init_from is not None:
        take_over(module, config.init_from)
    return model, module, Modes.of_module(module)


def annotated_objects(samples: Sequence[Sample], count: int) -> Iterator[HeldOut]:
    """(image, target, ignore_mask) of up to ``count`` objects, one a photo, evenly spread and the same every time."""
    for sample in samples[:: max(1, len(samples) // count)][:count]:
        image, annotated = sample.read()
        ignored = annotated.ignore_mask
        ignore_mask = np.zeros(image.shape[:2], bool) if ignored is None else ignored
        large = [a for a in annotated.annotations if a.area > LEAST_SHARE * ignore_mask.size]
        if large:
            yield image, max(large, key=lambda a: a.area).mask & ~ignore_mask, ignore_mask
