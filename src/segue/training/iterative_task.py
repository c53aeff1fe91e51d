"""Learning as RITM, SimpleClick and InterFormer do: rounds of clicks without gradient, then a learned one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segue.adapters.base import Adapter, training
from segue.core.segmenter import Segmenter
from segue.nn.losses import normalized_focal
from segue.nn.training_core import IterativeCore
from segue.training.click_simulation import Click, count_odds, interformer_click, ritm_next_click
from segue.training.config import Precision
from segue.training.crop_batches import PADDING, CropBatch, CropBatches
from segue.training.engine import StepLog
from segue.training.optimizers import autocast
from segue.training.recipe_config import SimulationConfig

CENTRED = 1.0  # InterFormer's ``inner`` of the first click


@dataclass(frozen=True)
class Modes:
    """How a model is put into training mode to learn, and into evaluation mode to be clicked at."""

    learning: Callable[[], AbstractContextManager[Any]]
    watching: Callable[[], AbstractContextManager[Any]]

    @classmethod
    def of_module(cls, module: nn.Module) -> Modes:
        """Those of a model that learns as a whole."""

        @contextmanager
        def mode(on: bool) -> Iterator[None]:
            module.train(on)
            try:
                yield
            finally:
                module.train()

        return cls(lambda: mode(True), lambda: mode(False))

    @classmethod
    def of_adapter(cls, model: Segmenter, adapter: Adapter) -> Modes:
        """Those of an adapter, whose base stands still."""

        @contextmanager
        def watching() -> Iterator[None]:
            model.eval()
            yield

        return cls(lambda: training(model, adapter), watching)


class IterativeTask:
    """The engine's task of a published recipe: one target a view, at full resolution.

    The loss is the normalized focal loss, plus ``auxiliary`` times that of an auxiliary head. Published is to learn
    from the last round alone; ``learned="every"`` spreads the loss over all rounds, which then run in training mode.
    """

    def __init__(
        self,
        core: IterativeCore,
        batches: CropBatches,
        simulation: SimulationConfig,
        modes: Modes,
        precision: Precision = "fp32",
        batches_per_epoch: int | None = None,
    ) -> None:
        self.core, self.batches, self.simulation, self.modes, self.precision = (
            core,
            batches,
            simulation,
            modes,
            precision,
        )
        self.generator = batches.generator
        self._batches_per_epoch = batches_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which an epoch goes by; what is left over is dropped."""
        return self._batches_per_epoch or max(1, self.batches.views_per_epoch // self.batches.batch)

    def step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Back-propagate one batch; the loss and the IoU of the learned answer."""
        batch, rng = self.batches.draw(), self._rng()
        rounds = self.rounds(rng)
        if self.simulation.learned == "every":
            return self._every(batch, rounds, rng, scale)
        with self.modes.watching(), torch.no_grad(), autocast(batch.pixels.device, self.precision):
            memory, clicks = self.simulated(batch, rounds, rng)
        with self.modes.learning(), autocast(batch.pixels.device, self.precision):
            logits, loss = self._loss(batch, self.core.encode(batch.pixels), memory, clicks)
        scale(loss).backward()  # type: ignore[no-untyped-call]
        return StepLog(self._log(batch, logits, loss), len(batch.targets))

    def rounds(self, rng: np.random.Generator) -> int:
        """How many answers are clicked at before the learned one.

        RITM: 0 to ``iterations``, alike. InterFormer: 0 to ``most_rounds``, each ``gamma`` as likely as the one before.
        """
        s = self.simulation
        if s.policy == "ritm":
            return int(rng.integers(s.iterations + 1))
        return int(rng.choice(s.most_rounds + 1, p=count_odds(s.most_rounds + 1, s.gamma)))

    def simulated(self, batch: CropBatch, rounds: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Memory (b, 1, S, S) and clicks (b, k, 3) after so many answers; needs no gradient."""
        memory, clicks = self._opened(batch, rng)
        maps = self.core.encode(batch.pixels) if rounds else {}
        for _ in range(rounds):
            logits, _ = self.core.answer(maps, memory, clicks)
            memory, clicks = self._next(batch, memory, clicks, logits, rng)
        return memory, clicks

    def _every(
        self, batch: CropBatch, rounds: int, rng: np.random.Generator, scale: Callable[[Tensor], Tensor]
    ) -> StepLog:
        memory, clicks = self._opened(batch, rng)
        total = torch.zeros((), device=batch.pixels.device)
        with self.modes.learning(), autocast(batch.pixels.device, self.precision):
            maps = self.core.encode(batch.pixels)
            for turn in range(rounds + 1):
                logits, loss = self._loss(batch, maps, memory, clicks)
                total = total + loss / (rounds + 1)
                if turn < rounds:
                    memory, clicks = self._next(batch, memory, clicks, logits.detach(), rng)
        scale(total).backward()  # type: ignore[no-untyped-call]
        return StepLog(self._log(batch, logits, total), len(batch.targets))

    def _opened(self, batch: CropBatch, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        memory, clicks = self.core.begin(batch.pixels), batch.clicks
        if self.simulation.policy == "decaying":
            nothing = torch.full_like(batch.targets, -1.0, dtype=torch.float32)
            clicks = self._clicks(nothing, batch, clicks[:, :0], CENTRED, rng)
        return self.core.clicked(memory, clicks), clicks

    def _next(
        self, batch: CropBatch, memory: Tensor, clicks: Tensor, logits: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        new = self._clicks(logits, batch, clicks, self.simulation.inner, rng)
        memory = self.core.clicked(self.core.answered(memory, logits), new)
        return memory, torch.cat([clicks, new], 1)

    def _clicks(self, logits: Tensor, batch: CropBatch, made: Tensor, inner: float, rng: np.random.Generator) -> Tensor:
        """One more click (b, 1, 3) on each answer."""
        targets, ignored = (m[:, 0].cpu().numpy() for m in (batch.targets, batch.ignore_mask))
        found: list[Click | None]
        if self.simulation.policy == "ritm":
            shown = logits[:, 0].sigmoid().cpu().numpy()
            found = [ritm_next_click(*row, rng) for row in zip(shown, targets, ignored, strict=True)]
        else:
            masks = (logits[:, 0] > 0).cpu().numpy()
            pixels = [[(int(y), int(x)) for x, y, label in row if label >= 0] for row in made.tolist()]
            rows = zip(masks, targets, ignored, pixels, strict=True)
            found = [interformer_click(m, t, i, rng, inner, own) for m, t, i, own in rows]
        table = [click or (0.0, 0.0, PADDING) for click in found]
        return torch.tensor(table, device=made.device)[:, None]

    def _loss(
        self, batch: CropBatch, maps: Mapping[str, Tensor], memory: Tensor, clicks: Tensor
    ) -> tuple[Tensor, Tensor]:
        labels = torch.where(batch.ignore_mask, -1.0, batch.targets.float())
        logits, auxiliary = self.core.answer(maps, memory, clicks)
        loss = normalized_focal(logits, labels).mean()
        if auxiliary is not None and self.simulation.auxiliary:
            loss = loss + self.simulation.auxiliary * normalized_focal(auxiliary, labels).mean()
        return logits, loss

    @staticmethod
    def _log(batch: CropBatch, logits: Tensor, loss: Tensor) -> dict[str, float]:
        shown, counted = (logits > 0) & ~batch.ignore_mask, batch.targets & ~batch.ignore_mask
        both, either = (m.flatten(1).sum(1) for m in (shown & counted, shown | counted))
        objects = either > 0
        iou = float((both[objects] / either[objects]).mean()) if bool(objects.any()) else 1.0
        return {"loss": float(loss.detach()), "iou": iou}

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(int(torch.randint(2**62, (), generator=self.generator)))

    def state_dict(self) -> dict[str, Any]:
        """Nothing beside the generator."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take over."""
