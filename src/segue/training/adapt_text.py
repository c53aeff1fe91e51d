"""Training an adapter of a text-prompted model, as VLSM-Adapter trains it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from segue.adapters.base import Adapter, disabled, training
from segue.core.errors import CheckpointError, DataError
from segue.core.segmenter import Segmenter
from segue.core.types import Mask, Text
from segue.data.record import Sample
from segue.metrics.distance import hd95
from segue.metrics.overlap import dice, iou
from segue.nn import frames as tensor_frames
from segue.nn.losses import TEXT_LOSSES, TextLoss
from segue.nn.training_core import TextTrainingCore
from segue.training.checkpoint import write_checkpoint

RATES: Mapping[str, float] = {"dense": 1e-3, "shallow": 3e-4, "full": 2e-5, "head": 1e-3, "lora": 3e-4, "side": 1e-3}


@dataclass(frozen=True)
class TextSettings:
    """How to train: the paper's values (section 3.3) unless changed.

    ``rate`` None takes the paper's for the adapter (dense 1e-3, shallow 3e-4). ``epochs`` and ``minutes`` only
    limit (``clock`` "cpu" counts processor time); early stopping ends a run. ``form`` chooses the loss, see
    ``segue.nn.losses.TEXT_LOSSES``.
    """

    rate: float | None = None
    batch: int = 32
    weight_decay: float = 1e-3
    factor: float = 0.3
    plateau: int = 5
    patience: int = 20
    epochs: int = 1000
    minutes: float = math.inf
    clock: Literal["wall", "cpu"] = "wall"
    form: TextLoss = "correct"


@dataclass(frozen=True, eq=False)
class Said:
    """One mask and its texts: ``view`` (3, S, S) uint8 and ``target`` (S, S) bool on the model's grid."""

    id: str
    view: Tensor
    target: Tensor
    texts: tuple[str, ...]


@dataclass
class Course:
    """What a training run did: a row per epoch, the best validation Dice, and how long it took."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = -1
    minutes: float = 0.0


def prepare(model: Segmenter, samples: Sequence[Sample]) -> list[Said]:
    """Every object of ``samples`` on the model's grid. Raises ``DataError`` for one without texts."""
    found: list[Said] = []
    for sample in samples:
        image, target = sample.read()
        frame = model.frame((image.shape[0], image.shape[1]))
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        view = tensor_frames.view(frame, pixels)[0].round().to(torch.uint8)
        for instance in target.annotations:
            if not instance.texts:
                raise DataError(
                    f"'{instance.id}' without any text",
                    "at least one per mask",
                    "say what the masks show: --name WORDS",
                )
            wanted = tensor_frames.view(frame, torch.from_numpy(instance.mask)[None, None].float())[0, 0] > 0.5
            found.append(Said(instance.id, view, wanted, instance.texts))
    return found


