"""MobileSAM: SAM's prompt encoder and decoder behind a TinyViT that runs on a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import transformers

from segue.models.sam.model import Sam
from segue.models.sam.tinyvit import TinyViT


class MobileSam(Sam):
    """A SAM whose image encoder is a TinyViT of the keywords ``encoder``, in the sizes of MobileSAM by default.

    ``load_published`` takes ``mobile_sam.pt`` as published.

    Source: Faster Segment Anything (Zhang et al., 2023).

    >>> import numpy as np
    >>> from segue.core.types import Click
    >>> from segue.models.registry import MODELS
    >>> sam = MobileSam(**MODELS["mobilesam"].tiny).eval()
    >>> sam.decode(sam.encode([np.zeros((48, 64, 3), np.uint8)]), [Click(9, 9)]).scores.shape
    (1, 3)
    """

    def __init__(
        self,
        encoder: Mapping[str, Any] | None = None,
        prompt_encoder_config: Mapping[str, Any] | None = None,
        mask_decoder_config: Mapping[str, Any] | None = None,
    ) -> None:
        prompt = dict(prompt_encoder_config or {})
        width = prompt.get("hidden_size", 256)
        # transformers builds its own encoder with the model: the smallest there is, replaced at once.
        stub = {"hidden_size": 1, "num_attention_heads": 1, "num_hidden_layers": 0, "global_attn_indexes": []}
        stub |= {k: prompt[k] for k in ("image_size", "patch_size") if k in prompt}
        config = transformers.SamConfig(
            vision_config=stub | {"output_channels": width, "num_pos_feats": width // 2},
            prompt_encoder_config=prompt,
            mask_decoder_config=dict(mask_decoder_config or {}),
        )
        net = transformers.SamModel(config)
        net.vision_encoder = TinyViT(**{"outputs": width, **dict(encoder or {})})
        super().__init__("sam", net=net)
