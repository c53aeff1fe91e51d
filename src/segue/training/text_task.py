"""Learning from texts: masks and their words, drawn anew in every epoch, as VLSM-Adapter trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segue.core.errors import DataError
from segue.core.segmenter import Segmenter
from segue.data.record import Sample
from segue.metrics.overlap import dice
from segue.nn import frames
from segue.nn.losses import TEXT_LOSSES, TextLoss
from segue.nn.training_core import TextTrainingCore
from segue.training.config import Precision
from segue.training.engine import StepLog
from segue.training.optimizers import autocast


@dataclass(frozen=True, eq=False)
class TextSample:
    """One mask and its texts: ``view`` (3, S, S) uint8 and ``target`` (S, S) bool on the model's grid."""

    id: str
    view: Tensor
    target: Tensor
    texts: tuple[str, ...]


def text_samples(model: Segmenter, samples: Sequence[Sample]) -> list[TextSample]:
    """Every object of ``samples`` on the model's grid. Raises ``DataError`` for one without texts."""
    masks: list[TextSample] = []
    for sample in samples:
        image, target = sample.read()
        frame = model.frame((image.shape[0], image.shape[1]))
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        view = frames.view(frame, pixels)[0].round().to(torch.uint8)
        for instance in target.annotations:
            if not instance.texts:
                raise DataError(
                    f"'{instance.id}' without any text",
                    "at least one per mask",
                    "say what the masks show: --name WORDS",
                )
            mask = frames.view(frame, torch.from_numpy(instance.mask)[None, None].float())[0, 0] > 0.5
            masks.append(TextSample(instance.id, view, mask, instance.texts))
    return masks


class TextTask:
    """The engine's task of a text-prompted model: one text drawn for each mask in every epoch (VLSM-Adapter, 3.1)."""

    def __init__(
        self,
        core: TextTrainingCore,
        samples: Sequence[TextSample],
        batch: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        form: TextLoss = "correct",
        precision: Precision = "fp32",
        mode: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.core, self.samples, self.batch, self.generator, self.device = core, samples, batch, generator, device
        self.form, self.precision, self.mode = form, precision, mode
        self.order: list[int] = []  # what is left of this epoch

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""
        return max(1, -(-len(self.samples) // self.batch))

    def step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Back-propagate the next batch's loss."""
        if not self.order:
            self.order = shuffled_by_image(self.samples, self.generator)
        chosen, self.order = [self.samples[i] for i in self.order[: self.batch]], self.order[self.batch :]
        with self.mode():
            loss, _, _ = self.loss(chosen, self.generator)
            torch.autograd.backward(scale(loss))
        return StepLog({"loss": float(loss.detach())}, len(chosen))

    def loss(self, chosen: Sequence[TextSample], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, logits (b, 1, S, S), target (b, 1, S, S)) of a batch with one text drawn for each."""
        texts = [s.texts[int(torch.randint(len(s.texts), (), generator=generator))] for s in chosen]
        target = torch.stack([s.target for s in chosen])[:, None].float().to(self.device)
        with autocast(self.device, self.precision):
            views = {id(s.view): s.view for s in chosen}  # several masks of one image are seen once
            rows = torch.tensor([list(views).index(id(s.view)) for s in chosen], device=self.device)
            maps = [part[rows] for part in self.core.encode(torch.stack(list(views.values())).to(self.device))]
            logits = self.core.decode(maps, texts, (target.shape[-2], target.shape[-1])).float()
        return TEXT_LOSSES[self.form](logits, target), logits, target

    @torch.no_grad()
    def validate(self, samples: Sequence[TextSample], seed: int = 0) -> tuple[float, list[float]]:
        """(loss, Dice of each mask on the model's grid); the same texts every time."""
        generator, losses, scores = torch.Generator().manual_seed(seed), 0.0, list[float]()
        for start in range(0, len(samples), self.batch):
            chosen = samples[start : start + self.batch]
            loss, logits, target = self.loss(chosen, generator)
            losses += float(loss) * len(chosen)
            masks = ((logits > 0).cpu().numpy(), (target > 0.5).cpu().numpy())
            scores += [dice(predicted[0], wanted[0]) for predicted, wanted in zip(*masks, strict=True)]
        return losses / len(samples), scores

    def state_dict(self) -> dict[str, Any]:
        """What is left of the epoch."""
        return {"order": self.order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in the middle of an epoch."""
        self.order = list(state["order"])


def shuffled_by_image(samples: Sequence[TextSample], generator: torch.Generator) -> list[int]:
    """Indices in random order, those of one image together."""
    groups: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(id(sample.view), []).append(i)
    images = list(groups.values())
    return [i for g in torch.randperm(len(images), generator=generator).tolist() for i in images[g]]
