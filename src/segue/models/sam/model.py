"""The Segment Anything family behind the common protocol: SAM, SAM-HQ, SAM 2 / 2.1 images, EdgeTAM.

The networks are transformers' own classes. What is ours is how an image is laid on their grid, how prompts
become tensors, and one attention function, registered with transformers, that PerSAM steers.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface

from segue.core.errors import CheckpointError, InputError, MissingExtra
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import Box, Click, Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.opening import Pretrained
from segue.models.sam.checkpoints import SHARED, TIED, is_official, to_transformers
from segue.nn import frames as tensor_frames
from segue.nn.module import TorchSegmenter, as_array, as_arrays, load_strict
from segue.oneshot.finder import Finder

Kind: TypeAlias = Literal["sam", "sam_hq", "sam2", "edgetam"]
CLASSES: Mapping[str, str] = {"sam": "Sam", "sam_hq": "SamHQ", "sam2": "Sam2", "edgetam": "EdgeTam"}
_CONFIGS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
GUIDED = "segue_guided"
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of RGB values in 0..255
_SEMANTICS: ContextVar[Tensor | None] = ContextVar("semantics", default=None)  # of this thread's decoding
CERTAIN = 1e-3  # probabilities are kept this far from 0 and 1 before they become logits


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


class Sam(TorchSegmenter, Pretrained):
    """A member of the SAM family.

    ``kind`` names transformers' model type; the three configurations are transformers' own keywords. One
    click without a previous mask gives three candidates, everything else one. Boxes are passed on as drawn;
    of several, the last counts. The memory is the best candidate's low-resolution logits.

    Source: Segment Anything (Kirillov et al., 2023); SAM-HQ (Ke et al., 2023); SAM 2 (Ravi et al., 2024).

    >>> import numpy as np
    >>> from segue.models.registry import MODELS
    >>> sam = Sam(**MODELS["sam-vit-base"].tiny)
    >>> features = sam.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> sam.decode(features, [Click(20, 15)]).logits.shape
    (1, 3, 64, 64)
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Click, Box})
    net: Any  # one of transformers' classes, which share the submodules used here but no type

    def __init__(
        self,
        kind: Kind = "sam",
        vision_config: Mapping[str, Any] | None = None,
        prompt_encoder_config: Mapping[str, Any] | None = None,
        mask_decoder_config: Mapping[str, Any] | None = None,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.net = net if net is not None else _built(kind, vision_config, prompt_encoder_config, mask_decoder_config)
        if kind in ("sam", "sam_hq"):  # tied in transformers, but one tensor under two names cannot be saved
            self.net.prompt_encoder.shared_embedding = copy.deepcopy(self.net.shared_image_embedding)
        self.net.mask_decoder.transformer.layers[0].self_attn.config._attn_implementation = GUIDED
        self.net.mask_decoder.transformer.final_attn_token_to_image.register_forward_pre_hook(
            _add_semantics, with_kwargs=True
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    @classmethod
    def from_folder(cls, folder: Path | str, kind: Kind) -> Sam:
        """The model in a folder of transformers' layout. Raises ``CheckpointError`` when it cannot be read."""
        _need_backbone(kind)
        model = getattr(transformers, f"{CLASSES[kind]}Model")
        try:
            sam = cls(kind, net=model.from_pretrained(folder, local_files_only=True))
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder}, which transformers cannot read as {CLASSES[kind]}Model ({str(error).splitlines()[0]})",
                "config.json and model.safetensors of that model",
                "download the folder again",
            ) from error
        stored = json.loads(sam.net.config.to_json_string())
        sam.config = MappingProxyType({"kind": kind, **{name: stored[name] for name in _CONFIGS}})
        return sam

    @property
    def side(self) -> int:
        """Pixels on a side of the square that the encoder sees."""
        return int(self.net.prompt_encoder.input_image_size)

    @property
    def squashed(self) -> bool:
        """Whether images are resized to the square (SAM 2) instead of padded to it (SAM)."""
        return self.kind in ("sam2", "edgetam")

    @property
    def low_side(self) -> int:
        """Pixels on a side of the low-resolution logits."""
        return 4 * int(self.net.prompt_encoder.image_embedding_size[0])

    def frame(self, size: Size) -> Frame:
        """The whole image: longest side at ``side`` then padded, or squashed to the square."""
        if self.squashed:
            return Frame.resize(size, (self.side, self.side))
        return Frame.longest(size, self.side, square=True)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """Images -> the decoder's image embedding and, by family, its high-resolution companions."""
        frames = [self._onto_square(f) for f in frames] if frames else [self.frame(i.shape[:2]) for i in images]
        views = [self.pixels(image, frame) for image, frame in zip(images, frames, strict=True)]
        return self.features(self.embed(torch.cat(views)), tuple(frames))

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """One prediction; three candidates for a single click without memory, else one."""
        alone = len(prompts) == 1 and isinstance(prompts[0], Click) and not memory
        return self.candidates(features, prompts, memory, multimask=alone)

    def finder(self, fit_scale: bool = False) -> Finder:
        """PerSAM over this SAM; with ``fit_scale`` PerSAM-F."""
        from segue.models.sam.persam import TABLE_4, PerSam

        keywords = vars(TABLE_4["+ scale tuning"]) if fit_scale else {}
        return PerSam(self, **keywords).eval().finder()

    def candidates(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        memory: Memory | None = None,
        *,
        multimask: bool,
        guidance: Guidance | None = None,
    ) -> Prediction:
        """``decode`` with the number of candidates (3 or 1) and PerSAM's guidance chosen by the caller."""
        low, scores = self.ask(features, prompts, memory, multimask=multimask, guidance=guidance)
        best = int(scores[0].argmax())
        memory = {"logits": low[:, best : best + 1]}
        return self.prediction(self.high(low), into_unit(scores), memory, features.frame)

    def ask(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        memory: Memory | None = None,
        *,
        multimask: bool,
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the decoder says of one image: low-resolution logits (1, k, h, w) and its raw scores (1, k)."""
        return self.answer(
            self.tensors(features.maps),
            *self.prompt_tensors(features.frame, prompts),
            mask=self.tensor(memory["logits"]) if memory else None,
            multimask=multimask,
            guidance=guidance,
        )

    @torch.inference_mode()
    def predict_arrays(
        self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None, *, multimask: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """``ask`` in arrays: low-resolution logits (1, k, h, w), raw scores (1, k), logits on the frame's grid."""
        low, scores = self.ask(features, prompts, memory, multimask=multimask)
        return as_array(low), as_array(scores), as_array(self.high(low))

    def high(self, low: Tensor) -> Tensor:
        """(b, k, h, w) low-resolution logits -> logits on the grid that ``Frame.to_image_size`` takes to the image.

        SAM's published code enlarges to the padded square first, then cuts and enlarges to the image; SAM 2's
        goes to the image at once.
        """
        if self.squashed:
            return low
        return F.interpolate(low, (self.side, self.side), mode="bilinear", align_corners=False)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """A previous mask enters as low-resolution logits."""
        certain = self.tensor(probability)[None, None].float().clamp(CERTAIN, 1 - CERTAIN)
        square = tensor_frames.view(features.frame, certain, value=CERTAIN)
        low = F.interpolate(square, (self.low_side, self.low_side), mode="bilinear", antialias=True)
        return as_arrays({"logits": torch.logit(low)})

    def recall(self, low: NDArray[np.float32]) -> Memory:
        """(1, h, w) low-resolution logits of an earlier prediction -> the memory that holds them."""
        if tuple(low.shape) != (1, self.low_side, self.low_side):
            raise InputError(
                f"a mask input of shape {tuple(low.shape)}",
                f"(1, {self.low_side}, {self.low_side}) logits",
                "pass the low-resolution logits of an earlier prediction",
            )
        return {"logits": np.asarray(low[None], np.float32)}

    def pixels(self, image: Image, frame: Frame) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, side, side) float: resized in 8 bits, normalised, then padded with zeros."""
        view = tensor_frames.resample(frame, self.photo(image))
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return tensor_frames.pad(frame, (view.to(mean.dtype) - mean) / std)

    def embed(self, pixels: Tensor) -> dict[str, Tensor]:
        """(b, 3, side, side) normalised pixels -> maps: the tensor core of ``encode``."""
        if not self.squashed:
            seen = self.net.vision_encoder(pixels)
            maps = {"embedding": seen.last_hidden_state}
            if self.kind == "sam_hq":
                maps["early"] = seen.intermediate_embeddings[0]
            return maps
        # get_image_embeddings does the same under no_grad, which would stop an adapter from training.
        levels = list(self.net.get_image_features(pixels, return_dict=True).fpn_hidden_states)
        levels[-1] = levels[-1] + self.net.no_memory_embedding
        sizes = self.net.backbone_feature_sizes
        maps_ = [v.permute(1, 2, 0).reshape(len(pixels), -1, *s) for v, s in zip(levels, sizes, strict=True)]
        return dict(zip(("high0", "high1", "embedding"), maps_, strict=True))

    def answer(
        self,
        maps: Mapping[str, Tensor],
        points: Tensor | None,
        labels: Tensor | None,
        box: Tensor | None,
        *,
        mask: Tensor | None = None,
        multimask: bool,
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The tensor core of ``decode``.

        ``points`` (b, n, 2) in grid pixels with ``labels`` (b, n) 1 / 0, ``box`` (b, 4) in grid pixels, ``mask``
        (b, 1, h, w) low-resolution logits -> low-resolution logits (b, k, h, w) and scores (b, k), k = 3 or 1.
        """
        embedding = maps["embedding"]
        if points is None and box is None:  # a mask alone: the padding point that every family was trained with
            points = embedding.new_zeros(len(embedding), 1, 2)
            labels = torch.full_like(points[..., 0], -1, dtype=torch.int32)
        sparse, dense = self.net.prompt_encoder(
            None if points is None else points[:, None],
            None if labels is None else labels[:, None],
            None if box is None else box[:, None],
            mask,
        )
        extra: dict[str, Any] = {}
        if self.kind == "sam_hq":
            extra = {"intermediate_embeddings": [maps["early"]], "hq_token_only": False}
        elif self.squashed:
            extra = {"high_resolution_features": [maps["high0"], maps["high1"]]}
        guidance = guidance or Guidance()
        token = _SEMANTICS.set(guidance.embedding)
        try:
            decoded = self.net.mask_decoder(
                image_embeddings=embedding,
                image_positional_embeddings=self.net.get_image_wide_positional_embeddings(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                attention_similarity=guidance.attention,
                target_embedding=guidance.embedding,
                **extra,
            )
        finally:
            _SEMANTICS.reset(token)
        return decoded[0][:, 0].float(), decoded[1][:, 0].float()

    def prompt_tensors(
        self, frame: Frame, prompts: Sequence[Prompt]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Clicks and boxes -> points (1, n, 2), labels (1, n), box (1, 4) on the grid; None for what is missing."""
        clicks = [p for p in prompts if isinstance(p, Click)]
        boxes = [p for p in prompts if isinstance(p, Box)]
        points = labels = box = None
        if clicks:
            points = self.tensor(frame.to_grid(np.array([[[c.x, c.y] for c in clicks]], np.float32)))
            labels = torch.tensor([[int(c.positive) for c in clicks]], dtype=torch.int32, device=self.device)
        if boxes:
            last = boxes[-1]
            moved = frame.to_grid(np.array([[last.x0, last.y0], [last.x1, last.y1]], np.float32))
            box = self.tensor(np.concatenate((moved.min(0), moved.max(0)))[None])
        return points, labels, box

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take segment-anything's own keys (``image_encoder.*``) or transformers' (``vision_encoder.*``)."""
        load_strict(self.net, to_transformers(state) if is_official(state) else _unwrapped(state))

    def sites(self) -> Mapping[str, str]:
        """``encoder.i`` and ``decoder.i``: the transformer blocks; ``decoder.i.mlp``: their perceptrons."""
        encoder = self.net.vision_encoder
        path = "layers" if hasattr(encoder, "layers") else "backbone.blocks"
        found = {f"encoder.{i}": f"net.vision_encoder.{path}.{i}" for i in range(_length(encoder, path))}
        layers = len(self.net.mask_decoder.transformer.layers)
        blocks = {f"decoder.{i}": f"net.mask_decoder.transformer.layers.{i}" for i in range(layers)}
        return found | blocks | {f"{name}.mlp": f"{path}.mlp" for name, path in blocks.items()}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """``encoder`` and ``decoder`` as tensor-only graphs, the decoder with the ecosystem's SAM ONNX names."""
        from segue.models.sam.export import sam_parts

        return sam_parts(self)

    def _onto_square(self, frame: Frame) -> Frame:
        if max(frame.resized) > self.side or (self.squashed and frame.resized != (self.side, self.side)):
            raise InputError(
                f"a view of {frame.resized} pixels",
                f"one that {'fills' if self.squashed else 'fits in'} the encoder's {self.side} x {self.side}",
            )
        return replace(frame, grid=(self.side, self.side))


def _add_semantics(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The published code adds the target embedding to the query of the last attention too; transformers does not."""
    embedding = _SEMANTICS.get()
    return None if embedding is None else (args, {**kwargs, "query": kwargs["query"] + embedding})


def into_unit(scores: Tensor) -> Tensor:
    """Scores squeezed into 0..1 where they leave it (SAM's head is not bounded), their order kept.

    >>> into_unit(torch.tensor([0.5, 0.9])), into_unit(torch.tensor([0.0, 2.0]))
    (tensor([0.5000, 0.9000]), tensor([0., 1.]))
    """
    low, high = scores.min().clamp(max=0), scores.max().clamp(min=1)
    return (scores - low) / (high - low)


def folder_reader(kind: Kind) -> Callable[[Path], Sam]:
    """The function that opens a transformers folder of ``kind``."""
    return lambda folder: Sam.from_folder(folder, kind)


sam_folder, sam_hq_folder = folder_reader("sam"), folder_reader("sam_hq")
sam2_folder, edgetam_folder = folder_reader("sam2"), folder_reader("edgetam")


def _built(kind: Kind, *configs: Mapping[str, Any] | None) -> nn.Module:
    _need_backbone(kind)
    given = {name: dict(config) for name, config in zip(_CONFIGS, configs, strict=True) if config is not None}
    made: nn.Module = getattr(transformers, f"{CLASSES[kind]}Model")(
        getattr(transformers, f"{CLASSES[kind]}Config")(**given)
    )
    return made


def _need_backbone(kind: Kind) -> None:
    if kind == "edgetam" and not transformers.utils.is_timm_available():
        raise MissingExtra.for_library("timm", "edgetam")


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {k.removeprefix("net."): v for k, v in state.items()}
    if SHARED in plain:
        plain.setdefault(TIED, plain[SHARED])
    return plain


def _length(module: nn.Module, path: str) -> int:
    return sum(1 for _ in module.get_submodule(path).children())
