"""PerSAM-F's rivals: other ways to fit a SAM to one reference, and how many numbers each of them trains (Table 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segue.adapters.base import Adapter, attach, training
from segue.adapters.decoder import DecoderBottlenecks, DecoderPrompts
from segue.adapters.lora import LoRA
from segue.core.errors import ConfigError
from segue.core.types import Click, Reference
from segue.models.sam.model import Sam
from segue.models.sam.persam import PerSam
from segue.models.sam.scale_fit import fit_scale_weights
from segue.nn.frames import to_image_size
from segue.nn.losses import persam_dice, persam_focal

Comparator = Literal["none", "prompts", "adapter", "lora", "three-weights", "two-weights"]
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "out_proj", "o_proj"]
ADAPTERS: Mapping[str, Callable[[Sam], Adapter]] = {
    "prompts": DecoderPrompts,
    "adapter": DecoderBottlenecks,
    "lora": lambda sam: LoRA(sam, rank=25, alpha=25.0, targets=PROJECTIONS),
}


@dataclass(frozen=True, eq=False)
class Fitted:
    """A ``model`` fitted to a reference by changing ``trained`` numbers; ``losses`` of every step; the ``adapter``
    is None where only scale weights were trained."""

    model: PerSam
    trained: int
    losses: Tensor
    adapter: Adapter | None = None


def fit_comparator(
    sam: Sam, reference: Reference, kind: Comparator, *, steps: int = 1000, rate: float = 1e-3
) -> Fitted:
    """Fit ``sam`` to ``reference`` in one of Table 5's ways; its own weights stay as they are.

    The adapters train PerSAM's first step (guided decode, one mask) on the reference against its own mask, with
    PerSAM-F's loss, AdamW and cosine schedule. They stay attached: ``detach`` gives the SAM back bit for bit.

    Source: PerSAM (Zhang et al., 2023), Table 5; sizes are chosen to meet its parameter counts on a SAM.
    """
    if kind == "none":
        return Fitted(PerSam(sam).eval(), 0, torch.zeros(0))
    if kind == "two-weights":
        return _two_weights(sam, reference, steps)
    if kind == "three-weights":
        return _three_weights(sam, reference, steps, rate)
    if kind not in ADAPTERS:
        raise ConfigError(
            f"the comparator {kind!r}", f"one of: none, {', '.join(ADAPTERS)}, three-weights, two-weights"
        )
    return _adapted(sam, reference, kind, steps, rate)


def _adapted(sam: Sam, reference: Reference, kind: str, steps: int, rate: float) -> Fitted:
    model = PerSam(sam).eval()
    with torch.no_grad():
        features = sam.encode([reference.image])
        wanted = model.target([reference])
        confidence = model.confidence(features, wanted.direction)
        clicks, guidance = model.clicks(confidence), model.guidance(features, confidence, wanted)
    adapter = attach(sam, ADAPTERS[kind](sam))
    target = torch.from_numpy(reference.mask).to(sam.device).flatten()[None].float()
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=rate, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    with training(sam, adapter), torch.enable_grad():
        for _ in range(steps):
            # transformers adds the target embedding to the tokens in place: what autograd keeps must be copies.
            with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda saved: saved):
                low, _ = sam.predict_low_res(features, clicks, multimask=False, guidance=guidance)
            logits = to_image_size(features.frame, sam.upscale_logits(low))[0, 0].flatten()[None]
            loss = persam_dice(logits, target) + persam_focal(logits, target)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
    adapter.eval()
    return Fitted(model, adapter.trainable, torch.stack(losses), adapter)


def _two_weights(sam: Sam, reference: Reference, steps: int) -> Fitted:
    model = PerSam(sam, negative=False, attention=False, semantic=False, scale=True, epochs=steps).eval()
    model.target([reference])
    return Fitted(model, 2, torch.zeros(0))


def _three_weights(sam: Sam, reference: Reference, steps: int, rate: float) -> Fitted:
    """Weights that need not sum to one."""
    model = PerSam(sam, negative=False, attention=False, semantic=False, scale=True, epochs=1).eval()
    target = model.target([reference])
    with torch.no_grad():
        features = sam.encode([reference.image])
        clicks: tuple[Click, ...] = model.clicks(model.confidence(features, target.direction))
        low, _ = sam.predict_low_res(features, clicks, multimask=True)
        logits = to_image_size(features.frame, sam.upscale_logits(low))[0]
    fit = fit_scale_weights(logits, torch.from_numpy(reference.mask).to(sam.device), steps, rate, free=3)
    model.use_weights([reference], fit.weights)
    return Fitted(model, 3, fit.losses.sum(1))