class TextTrainer:
    """One run of one seed. Texts are drawn anew for every image in every epoch (section 3.1)."""

    def __init__(self, model: Segmenter, adapter: Adapter, settings: TextSettings, seed: int = 0) -> None:
        self.model, self.adapter, self.settings = model, adapter, settings
        self.core: TextTrainingCore = model.text_training_core()
        self.generator = torch.Generator().manual_seed(seed)
        rate = settings.rate or RATES.get(adapter.kind, 1e-3)
        learned = [p for p in adapter.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(learned, lr=rate, weight_decay=settings.weight_decay)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, factor=settings.factor, patience=settings.plateau
        )
        self.half = model.device.type == "cuda"
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.half)
        self.course = Course()
        self.best: dict[str, Tensor] = copy.deepcopy(adapter.state_dict())

    def run(
        self,
        train: Sequence[Said],
        val: Sequence[Said],
        watch: Callable[[dict[str, float]], None] = lambda row: None,
        checkpoint: Path | None = None,
    ) -> Course:
        """Train until validation Dice stands still; the adapter ends at its best epoch.

        After every epoch the run's state goes to ``checkpoint``, where one is given; a run whose checkpoint exists
        goes on from it, and its minutes count. Raises ``CheckpointError`` for one of another adapter.
        """
        now = time.process_time if self.settings.clock == "cpu" else time.monotonic
        if checkpoint is not None and checkpoint.is_file():
            self._restore(checkpoint)
        began = now() - 60 * self.course.minutes
        while not self._over():
            learned = self.epoch(train)
            loss, score = self.validate(val)
            self.plateau.step(loss)
            course, epoch = self.course, len(self.course.rows)
            course.minutes = (now() - began) / 60
            row = {
                "epoch": epoch,
                "loss": learned,
                "val_loss": loss,
                "val_dice": score,
                "minutes": course.minutes,
                "rate": self.optimiser.param_groups[0]["lr"],
            }
            course.rows.append(row)
            watch(row)
            if score > course.best:
                course.best, course.best_epoch = score, epoch
                self.best = copy.deepcopy(self.adapter.state_dict())
            if checkpoint is not None:
                self._keep(checkpoint)
        self.adapter.load_state_dict(self.best)
        return self.course

    def _over(self) -> bool:
        """Whether patience, epochs or minutes are spent."""
        done, still = len(self.course.rows), len(self.course.rows) - 1 - self.course.best_epoch
        settings = self.settings
        spent = done >= settings.epochs or self.course.minutes > settings.minutes
        return spent or (done > 0 and still >= settings.patience)

    def _keep(self, checkpoint: Path) -> None:
        """Write the state of the run, whole or not at all."""
        state = {
            "course": asdict(self.course),
            "best": self.best,
            "adapter": self.adapter.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "plateau": self.plateau.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
        }
        write_checkpoint(checkpoint, state)

    def _restore(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint, map_location=self.model.device, weights_only=True)
        try:
            self.adapter.load_state_dict(state["adapter"])
            for name in ("optimiser", "plateau", "scaler"):
                getattr(self, name).load_state_dict(state[name])
            self.generator.set_state(state["generator"].cpu())
            self.course, self.best = Course(**state["course"]), state["best"]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise CheckpointError(f"{checkpoint}, which is of another adapter", "the same model and adapter") from error

    def epoch(self, train: Sequence[Said]) -> float:
        """One pass over the training set in random order; the mean loss."""
        total = 0.0
        order = shuffled_by_image(train, self.generator)
        with training(self.model, self.adapter):
            for start in range(0, len(order), self.settings.batch):
                chosen = [train[i] for i in order[start : start + self.settings.batch]]
                loss = self.loss(chosen, self.generator)[0]
                self.optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(self.scaler.scale(loss))
                self.scaler.step(self.optimiser)
                self.scaler.update()
                total += float(loss.detach()) * len(chosen)
        return total / len(order)

    @torch.no_grad()
    def validate(self, val: Sequence[Said]) -> tuple[float, float]:
        """(loss, mean Dice on the model's grid); the same texts every time."""
        generator = torch.Generator().manual_seed(0)
        losses, scores = 0.0, []
        for start in range(0, len(val), self.settings.batch):
            chosen = val[start : start + self.settings.batch]
            loss, logits, target = self.loss(chosen, generator)
            losses += float(loss) * len(chosen)
            for said, true in zip((logits > 0).cpu().numpy(), (target > 0.5).cpu().numpy(), strict=True):
                scores.append(dice(said[0], true[0]))
        return losses / len(val), float(np.mean(scores))

    def loss(self, chosen: Sequence[Said], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, logits (b, 1, S, S), target (b, 1, S, S)) of a batch with one text drawn for each."""
        device = self.model.device
        texts = [s.texts[int(torch.randint(len(s.texts), (), generator=generator))] for s in chosen]
        target = torch.stack([s.target for s in chosen])[:, None].float().to(device)
        with torch.autocast("cuda", torch.float16, enabled=self.half):
            views = {id(s.view): s.view for s in chosen}  # several masks of one image are seen once
            rows = torch.tensor([list(views).index(id(s.view)) for s in chosen], device=device)
            maps = [part[rows] for part in self.core.encode(torch.stack(list(views.values())).to(device))]
            logits = self.core.decode(maps, texts, (target.shape[-2], target.shape[-1])).float()
        return TEXT_LOSSES[self.settings.form](logits, target), logits, target


def shuffled_by_image(train: Sequence[Said], generator: torch.Generator) -> list[int]:
    """Indices in random order, those of one image together."""
    groups: dict[int, list[int]] = {}
    for i, said in enumerate(train):
        groups.setdefault(id(said.view), []).append(i)
    each = list(groups.values())
    return [i for g in torch.randperm(len(each), generator=generator).tolist() for i in each[g]]


@dataclass(frozen=True)
class Score:
    """One object of the held-out images: its measures with the adapter and without."""

    id: str
    text: str
    dice: float
    iou: float
    hd95: float


MEASURES: Mapping[str, Callable[[Mask, Mask], float]] = {
    "dice": dice,
    "iou": lambda a, b: iou(a, b, empty=1.0),
    "hd95": hd95,
}


@torch.no_grad()
def score(model: Segmenter, samples: Sequence[Sample], seed: int = 0) -> list[Score]:
    """Dice, IoU and HD95 of every object at its image's own size, one text drawn for each by ``seed``.

    Two empty masks agree (Dice and IoU 1); an empty mask against another has Dice and IoU 0 and no HD95 (nan).
    """
    rng = np.random.default_rng(seed)
    found: list[Score] = []
    for sample in samples:
        image, target = sample.read()
        features = model.encode([image])
        for instance in target.annotations:
            text = instance.texts[int(rng.integers(len(instance.texts)))]
            said = model.decode(features, [Text(text)]).mask()
            found.append(Score(instance.id, text, **{k: f(said, instance.mask) for k, f in MEASURES.items()}))
    return found


def before_and_after(model: Segmenter, samples: Sequence[Sample], seed: int) -> tuple[list[Score], list[Score]]:
    """Scores without any adapter and with all of them, on the same texts."""
    with disabled(model):
        before = score(model, samples, seed)
    return before, score(model, samples, seed)


def summary(scores: Sequence[Score]) -> dict[str, Any]:
    """Means over objects; HD95 over those that have one."""
    columns = {k: np.array([getattr(s, k) for s in scores], float) for k in MEASURES}
    return {k: float(np.nanmean(v)) if np.isfinite(v).any() else math.nan for k, v in columns.items()}


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and spread (population deviation) of every measure over runs, before and after.

    >>> runs = [{"before": {"dice": 0.5}, "after": {"dice": d}, "minutes": 1.0} for d in (0.6, 0.8)]
    >>> {k: round(v, 3) for k, v in over_seeds(runs)["after"]["dice"].items()}
    {'mean': 0.7, 'spread': 0.1}
    """

    def of(side: str) -> dict[str, dict[str, float]]:
        each = {k: [r[side][k] for r in runs] for k in runs[0][side]}
        return {k: {"mean": float(np.mean(v)), "spread": float(np.std(v))} for k, v in each.items()}

    return {"before": of("before"), "after": of("after"), "minutes": float(np.sum([r["minutes"] for r in runs]))}
