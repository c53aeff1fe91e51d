"""Training runs of an adapter by texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segue.adapters.base import Adapter, training
from segue.core.segmenter import Segmenter
from segue.nn.losses import TextLoss
from segue.training.config import Precision
from segue.training.engine import Engine, Plan, Validation
from segue.training.optimizers import build_optimizer, gradient_scaler
from segue.training.schedules import Budget, Clock, ClockKind, Every, Schedule, ScheduleConfig
from segue.training.selection import Selection
from segue.training.text_task import TextSample, TextTask

ADAPTER_LR = {"dense": 1e-3, "shallow": 3e-4, "full": 2e-5, "head": 1e-3, "lora": 3e-4, "side": 1e-3}


PLATEAU = ScheduleConfig(kind="plateau", warmup=0, gamma=0.3, patience=5)


@dataclass(frozen=True)
class TextSettings:
    """How an adapter learns from texts: VLSM-Adapter's values (section 3.3) unless changed.

    ``lr`` None takes the paper's for the adapter (dense 1e-3, shallow 3e-4). ``epochs`` and ``minutes`` only limit;
    early stopping ends a run. ``form`` chooses the loss, see ``segue.nn.losses.TEXT_LOSSES``.
    """

    lr: float | None = None
    batch: int = 32
    weight_decay: float = 1e-3
    schedule: ScheduleConfig = PLATEAU
    patience: int = 20
    epochs: int = 1000
    minutes: float = math.inf
    clock: ClockKind = "wall"
    form: TextLoss = "correct"


def text_run(
    model: Segmenter,
    adapter: Adapter,
    train: Sequence[TextSample],
    val: Sequence[TextSample],
    settings: TextSettings,
    checkpoint: Path,
    seed: int = 0,
    task_type: Callable[..., TextTask] = TextTask,
) -> Engine:
    """The run of one ``seed``: validated after every epoch, the best validation Dice is kept."""
    device = model.device
    precision: Precision = "fp16" if device.type == "cuda" else "fp32"
    task = task_type(
        model.text_training_core(),
        train,
        settings.batch,
        torch.Generator().manual_seed(seed),
        device,
        form=settings.form,
        precision=precision,
        mode=lambda: training(model, adapter),
    )

    def validate(engine: Engine) -> Validation:
        loss, scores = task.validate(val)
        row = {"val_loss": loss, "val_dice": float(np.mean(scores)), "epoch": round(engine.position.epochs) - 1}
        return Validation(row, tuple(-s for s in scores), loss)

    learned = [p for p in adapter.parameters() if p.requires_grad]
    lr = settings.lr or ADAPTER_LR.get(adapter.kind, 1e-3)
    return Engine(
        adapter,
        task,
        build_optimizer([{"params": learned, "lr": lr, "weight_decay": settings.weight_decay}]),
        Schedule(settings.schedule),
        Budget(epochs=settings.epochs, minutes=settings.minutes),
        Plan(checkpoint, validate=Every(1, "epochs"), at_end=True),
        clock=Clock(settings.clock),
        scaler=gradient_scaler(device, precision),
        mean_over_targets=True,
        selection=Selection(settings.patience),
        validate=validate,
        seed=seed,
    )
