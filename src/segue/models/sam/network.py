"""The tensors of the SAM family: transformers' own networks, and one attention function that PerSAM steers.

``net`` is one of transformers' classes throughout, which share the submodules used here but no type.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from transformers import AttentionInterface

from segue.core.errors import MissingExtra

Kind: TypeAlias = Literal["sam", "sam_hq", "sam2", "edgetam"]
CLASSES: Mapping[str, str] = {"sam": "Sam", "sam_hq": "SamHQ", "sam2": "Sam2", "edgetam": "EdgeTam"}
CONFIGS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
GUIDED = "segue_guided"
_TARGET_EMBEDDING: ContextVar[Tensor | None] = ContextVar("target_embedding", default=None)  # of this thread's decoding


@dataclass(frozen=True)
class Guidance:
    """PerSAM's two additions to the decoder: ``attention`` (1, 1, 1, h * w) added to every token-to-image
    attention after its softmax, and ``embedding`` (1, 1, c) added to the tokens; None leaves one out."""

    attention: Tensor | None = None
    embedding: Tensor | None = None


def guided_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, None]:
    """softmax(softmax(q k) + guidance) v: (b, heads, n, d) -> (b, n, heads, d), None.

    transformers hands the guidance as ``attention_mask`` and would add it before the only softmax; the
    published code adds it to the finished attention and takes the softmax again.

    Source: PerSAM (Zhang et al., 2023), equation 8, as in its published code.

    >>> ones = torch.ones(1, 2, 3, 4)
    >>> guided_attention(nn.Identity(), ones, ones, ones, None, 0.5)[0].shape
    torch.Size([1, 3, 2, 4])
    """
    # Spelled out also without guidance: as fast for a handful of tokens, and nearer to the published numbers.
    attention = torch.softmax(query @ key.transpose(-2, -1) * scaling, dim=-1)
    if attention_mask is not None:
        attention = torch.softmax(attention + attention_mask, dim=-1)
    return (attention @ value).transpose(1, 2), None


AttentionInterface.register(GUIDED, guided_attention)


def build_network(kind: Kind, *configs: Mapping[str, Any] | None) -> nn.Module:
    """transformers' network of ``kind`` with random weights, from the keywords of its ``CONFIGS``."""
    network = getattr(transformers, f"{network_class(kind)}Model")
    given = {name: dict(config) for name, config in zip(CONFIGS, configs, strict=True) if config is not None}
    built: nn.Module = network(getattr(transformers, f"{CLASSES[kind]}Config")(**given))
    return built


def network_class(kind: Kind) -> str:
    """How transformers' classes of ``kind`` begin. Raises ``MissingExtra`` where its backbone's library is absent."""
    if kind == "edgetam" and not transformers.utils.is_timm_available():
        raise MissingExtra.for_library("timm", "edgetam")
    return CLASSES[kind]


def make_guidable(net: Any, kind: Kind) -> None:
    """Let ``decode_tensors`` guide the attention of ``net``, and untie what cannot be saved."""
    if kind in ("sam", "sam_hq"):  # tied in transformers, but one tensor under two names cannot be saved
        net.prompt_encoder.shared_embedding = copy.deepcopy(net.shared_image_embedding)
    transformer = net.mask_decoder.transformer
    transformer.layers[0].self_attn.config._attn_implementation = GUIDED
    transformer.final_attn_token_to_image.register_forward_pre_hook(_add_target_embedding, with_kwargs=True)


def is_squashed(kind: Kind) -> bool:
    """Whether images are resized to the square (SAM 2) instead of padded to it (SAM)."""
    return kind in ("sam2", "edgetam")


def input_side(net: Any) -> int:
    """Pixels on a side of the square that the encoder sees."""
    return int(net.prompt_encoder.input_image_size)


def low_res_side(net: Any) -> int:
    """Pixels on a side of the low-resolution logits."""
    return 4 * int(net.prompt_encoder.image_embedding_size[0])


