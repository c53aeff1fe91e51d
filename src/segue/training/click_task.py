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
from segue.training.crop_views import STRIDE, CropViews, choose_crop_views, extents
from segue.training.engine import StepLog
from segue.training.view_batches import ViewBatch, ViewBatches, reduced_mask

PHOTO = 512  # pixels of the photos that a coarse pass sees
COARSE_MASK_WEIGHT = 0.5  # of the coarse pass's loss


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
        if dialogue.clicks.coarse_pass_probability and dialogue.core.coarse_pass is None:
            raise ConfigError("a coarse pass for this model", "nano, the only one that has a coarse pass")

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which each photo is seen once on average."""
        return self.batches.steps_per_epoch

    def step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Back-propagate the dialogues of one batch; loss, IoU after each click of fresh targets, targets."""
        share = self.dialogue.clicks.coarse_pass_probability
        coarse = share > 0 and float(torch.rand((), generator=self.generator)) < share
        with self.mode():
            return self._coarse_step(scale) if coarse else self._view_step(scale)

    def _view_step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """Dialogues in random views."""
        dialogue, batch = self.dialogue, self.batches.draw(self.dialogue.core.stride)
        if not len(batch.rows):
            return None
        prompts = dialogue.opening(batch.targets, batch.ignore_mask)
        masks = batch.targets, batch.ignore_mask
        log, _ = dialogue.run(batch.pixels, batch.rows, *masks, prompts, dialogue.rounds(), scale)
        return StepLog(log | {"targets": float(len(batch.rows))}, len(batch.rows))

    def _coarse_step(self, scale: Callable[[Tensor], Tensor]) -> StepLog | None:
        """A first answer in a coarse pass over whole photos, then dialogues in the views that the model turns to."""
        dialogue, batch, model = self.dialogue, self.batches.draw_photos(PHOTO), self.dialogue.core.coarse_pass
        assert model is not None
        if not len(batch.rows):
            return None
        photos, (clicks, box) = extents(batch.inside), self._first_prompts(batch)
        masks = batch.targets.float(), batch.ignore_mask.float()

        views = CropViews(photos[batch.rows], PHOTO, model.glance)
        pixels = CropViews(photos, PHOTO, model.glance).pixels(avg_pool2d(batch.pixels, 2))
        opening = views.initial_prompts(4, *masks, clicks, box)
        log, logits = dialogue.run(
            pixels, batch.rows, *opening[:2], Prompts(*opening[2:]), 1, scale, COARSE_MASK_WEIGHT
        )
        coarse = views.to_photos(logits.sigmoid())

        logs, rounds = [{"coarse_iou": log["iou1"]} if "iou1" in log else {}], dialogue.rounds()
        for pick, views in choose_crop_views(model, coarse > 0.5, photos[batch.rows], clicks, box, PHOTO):
            mixed = float(torch.rand((), generator=self.generator)) < dialogue.clicks.coarse_mask_probability
            shrink = 2 if views.size == model.longest else 1
            own, pixels = torch.arange(len(pick), device=clicks.device), views.pixels(batch.pixels[batch.rows[pick]])
            opening = views.initial_prompts(shrink, *(t[pick] for t in (*masks, clicks, box)))
            coarse_mask = views.masks(coarse[pick]) if mixed else None
            log, _ = dialogue.run(
                pixels, own, *opening[:2], Prompts(*opening[2:]), rounds, scale, coarse_mask=coarse_mask
            )
            logs.append({f"{k}_{views.size}": v for k, v in log.items()})
        return StepLog({k: v for part in logs for k, v in part.items()}, len(batch.rows))

    def _first_prompts(self, batch: ViewBatch) -> tuple[Tensor, Tensor]:
        """A first click (n, 1, 3) or a box (n, 4) for each target, in pixels of the photos."""
        c, g, small = self.dialogue.clicks, self.generator, reduced_mask(batch.targets, STRIDE)
        first = first_clicks(small, STRIDE, g, c.centred)[:, None]
        boxed = (torch.rand(len(batch.rows), generator=g) < c.boxes).to(first.device)
        clicks = torch.where(boxed[:, None, None], PADDING, first)
        return clicks, torch.where(boxed[:, None], boxes_around(small, STRIDE, g), 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Nothing beside the generator."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take over."""
