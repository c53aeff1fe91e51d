"""Published names of CLIPSeg's weights, turned into transformers'."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from segue.nn.vit import resize_position_embedding

# The original code wraps OpenAI's CLIP as ``clip_model`` and writes its own decoder at the top level.
CLIP_NAMES = (
    (r"^clip_model\.visual\.transformer\.resblocks\.", "clip.vision_model.encoder.layers."),
    (r"^clip_model\.visual\.class_embedding$", "clip.vision_model.embeddings.class_embedding"),
    (r"^clip_model\.visual\.positional_embedding$", "clip.vision_model.embeddings.position_embedding.weight"),
    (r"^clip_model\.visual\.conv1\.", "clip.vision_model.embeddings.patch_embedding."),
    (r"^clip_model\.visual\.ln_pre\.", "clip.vision_model.pre_layrnorm."),
    (r"^clip_model\.visual\.ln_post\.", "clip.vision_model.post_layernorm."),
    (r"^clip_model\.visual\.proj$", "clip.visual_projection.weight"),
    (r"^clip_model\.transformer\.resblocks\.", "clip.text_model.encoder.layers."),
    (r"^clip_model\.token_embedding\.", "clip.text_model.embeddings.token_embedding."),
    (r"^clip_model\.positional_embedding$", "clip.text_model.embeddings.position_embedding.weight"),
    (r"^clip_model\.ln_final\.", "clip.text_model.final_layer_norm."),
    (r"^clip_model\.text_projection$", "clip.text_projection.weight"),
    (r"^clip_model\.logit_scale$", "clip.logit_scale"),
)
LAYER_NAMES = (
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.", ".self_attn."),
)
DECODER_NAMES = (
    (r"^(film_mul|film_add|reduces)\.", r"decoder.\1."),
    (r"^trans_conv\.", "decoder.transposed_convolution."),
    (r"^blocks\.", "decoder.layers."),
    (r"^(decoder\.layers\.\d+)\.linear([12])\.", r"\1.mlp.fc\2."),
    (r"^(decoder\.layers\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
)
TRANSPOSED = ("clip.visual_projection.weight", "clip.text_projection.weight")  # stored as x @ W by OpenAI


def official_keys(state: Mapping[str, Tensor], own: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """``state`` under transformers' keys; ``own`` are that model's keys and shapes.

    Known and left out: the second copy of the vision tower (``model.``), the unused ``reduce``, buffers of older
    transformers (``position_ids``), VLSM-Adapter's adapters and its second copy of CLIP. Anything else stays, so
    that the strict loader can complain about it.

    >>> sorted(official_keys({"film_mul.bias": torch.zeros(2), "blocks.0.linear1.bias": torch.zeros(3)}, {}))
    ['decoder.film_mul.bias', 'decoder.layers.0.mlp.fc1.bias']
    """
    state = {k.removeprefix("core."): v for k, v in state.items()}
    if any(k.startswith("clipseg.") for k in state):
        state = {k.removeprefix("clipseg."): v for k, v in state.items() if k.startswith("clipseg.")}
    original = any(k.startswith(("film_", "clip_model.")) for k in state)
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith("position_ids") or (original and key.startswith(("model.", "reduce."))):
            continue
        name = _rename(key) if original else key
        if original and name in TRANSPOSED:
            value = value.T
        if "in_proj_" in name:
            for part, chunk in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True):
                renamed[re.sub(r"in_proj_", f"{part}.", name)] = chunk
        else:
            renamed[name] = value
    return {k: v.reshape(own[k]) if k in own and own[k] == () else v for k, v in renamed.items()}


def _rename(key: str) -> str:
    for pattern, replacement in CLIP_NAMES + DECODER_NAMES:
        key = re.sub(pattern, replacement, key)
    if key.startswith("clip."):
        for pattern, replacement in LAYER_NAMES:
            key = re.sub(pattern, replacement, key)
    return key


def resize_positions(table: Tensor, positions: int) -> Tensor:
    """Position table (1 + n*n, c), class token first -> (positions, c) for another square grid, bicubic.

    >>> resize_positions(torch.zeros(5, 3), 17).shape
    torch.Size([17, 3])
    """
    if len(table) == positions:
        return table
    old, new = (round((n - 1) ** 0.5) for n in (len(table), positions))
    patches = resize_position_embedding(table[None, 1:].float(), (old, old), (new, new))
    return torch.cat((table[:1], patches[0].to(table.dtype)))