def embed(net: Any, kind: Kind, pixels: Tensor) -> dict[str, Tensor]:
    """(b, 3, side, side) normalised pixels -> ``embedding`` and, by family, its high-resolution companions."""
    if not is_squashed(kind):
        encoded = net.vision_encoder(pixels)
        maps = {"embedding": encoded.last_hidden_state}
        if kind == "sam_hq":
            maps["early"] = encoded.intermediate_embeddings[0]
        return maps
    # get_image_embeddings does the same under no_grad, which would stop an adapter from training.
    levels = list(net.get_image_features(pixels, return_dict=True).fpn_hidden_states)
    levels[-1] = levels[-1] + net.no_memory_embedding
    sizes = net.backbone_feature_sizes
    pyramid = [v.permute(1, 2, 0).reshape(len(pixels), -1, *s) for v, s in zip(levels, sizes, strict=True)]
    return dict(zip(("high0", "high1", "embedding"), pyramid, strict=True))


def companions(kind: Kind, maps: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the mask decoder of ``kind`` takes of ``embed``'s maps beside the embedding."""
    if kind == "sam_hq":
        return {"intermediate_embeddings": [maps["early"]], "hq_token_only": False}
    if is_squashed(kind):
        return {"high_resolution_features": [maps["high0"], maps["high1"]]}
    return {}


def decode_tensors(
    net: Any,
    kind: Kind,
    maps: Mapping[str, Tensor],
    points: Tensor | None,
    labels: Tensor | None,
    box: Tensor | None,
    *,
    mask: Tensor | None = None,
    multimask: bool,
    guidance: Guidance | None = None,
) -> tuple[Tensor, Tensor]:
    """``points`` (b, n, 2) in grid pixels with ``labels`` (b, n) 1 / 0, ``box`` (b, 4) in grid pixels, ``mask``
    (b, 1, h, w) low-resolution logits -> low-resolution logits (b, k, h, w) and raw scores (b, k), k = 3 or 1.

    Maps of one image answer b prompts, each alone."""
    count = max((len(prompt) for prompt in (points, box) if prompt is not None), default=1)
    if count > 1 and len(maps["embedding"]) == 1:
        maps = {name: array.expand(count, *array.shape[1:]) for name, array in maps.items()}
    embedding = maps["embedding"]
    if points is None and box is None:  # a mask alone: the padding point that every family was trained with
        points = embedding.new_zeros(len(embedding), 1, 2)
        labels = torch.full_like(points[..., 0], -1, dtype=torch.int32)
    sparse, dense = net.prompt_encoder(
        None if points is None else points[:, None],
        None if labels is None else labels[:, None],
        None if box is None else box[:, None],
        mask,
    )
    guidance = guidance or Guidance()
    token = _TARGET_EMBEDDING.set(guidance.embedding)
    try:
        decoded = net.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=net.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            attention_similarity=guidance.attention,
            target_embedding=guidance.embedding,
            **companions(kind, maps),
        )
    finally:
        _TARGET_EMBEDDING.reset(token)
    return decoded[0][:, 0].float(), decoded[1][:, 0].float()


def upscale_logits(net: Any, kind: Kind, low: Tensor) -> Tensor:
    """(b, k, h, w) low-resolution logits -> logits on the grid that ``Frame.to_image_size`` takes to the image.

    SAM's published code enlarges to the padded square first, then cuts and enlarges to the image; SAM 2's goes to
    the image at once.
    """
    if is_squashed(kind):
        return low
    return F.interpolate(low, (input_side(net),) * 2, mode="bilinear", align_corners=False)


def _add_target_embedding(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]] | None:
    """The published code adds the target embedding to the query of the last attention too; transformers does not."""
    embedding = _TARGET_EMBEDDING.get()
    return None if embedding is None else (args, {**kwargs, "query": kwargs["query"] + embedding})
