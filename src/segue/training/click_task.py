"""Learning from simulated clicks: dialogues in random views, or in the views that a coarse pass chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from segue.core.errors import ConfigError
from segue.training.click_dialogue import PADDING, Dialogue, Prompts
from segue.training.click_sampler import boxes_around, first_clicks
from segue.training.crop_views import COVERED, STRIDE, CropViews, choose_crop_views, close_views, extents
from segue.training.engine import StepLog
from segue.training.view_batches import ViewBatch, ViewBatches, reduced_mask

PHOTO = 512  # pixels of the photos that a coarse pass sees
CLOSE = 640  # of the views in which errors are looked at closely
COARSE_MASK_WEIGHT = 0.5  # of the coarse pass's loss
HALF = 0.5  # of the losses of a correction and of the close look at it


class ClickTask:
    """The engine's task of a click model; ``mode`` puts the model into training mode for a step."""

    def __init__(
        self,
        dialogue: Dialogue,
        batches: ViewBatches,
        mode: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.dialogue, self.batches, self.mode = dialogue, batches, mode
        self.generator = dialogue.generator
        c = dialogue.clicks
        if c.coarse_pass_probability + c.corrections and dialogue.core.coarse_pass is None:
            raise ConfigError("a coarse pass for this model", "nano, the only one that has a coarse pass")

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which each photo is seen once on average."""
        return self.batches.steps_per_epoch

    def step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Back-propagate the dialogues of one batch; loss, IoU after each click of fresh targets, targets."""
        c = self.dialogue.clicks
        coarse, close = c.coarse_pass_probability, c.corrections
        kind = float(torch.rand((), generator=self.generator)) if coarse + close else 1.0
        with self.mode():
            if kind < coarse:
                return self._coarse_step(scale)
            if kind < coarse + close:
                return self._correction_step(scale)
            return self._view_step(scale)

    def _view_step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Dialogues in random views."""
        dialogue, batch = self.dialogue, self.batches.draw(self.dialogue.core.stride)
        if not len(batch.rows):
            return None
        prompts = dialogue.opening(batch.targets, batch.ignore_mask)
        masks = batch.targets, batch.ignore_mask
        answer = dialogue.run(
            batch.pixels, batch.rows, *masks, prompts, dialogue.rounds(), scale, unlearned=dialogue.unlearned()
        )
        return StepLog(answer.log | {"targets": float(len(batch.rows))}, len(batch.rows))

    def _correction_step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """A dialogue, of which only the last answer is learned from, then a close look at what it changed."""
        dialogue, batch, model = self.dialogue, self.batches.draw_close(CLOSE), self.dialogue.core.coarse_pass
        assert model is not None
        if not len(batch.rows):
            return None
        small, ignored = (reduced_mask(m, 2 * STRIDE) for m in (batch.targets, batch.ignore_mask))
        rounds = int(torch.randint(1, dialogue.clicks.most_unlearned + 1, (), generator=self.generator))
        opening, pixels = dialogue.opening(small, ignored), avg_pool2d(batch.pixels, 2)
        answer = dialogue.run(pixels, batch.rows, small, ignored, opening, 1, scale, HALF, unlearned=rounds)

        views = close_views(answer.logits, answer.prompts, CLOSE, model.close.longest, self.generator)
        targets, ignore_mask = (views.masks(m.float()) > COVERED for m in (batch.targets, batch.ignore_mask))
        clicks, box = answer.prompts.clicks, answer.prompts.box
        larger = torch.cat([2 * clicks[..., :2], clicks[..., 2:]], -1)
        prompts = Prompts(views.clicks(larger), views.boxes(2 * box), views.masks(answer.prompts.previous))
        own = torch.arange(len(batch.rows), device=clicks.device)
        near = dialogue.run(views.pixels(batch.pixels[batch.rows]), own, targets, ignore_mask, prompts, 1, scale, HALF)
        names = {"corrected": answer.log, "close": near.log}
        return StepLog({f"{n}_{k}": log[k] for n, log in names.items() for k in ("loss", "last_iou")}, len(batch.rows))

    def _coarse_step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """A first answer in a coarse pass over whole photos, then dialogues in the views that the model turns to."""
        dialogue, batch, model = self.dialogue, self.batches.draw_photos(PHOTO), self.dialogue.core.coarse_pass
        assert model is not None
        if not len(batch.rows):
            return None
        photos, (clicks, box) = extents(batch.inside), self._first_prompts(batch)
        masks = batch.targets.float(), batch.ignore_mask.float()

        views = CropViews(photos[batch.rows], PHOTO, model.zoom.coarse_pass)
        pixels = CropViews(photos, PHOTO, model.zoom.coarse_pass).pixels(avg_pool2d(batch.pixels, 2))
        opening = views.initial_prompts(4, *masks, clicks, box)
        first = dialogue.run(pixels, batch.rows, *opening[:2], Prompts(*opening[2:]), 1, scale, COARSE_MASK_WEIGHT)
        coarse, log = views.to_photos(first.logits.sigmoid()), first.log

        logs, rounds = [{"coarse_iou": log["iou1"]} if "iou1" in log else {}], dialogue.rounds()
        for pick, views in choose_crop_views(model, coarse > 0.5, photos[batch.rows], clicks, box, PHOTO):
            mixed = float(torch.rand((), generator=self.generator)) < dialogue.clicks.coarse_mask_probability
            shrink = 2 if views.size == model.longest else 1
            own, pixels = torch.arange(len(pick), device=clicks.device), views.pixels(batch.pixels[batch.rows[pick]])
            opening = views.initial_prompts(shrink, *(t[pick] for t in (*masks, clicks, box)))
            coarse_mask = views.masks(coarse[pick]) if mixed else None
            log = dialogue.run(
                pixels, own, *opening[:2], Prompts(*opening[2:]), rounds, scale, coarse_mask=coarse_mask
            ).log
            logs.append({f"{k}_{views.size}": v for k, v in log.items()})
        return StepLog({k: v for part in logs for k, v in part.items()}, len(batch.rows))

    def _first_prompts(self, batch: ViewBatch) -> tuple[Tensor, Tensor]:
        """A first click (n, 1, 3) or a box (n, 4) for each target, in pixels of the photos."""
        c, g, small = self.dialogue.clicks, self.generator, reduced_mask(batch.targets, STRIDE)
        first = first_clicks(small, STRIDE, g, c.centred, c.even)[:, None]
        boxed = (torch.rand(len(batch.rows), generator=g) < c.boxes).to(first.device)
        clicks = torch.where(boxed[:, None, None], PADDING, first)
        return clicks, torch.where(boxed[:, None], boxes_around(small, STRIDE, g), 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Nothing beside the generator."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take over."""
