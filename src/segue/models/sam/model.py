"""The Segment Anything family behind the common protocol: SAM, SAM-HQ, SAM 2 / 2.1 images, EdgeTAM.

How an image is laid on the networks' grid and how prompts become tensors; the networks are transformers' own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.core.errors import CheckpointError, InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import NO_MEMORY, Box, Click, Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.pretrained import Pretrained
from segue.models.sam.checkpoints import SHARED, TIED, is_official, to_transformers
from segue.models.sam.export import export_graphs
from segue.models.sam.network import (
    CONFIGS,
    Guidance,
    Kind,
    build_network,
    decode_tensors,
    embed,
    input_side,
    is_squashed,
    low_res_side,
    make_guidable,
    network_class,
    upscale_logits,
)
from segue.nn import frames as tensor_frames
from segue.nn.module import TorchSegmenter, as_array, as_arrays, load_strict

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of RGB values in 0..255
CERTAIN = 1e-3  # probabilities are kept this far from 0 and 1 before they become logits


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
    one_shot: ClassVar[str] = "persam"
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
        configs = (vision_config, prompt_encoder_config, mask_decoder_config)
        self.net = net if net is not None else build_network(kind, *configs)
        make_guidable(self.net, kind)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    @classmethod
    def from_folder(cls, folder: Path | str, kind: Kind) -> Sam:
        """The model in a folder of transformers' layout. Raises ``CheckpointError`` when it cannot be read."""
        name = f"{network_class(kind)}Model"
        model = getattr(transformers, name)
        try:
            sam = cls(kind, net=model.from_pretrained(folder, local_files_only=True))
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder}, which transformers cannot read as {name} ({str(error).splitlines()[0]})",
                "config.json and model.safetensors of that model",
                "download the folder again",
            ) from error
        stored = json.loads(sam.net.config.to_json_string())
        sam.config = MappingProxyType({"kind": kind, **{name: stored[name] for name in CONFIGS}})
        return sam

    @property
    def side(self) -> int:
        """Pixels on a side of the square that the encoder sees."""
        return input_side(self.net)

    @property
    def squashed(self) -> bool:
        """Whether images are resized to the square (SAM 2) instead of padded to it (SAM)."""
        return is_squashed(self.kind)

    @property
    def low_side(self) -> int:
        """Pixels on a side of the low-resolution logits."""
        return low_res_side(self.net)

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
        return self.features(embed(self.net, self.kind, torch.cat(views)), tuple(frames))

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """One prediction; three candidates for a single click without memory, else one."""
        alone = len(prompts) == 1 and isinstance(prompts[0], Click) and not memory
        return self.predict_masks(features, prompts, memory, multimask=alone)

    @torch.inference_mode()
    def decode_each(self, features: Features, prompts: Sequence[Prompt]) -> Iterator[tuple[range, Prediction]]:
        """All prompts at once, three candidates for a click; the logits stay at low resolution."""
        points, labels, boxes = zip(*(self.prompt_tensors(features.frame, [p]) for p in prompts), strict=True)
        if len({point is None for point in points}) > 1:  # clicks and boxes together have no common batch
            yield from super().decode_each(features, prompts)
            return
        joined = (None if part[0] is None else torch.cat(part) for part in (points, labels, boxes))
        low, scores = decode_tensors(
            self.net, self.kind, self.tensors(features.maps), *joined, multimask=boxes[0] is None
        )
        bounded = as_array(scores.clamp(0, 1))
        yield range(len(prompts)), Prediction(as_array(low), bounded, NO_MEMORY, features.frame)

    def predict_masks(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        memory: Memory | None = None,
        *,
        multimask: bool,
        guidance: Guidance | None = None,
    ) -> Prediction:
        """``decode`` with the number of candidates (3 or 1) and PerSAM's guidance chosen by the caller."""
        low, scores = self.predict_low_res(features, prompts, memory, multimask=multimask, guidance=guidance)
        best = int(scores[0].argmax())
        memory = {"logits": low[:, best : best + 1]}
        return self.prediction(self.upscale_logits(low), bounded_scores(scores), memory, features.frame)

    def predict_low_res(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        memory: Memory | None = None,
        *,
        multimask: bool,
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The decoder's answer for one image: low-resolution logits (1, k, h, w) and its raw scores (1, k)."""
        return decode_tensors(
            self.net,
            self.kind,
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
        """``predict_low_res`` in arrays: low-resolution logits (1, k, h, w), raw scores (1, k), and the logits on the
        frame's grid."""
        low, scores = self.predict_low_res(features, prompts, memory, multimask=multimask)
        return as_array(low), as_array(scores), as_array(self.upscale_logits(low))

    def upscale_logits(self, low: Tensor) -> Tensor:
        """(b, k, h, w) low-resolution logits -> logits on the grid that ``Frame.to_image_size`` takes to the image."""
        return upscale_logits(self.net, self.kind, low)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """A previous mask enters as low-resolution logits."""
        certain = self.tensor(probability)[None, None].float().clamp(CERTAIN, 1 - CERTAIN)
        square = tensor_frames.view(features.frame, certain, value=CERTAIN)
        low = F.interpolate(square, (self.low_side, self.low_side), mode="bilinear", antialias=True)
        return as_arrays({"logits": torch.logit(low)})

    def memory_from_logits(self, low: NDArray[np.float32]) -> Memory:
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
        sites = {f"encoder.{i}": f"net.vision_encoder.{path}.{i}" for i in range(_length(encoder, path))}
        layers = len(self.net.mask_decoder.transformer.layers)
        blocks = {f"decoder.{i}": f"net.mask_decoder.transformer.layers.{i}" for i in range(layers)}
        return sites | blocks | {f"{name}.mlp": f"{path}.mlp" for name, path in blocks.items()}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """``encoder`` and ``decoder`` as tensor-only graphs, the decoder with the ecosystem's SAM ONNX names."""
        return export_graphs(self.net, self.kind)

    def _onto_square(self, frame: Frame) -> Frame:
        if max(frame.resized) > self.side or (self.squashed and frame.resized != (self.side, self.side)):
            raise InputError(
                f"a view of {frame.resized} pixels",
                f"one that {'fills' if self.squashed else 'fits in'} the encoder's {self.side} x {self.side}",
            )
        return replace(frame, grid=(self.side, self.side))


def bounded_scores(scores: Tensor) -> Tensor:
    """Scores squeezed into 0..1 where they leave it (SAM's head is not bounded), their order kept.

    >>> bounded_scores(torch.tensor([0.5, 0.9])), bounded_scores(torch.tensor([0.0, 2.0]))
    (tensor([0.5000, 0.9000]), tensor([0., 1.]))
    """
    low, high = scores.min().clamp(max=0), scores.max().clamp(min=1)
    return (scores - low) / (high - low)


def folder_reader(kind: Kind) -> Callable[[Path], Sam]:
    """The function that opens a transformers folder of ``kind``."""
    return lambda folder: Sam.from_folder(folder, kind)


sam_folder, sam_hq_folder = folder_reader("sam"), folder_reader("sam_hq")
sam2_folder, edgetam_folder = folder_reader("sam2"), folder_reader("edgetam")


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {k.removeprefix("net."): v for k, v in state.items()}
    if SHARED in plain:
        plain.setdefault(TIED, plain[SHARED])
    return plain


def _length(module: nn.Module, path: str) -> int:
    return sum(1 for _ in module.get_submodule(path).children())
