"""One simulated dialogue with a click model: rounds of clicks on its own errors, back-propagated at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segue.nn.losses import normalized_focal, soft_iou
from segue.nn.training_core import TrainingCore
from segue.training.click_sampler import (
    boxes_around,
    first_clicks,
    next_clicks,
    rough_masks,
    scattered_clicks,
)
from segue.training.config import ClickConfig, LossConfig, Precision
from segue.training.optimizers import autocast

PADDING = -1.0  # label of no click


@dataclass(frozen=True)
class Prompts:
    """How a dialogue of n targets begins: ``clicks`` (n, k, 3), ``box`` (n, 4) and ``previous`` mask (n, 1, s, s)."""

    clicks: Tensor
    box: Tensor
    previous: Tensor


@dataclass(frozen=True)
class DialogueEnd:
    """What a dialogue gave: values to ``log``, the last ``logits`` (n, 1, s, s), and the ``prompts`` they answer."""

    log: dict[str, float]
    logits: Tensor
    prompts: Prompts


@dataclass(frozen=True)
class Dialogue:
    """Simulated users of one model: how they click, and what its answers cost.

    The model's own errors are clicked with the previous mask as input (RITM, section 3); several decodes share one
    encode (InterFormer). Each round is back-propagated into the shared maps at once, so that memory does not grow with
    the rounds.
    """

    core: TrainingCore
    clicks: ClickConfig
    weights: LossConfig
    generator: torch.Generator
    precision: Precision = "fp32"

    def run(
        self,
        pixels: Tensor,
        rows: Tensor,
        targets: Tensor,
        ignore_mask: Tensor,
        prompts: Prompts,
        rounds: int,
        scale: Callable[[Tensor], Tensor],
        weight: float = 1.0,
        coarse_mask: Tensor | None = None,
        unlearned: int = 0,
    ) -> DialogueEnd:
        """Back-propagate ``rounds`` of clicks on the targets, of which ``rows`` says in which views they are, after
        ``unlearned`` ones that go by without gradient. With ``coarse_mask``, an answer mixed with it is the previous
        one of the first round."""
        clicks, previous = prompts.clicks, prompts.previous
        fresh = (clicks[:, 1:, 2] < 0).all(1) & (clicks[:, 0, 2] > 0)
        labels, log = torch.where(ignore_mask, -1.0, targets.float()), {"loss": 0.0}
        with autocast(pixels.device, self.precision):
            maps = self.core.encode(pixels)
            chosen = {k: _as_images(v.index_select(0, rows)) for k, v in maps.items()}
            leaves = {k: v.detach().requires_grad_(v.requires_grad) for k, v in chosen.items()}
            if coarse_mask is not None:
                with torch.no_grad():
                    previous = self.core.decode(leaves, clicks, prompts.box, previous)[0].sigmoid()
                share = torch.rand(len(coarse_mask), 1, 1, 1, generator=self.generator).to(pixels.device)
                previous = torch.lerp(previous, coarse_mask, share)
            carried = previous
            if unlearned:
                clicks, carried = self._unlearned(leaves, prompts, targets, ignore_mask, unlearned)
            for turn in range(rounds):
                shown = Prompts(clicks, prompts.box, carried[:, :1])
                logits, score = self.core.decode(leaves, clicks, prompts.box, carried)
                loss, ious = self.loss(logits, score, labels)
                torch.autograd.backward(scale(loss * (weight / rounds)))
                log["loss"] += float(loss.detach()) / rounds
                if bool(fresh.any()) and not unlearned:
                    log[f"iou{turn + 1}"] = float(ious[fresh].mean())
                previous = logits.detach().sigmoid()
                carried = self.core.carried(carried, previous)
                if turn + 1 < rounds:
                    clicks = torch.cat([clicks, self.next(previous, targets, ignore_mask)[:, None]], dim=1)
            pairs = [(chosen[k], leaf.grad) for k, leaf in leaves.items() if leaf.grad is not None]
            if pairs:
                torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
        log["last_iou"] = float(ious.mean())
        return DialogueEnd(log, logits.detach(), shown)

    @torch.no_grad()
    def _unlearned(
        self, maps: Mapping[str, Tensor], prompts: Prompts, targets: Tensor, ignore_mask: Tensor, rounds: int
    ) -> tuple[Tensor, Tensor]:
        """Clicks and what is carried on after ``rounds`` without gradient, the click that answers the last mask
        included."""
        clicks, carried = prompts.clicks, prompts.previous
        for _ in range(rounds):
            previous = self.core.decode(maps, clicks, prompts.box, carried)[0].sigmoid()
            carried = self.core.carried(carried, previous)
            clicks = torch.cat([clicks, self.next(previous, targets, ignore_mask)[:, None]], dim=1)
        return clicks, carried

    def loss(self, logits: Tensor, score: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One round's loss, and the IoU (n,) that its masks reach; ``labels`` are 1, 0 or -1 for ignored pixels."""
        predicted, is_object = (logits.detach() > 0) & (labels >= 0), labels > 0.5
        both, either = (m.flatten(1).sum(1) for m in (predicted & is_object, predicted | is_object))
        ious = both / either.clamp(min=1)
        loss = normalized_focal(logits, labels).mean() + self.weights.iou * soft_iou(logits, labels).mean()
        if score is not None:
            loss = loss + self.weights.score * nn.functional.binary_cross_entropy_with_logits(score[:, 0], ious)
        return loss, ious

    def opening(self, targets: Tensor, ignore_mask: Tensor) -> Prompts:
        """A first click, a box, or a state in the middle of the work, for each target (n, 1, s, s)."""
        c, g, stride, device = self.clicks, self.generator, self.core.stride, targets.device
        kind = torch.rand(len(targets), generator=g).to(device)
        resumed, boxed = kind < c.resumed, kind > 1 - c.boxes
        clicks = torch.full((len(targets), c.most_scattered, 3), PADDING, device=device)
        clicks[:, 0] = first_clicks(targets, stride, g, c.centred, c.even)
        scattered = scattered_clicks(targets, ignore_mask, c.most_scattered, stride, g)
        clicks = torch.where(resumed[:, None, None], scattered, clicks)
        clicks = torch.where(boxed[:, None, None], PADDING, clicks)
        box = torch.where(boxed[:, None], boxes_around(targets, stride, g), 0.0)
        masked = resumed & (torch.rand(len(targets), generator=g).to(device) < 0.8)
        rough = rough_masks(targets, g)
        previous = torch.where(masked[:, None, None, None], rough, 0.0)
        if c.imported:
            brought = (torch.rand(len(targets), generator=g) < c.imported).to(device)
            first = torch.full_like(clicks, PADDING)
            first[:, 0] = self.next(rough, targets, ignore_mask)
            clicks = torch.where(brought[:, None, None], first, clicks)
            box = torch.where(brought[:, None], 0.0, box)
            previous = torch.where(brought[:, None, None, None], rough, previous)
        return Prompts(clicks, box, previous)

    def rounds(self) -> int:
        """How many rounds the next dialogue has."""
        c = self.clicks
        return int(torch.randint(c.rounds[0], c.rounds[1] + 1, (), generator=self.generator))

    def unlearned(self) -> int:
        """How many rounds go by without gradient before those."""
        c, g = self.clicks, self.generator
        if not c.long or float(torch.rand((), generator=g)) >= c.long:
            return 0
        return int(torch.randint(1, c.most_unlearned + 1, (), generator=g))

    def next(self, previous: Tensor, targets: Tensor, ignore_mask: Tensor) -> Tensor:
        """The next click (n, 3) on each target, label -1 where none is made."""
        c, stride, g = self.clicks, self.core.stride, self.generator
        clicks = next_clicks(previous, targets, ignore_mask, stride, g, c.greedy, c.even)
        if c.repeat_clicks_probability and float(torch.rand((), generator=g)) < c.repeat_clicks_probability:
            clicks[:, 2] = PADDING
        return clicks


def _as_images(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last) if maps.ndim == 4 else maps
