"""PerSAM and PerSAM-F: one example, then the same object in other images, over any SAM.

Exact to the published code, including what the paper does not say: see the notes at each step.

Source: Personalize Segment Anything Model with One Shot (Zhang et al., 2023), sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.geometry import mask_box
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Features, Image, Mask, Memory, Prediction, Probability, Prompt, Reference
from segue.models.sam.model import Sam
from segue.models.sam.network import Guidance
from segue.models.sam.scale_fit import fit_scale_weights
from segue.models.wrappers import Wrapper
from segue.nn import frames as tensor_frames
from segue.nn.module import as_array

REMEMBERED = 16  # references whose features are kept


@dataclass(frozen=True)
class Components:
    """Which components of PerSAM are on; the rows of Table 4 are ``TABLE_4``.

    ``negative``: the least similar point as a background click. ``refine``: the two refinement steps.
    ``attention`` and ``semantic``: the two additions inside the decoder. ``scale``: PerSAM-F's two weights, and
    with them its target feature, half mean and half maximum.
    """

    negative: bool = True
    refine: bool = True
    attention: bool = True
    semantic: bool = True
    scale: bool = False


TABLE_4: Mapping[str, Components] = {
    "positive prior": Components(negative=False, refine=False, attention=False, semantic=False),
    "+ negative prior": Components(refine=False, attention=False, semantic=False),
    "+ post-refinement": Components(attention=False, semantic=False),
    "+ guided attention": Components(semantic=False),
    "+ semantic prompt": Components(),
    "+ scale tuning": Components(negative=False, attention=False, semantic=False, scale=True),
}


@dataclass(frozen=True, eq=False)
class ReferenceFeatures:
    """What a reference says: ``direction`` (c,) of unit length to compare cells with, ``embedding`` (c,) as it is,
    ``weights`` (3,) of the scales for PerSAM-F."""

    direction: Tensor
    embedding: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Stages:
    """Everything PerSAM computed for one image: ``confidence`` (H, W), the clicks taken from it, the guidance, the
    prediction of every step (the last is the answer) and the boxes (x0, y0, x1, y1) between them."""

    confidence: Probability
    clicks: tuple[Click, ...]
    guidance: Guidance
    steps: tuple[Prediction, ...]
    boxes: tuple[Box, ...]


class PerSam(Wrapper):
    """A SAM that understands references; clicks and boxes after them go to the SAM with the mask so far.

    ``sam`` is a ``Sam`` or the keywords of one. ``mask_value`` is the grey value of the object in the reference's
    mask picture: the published code sends that picture through image normalisation, so PerSeg's 128 counts a
    cell only when it is 97 per cent covered, 255 when it is half covered. Where none is, the most covered counts.

    >>> import numpy as np
    >>> from segue.models.registry import MODELS
    >>> model = PerSam(**MODELS["persam"].tiny).eval()
    >>> image = np.zeros((32, 48, 3), np.uint8)
    >>> mask = np.zeros((32, 48), bool); mask[4:20, 8:30] = True
    >>> model.decode(model.encode([image]), [Reference(image, mask)]).probability().shape
    (32, 48)
    """

    one_shot: ClassVar[str] = "persam"

    def __init__(
        self,
        sam: Sam | Mapping[str, Any],
        *,
        negative: bool = True,
        refine: bool = True,
        attention: bool = True,
        semantic: bool = True,
        scale: bool = False,
        mask_value: int = 128,
        epochs: int = 1000,
    ) -> None:
        super().__init__(sam if isinstance(sam, Sam) else Sam(**sam))
        self.components = Components(negative, refine, attention, semantic, scale)
        self.mask_value, self.epochs = mask_value, epochs
        self._targets: dict[tuple[str, ...], ReferenceFeatures] = {}

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """The SAM's own."""
        return self.sam.encode(images, frames)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """The SAM's own."""
        return self.sam.memory_from_mask(features, probability)

    @property
    def sam(self) -> Sam:
        """The SAM; while an adapter replaces it whole, what stands in for it."""
        return cast(Sam, self.inner)

    @property
    def accepts(self) -> frozenset[type]:  # type: ignore[override]
        return frozenset({Reference}) | self.inner.accepts

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """References -> the object they show; clicks and boxes beside them correct that answer."""
        references = [p for p in prompts if isinstance(p, Reference)]
        corrections = [p for p in prompts if not isinstance(p, Reference)]
        if not references:
            return self.sam.decode(features, corrections, memory)
        if corrections and memory:
            return self.sam.decode(features, corrections, memory)
        answer = self.stages(features, references).steps[-1]
        return self.sam.decode(features, corrections, answer.memory) if corrections else answer

    def stages(self, features: Features, references: Sequence[Reference], taken: Mask | None = None) -> Stages:
        """Prior, guided decoding and refinement, kept apart; several references pool their cells.

        Pixels of ``taken`` (H, W) bool, instances found before, have the lowest confidence of all.
        """
        target = self.target(references)
        confidence = self.confidence(features, target.direction)
        if taken is not None:
            confidence = np.where(taken, confidence.min(), confidence)
        clicks = self.clicks(confidence)
        guidance = self.guidance(features, confidence, target)
        first = self._first(features, clicks, guidance, target)
        if not self.components.refine:
            return Stages(confidence, clicks, guidance, (first,), ())
        return Stages(confidence, clicks, guidance, *self._refine(features, clicks, first))

    def target(self, references: Sequence[Reference]) -> ReferenceFeatures:
        """What the references say; computed once for the same content."""
        key = _key(references)
        if key not in self._targets:
            with torch.inference_mode(False), torch.no_grad():  # plain tensors, also inside a caller's inference mode
                made = self._target(references)
            while len(self._targets) >= REMEMBERED:
                self._targets.pop(next(iter(self._targets)))
            self._targets[key] = made
        return self._targets[key]

    def use_weights(self, references: Sequence[Reference], weights: Tensor) -> None:
        """Let ``references`` mean the scales ``weights`` (3,), whatever was fitted to them."""
        self._targets[_key(references)] = replace(self.target(references), weights=weights)

    def confidence(self, features: Features, direction: Tensor) -> Probability:
        """(H, W) cosine similarity of every pixel to ``direction`` (c,). Equations 5 and 6."""
        cells = F.normalize(self.sam.tensor(features.maps["embedding"]), dim=1)
        low = torch.einsum("bchw,c->bhw", cells, direction)[:, None]
        enlarged = F.interpolate(low, scale_factor=4, mode="bilinear")
        return features.frame.to_image_size(as_array(self.sam.upscale_logits(enlarged)[0, 0]))

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """The SAM's checkpoint: PerSAM has no weights of its own."""
        self.sam.load_published({k.removeprefix("inner.").removeprefix("sam."): v for k, v in state.items()})

    def fingerprint(self) -> str:
        """That of the SAM, because encoding is the SAM's."""
        return self.sam.fingerprint()

    def _target(self, references: Sequence[Reference]) -> ReferenceFeatures:
        encoded = [(self.sam.encode([r.image]), r) for r in references]
        cells = torch.cat([self._covered(f, r.mask) for f, r in encoded])
        mean = cells.mean(0)
        if not self.components.scale:
            return ReferenceFeatures(F.normalize(mean, dim=0), mean)
        direction = F.normalize((cells.amax(0) + mean) / 2, dim=0)
        features, reference = encoded[0]
        clicks = self.clicks(self.confidence(features, direction))
        low, _ = self.sam.predict_low_res(features, clicks, multimask=True)
        logits = tensor_frames.to_image_size(features.frame, self.sam.upscale_logits(low))[0]
        mask = self.sam.tensor(reference.mask)
        return ReferenceFeatures(direction, mean, fit_scale_weights(logits, mask, self.epochs).weights)

    def _covered(self, features: Features, mask: Mask) -> Tensor:
        """(n, c) features of the cells that the reference mask covers."""
        cells = self.sam.tensor(features.maps["embedding"])[0]
        picture = (mask[..., None].repeat(3, -1) * self.mask_value).astype("uint8")
        value = self.sam.pixels(picture, features.frame)[:, :1]
        value = F.interpolate(value, cells.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
        covered = value > 0
        if not covered.any():
            covered = value == value.max()
        return cells[:, covered].T

    def clicks(self, confidence: Probability) -> tuple[Click, ...]:
        """The most and the least similar pixel of (H, W) as clicks."""
        width = confidence.shape[1]
        high, low = int(confidence.argmax()), int(confidence.argmin())
        clicks = (Click(high % width, high // width), Click(low % width, low // width, positive=False))
        return clicks if self.components.negative else clicks[:1]

    def guidance(self, features: Features, confidence: Probability, target: ReferenceFeatures) -> Guidance:
        """What the decoder is told beside its clicks, as far as the components are on."""
        attention = embedding = None
        if self.components.attention:
            whole = self.sam.tensor(confidence)
            standard = (whole - whole.mean()) / whole.std()
            # The published code stretches the image-sized map over the whole padded grid; so do we.
            grid = features.maps["embedding"].shape[-2:]
            small = F.interpolate(standard[None, None], grid, mode="bilinear", align_corners=False)
            attention = small.sigmoid().flatten(2)[:, :, None]
        if self.components.semantic:
            embedding = target.embedding[None, None]
        return Guidance(attention, embedding)

    def _first(
        self, features: Features, clicks: Sequence[Click], guidance: Guidance, target: ReferenceFeatures
    ) -> Prediction:
        if target.weights is None:
            return self.sam.predict_masks(features, clicks, multimask=False, guidance=guidance)
        low, scores = self.sam.predict_low_res(features, clicks, multimask=True, guidance=guidance)
        weights = target.weights.to(low)
        low = (low * weights[:, None, None]).sum(1, keepdim=True)
        score = (scores * weights).sum(1, keepdim=True).clamp(0, 1)
        return self.sam.prediction(self.sam.upscale_logits(low), score, {"logits": low}, features.frame)

    def _refine(
        self, features: Features, clicks: Sequence[Click], first: Prediction
    ) -> tuple[tuple[Prediction, ...], tuple[Box, ...]]:
        """Mask and clicks, then mask, clicks and box. PerSAM-F already boxes its first, weighted mask."""
        steps, boxes = [first], []
        for needs_box in (self.components.scale, True):
            prompts: list[Prompt] = list(clicks)
            if needs_box:
                box = enclosing_box(steps[-1])
                if box is None:
                    break
                boxes.append(box)
                prompts.append(box)
            steps.append(self.sam.predict_masks(features, prompts, steps[-1].memory, multimask=True))
        return tuple(steps), tuple(boxes)


def _key(references: Sequence[Reference]) -> tuple[str, ...]:
    return tuple(sorted(r.digest for r in references))


def enclosing_box(prediction: Prediction) -> Box | None:
    """The box from the first to the last pixel of the best candidate's mask, as the published code draws it (the
    last pixel's own coordinates, not one past); None for an empty mask."""
    box = mask_box(prediction.frame.to_image_size(prediction.logits[0, prediction.best]) > 0)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    return Box(x0, y0, max(x1 - 1, x0 + 1), max(y1 - 1, y0 + 1))


def personalized(model: Segmenter, fit_scale: bool = False, mask_value: int = 128) -> PerSam:
    """A SAM as a PerSAM, with ``fit_scale`` as a PerSAM-F, its references' masks of ``mask_value``; a PerSAM as it is.
    Raises ``InputError`` for others."""
    if isinstance(model, PerSam):
        return model
    if not isinstance(model, Sam):
        raise InputError(f"{type(model).__name__}", "a model of the SAM family", "choose --model sam-vit-base")
    components = TABLE_4["+ scale tuning" if fit_scale else "+ semantic prompt"]
    return PerSam(model, **vars(components), mask_value=mask_value).eval()
