"""CLIPSeg: say it, or show it, and get the mask."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoder

from segue.core.errors import CheckpointError, InputError
from segue.core.frame import Frame, Size
from segue.core.geometry import gaussian_blur, mask_box
from segue.core.segmenter import ExportGraph
from segue.core.types import (
    NO_MEMORY,
    Features,
    Image,
    Mask,
    Memory,
    Prediction,
    Probability,
    Prompt,
    Reference,
    Text,
    check_image,
)
from segue.models.clipseg.network import ClipSegDecoder, ClipSegNet
from segue.models.clipseg.tokens import Tokens
from segue.models.clipseg.training import ClipSegCore, normalised
from segue.models.clipseg.weights import official_keys, resize_positions
from segue.models.pretrained import Pretrained
from segue.nn import frames as tensor_frames
from segue.nn.confidence import mask_confidence
from segue.nn.module import TorchSegmenter, load_strict
from segue.nn.tracing import Traced

_NO_KEYWORDS = ("architectures", "dtype", "model_type", "torch_dtype", "transformers_version")
REMEMBERED = 256  # prompts whose condition is kept; a condition is a vector


class CLIPSeg(TorchSegmenter, Pretrained):
    """Text- and example-prompted segmentation (Lüddecke and Ecker, CVPR 2022).

    Each text or reference is one candidate mask; the best-scoring candidate is the answer. The score is the mean
    probability inside the candidate's mask. There is no memory: a text's mask enters a click model through
    ``Session.set_mask``.

    Parameters
    ----------
    net : transformers' ``CLIPSegForImageSegmentation``; built from ``config`` with random weights when None.
    tokenizer : folder with the tokenizer's files; None spells words out in bytes (needs 514 ids or more).
    config : keywords of transformers' ``CLIPSegConfig``, ``text_config`` and ``vision_config`` included.

    Examples
    --------
    >>> from segue.session.load import build
    >>> from segue.models.registry import MODELS
    >>> model = build("clipseg-rd64-refined", MODELS["clipseg-rd64-refined"].tiny).eval()
    >>> features = model.encode([np.zeros((40, 60, 3), np.uint8)])
    >>> model.decode(features, [Text("a cup"), Text("a hand")]).logits.shape
    (1, 2, 64, 64)
    """

    accepts = frozenset({Text, Reference})

    def __init__(self, net: Any = None, tokenizer: str | None = None, **config: Any) -> None:
        super().__init__()
        if net is None:
            net = CLIPSegForImageSegmentation(CLIPSegConfig(**deepcopy(config)))
            self.has_clip = False
        else:
            self.has_clip = True
        self.has_decoder = True
        self.core = ClipSegNet(net)
        self.tokenizer = tokenizer
        self._conditions: OrderedDict[tuple[Prompt, tuple[tuple[int, int], ...]], Tensor] = OrderedDict()

    @cached_property
    def tokens(self) -> Tokens:
        """Texts -> token ids; read when the first text arrives."""
        text = self.core.config.text_config
        return Tokens(self.tokenizer, int(text.vocab_size), int(text.max_position_embeddings))

    def frame(self, size: Size) -> Frame:
        """The whole image squeezed to the model's square, as published."""
        side = int(self.core.config.vision_config.image_size)
        return Frame.resize(size, (side, side))

    @torch.inference_mode()
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        for image in images:
            check_image(image)
        frames = tuple(frames or (self.frame(image.shape[:2]) for image in images))
        views = [tensor_frames.pad(f, self._pixels(i, f)) for i, f in zip(images, frames, strict=True)]
        taps = self.core.vision(torch.cat(views))
        return self.features({f"tap{i}": tap for i, tap in enumerate(taps)}, frames)

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        if not prompts:
            raise InputError("no prompt", "at least one text or reference", "say what to segment")
        if not self.has_decoder:
            raise CheckpointError(
                "a CLIP without CLIPSeg's decoder", "the decoder's weights as well", "pass --weights rd64-uni.pth"
            )
        conditions = torch.cat([self.condition(prompt) for prompt in prompts])
        taps = [
            self.tensor(features.maps[f"tap{i}"]).expand(len(conditions), -1, -1) for i in range(len(features.maps))
        ]
        logits = self.core.decode(taps, conditions, self._grid(features.frame)).transpose(0, 1)
        return self.prediction(logits, confidence(logits), NO_MEMORY, features.frame)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """Nothing: the mask of a text depends on the text alone."""
        return NO_MEMORY

    def condition(self, prompt: Prompt) -> Tensor:
        """A text's or reference's condition (1, d), kept as long as no weight changes; never kept while training."""
        if torch.is_grad_enabled():
            return self._condition(prompt)
        causes = tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in self.parameters())
        key = (prompt, causes)
        if key not in self._conditions:
            self._conditions[key] = self._condition(prompt)
            if len(self._conditions) > REMEMBERED:
                self._conditions.popitem(last=False)
        self._conditions.move_to_end(key)
        return self._conditions[key]

    def _condition(self, prompt: Prompt) -> Tensor:
        if isinstance(prompt, Text):
            return self.core.text(*(t.to(self.device) for t in self.tokens([prompt.words])))
        if isinstance(prompt, Reference):
            shown = spotlight(prompt.image, prompt.mask)
            return self.core.example(self._pixels(shown, self.frame(shown.shape[:2])))
        raise InputError(f"a {type(prompt).__name__} prompt", "Text or Reference", "choose a model that accepts it")

    def _pixels(self, image: Image, frame: Frame) -> Tensor:
        return normalised(tensor_frames.resample(frame, self.photo(image).float()).round_().clamp_(0, 255))

    def _grid(self, frame: Frame) -> tuple[int, int]:
        return frame.grid[0] // self.core.patch, frame.grid[1] // self.core.patch

    def text_training_core(self) -> ClipSegCore:
        return ClipSegCore(self.core, self.tokens)

    def sites(self) -> Mapping[str, str]:
        """Attention and perceptron outputs of the layers in use (before the residual addition), the taps of both
        towers, the condition, the decoder, the towers' embeddings, and a place beside the vision tower."""
        deepest = max(self.core.extract)
        sites = {"vision.embedding": "core.clip.vision_model.pre_layrnorm"}
        for tower, used in (("vision", deepest + 1), ("text", None)):
            layers = getattr(self.core.clip, f"{tower}_model").encoder.layers
            for i in range(len(layers[:used])):
                layer = f"core.clip.{tower}_model.encoder.layers.{i}"
                sites |= {
                    f"{tower}.{i}.attention": f"{layer}.self_attn.out_proj",
                    f"{tower}.{i}.mlp": f"{layer}.mlp.fc2",
                }
            for i in range(len(self.core.extract)):
                sites[f"{tower}.tap.{i}"] = f"core.{tower}_taps.{i}"
        return sites | {"vision.side": "core.beside", "condition": "core.condition", "head": "core.decoder"}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """``encode`` (pixels -> taps), ``text`` (ids, mask -> condition), ``decode`` (taps, condition -> logits)."""
        net, side = self.core, self.frame((1, 1)).grid[0]
        pixels = torch.zeros(1, 3, side, side, device=self.device)
        ids, mask = (t.to(self.device) for t in self.tokens(["a word"]))
        with torch.no_grad():
            taps, condition = net.vision(pixels), net.text(ids, mask)
        names = tuple(f"tap{i}" for i in range(len(taps)))
        each: dict[str, Mapping[int, str]] = {n: {0: "prompts"} for n in (*names, "condition")}
        grid = (side // net.patch, side // net.patch)
        return {
            "encode": ExportGraph(Traced(net, lambda pixels: tuple(net.vision(pixels))), {"pixels": pixels}, names),
            "text": ExportGraph(
                Traced(net, net.text),
                {"ids": ids, "mask": mask},
                ("condition",),
                {"ids": {1: "tokens"}, "mask": {1: "tokens"}},
            ),
            "decode": ExportGraph(
                Traced(net, lambda *states: net.decode(states[:-1], states[-1], grid)),
                {**dict(zip(names, taps, strict=True)), "condition": condition},
                ("logits",),
                each,
            ),
        }

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Weights by transformers' keys, by those of ``rd64-uni.pth`` (with or without CLIP inside), by those of
        VLSM-Adapter's checkpoints (the base model in them), or by this class's own.

        A file that holds only the decoder is refused unless CLIP's weights are there already.
        """
        own = self.core.state_dict()
        given = official_keys(state, {k: tuple(v.shape) for k, v in own.items()})
        if not any(k.startswith("clip.") for k in given):
            if not self.has_clip:
                raise CheckpointError(
                    "a checkpoint with CLIPSeg's decoder only",
                    "CLIP's weights as well",
                    "load them first: segue.load(FOLDER_OF_clip-vit-base-patch16, weights=THIS_FILE)",
                )
            given = {**{k: v for k, v in own.items() if k.startswith("clip.")}, **given}
        if not self.has_decoder:
            self._shape_decoder("decoder.transposed_convolution.0.weight" in given)
        key = "clip.vision_model.embeddings.position_embedding.weight"
        if key in given:
            given[key] = resize_positions(given[key], own[key].shape[0])
        load_strict(self.core, given)
        self.has_clip = self.has_decoder = True

    def _shape_decoder(self, complex_upsampling: bool) -> None:
        """A fresh decoder with the upsampling that a checkpoint has."""
        config = deepcopy(self.core.config)
        config.use_complex_transposed_convolution = complex_upsampling
        self.core.config, self.core.decoder = config, ClipSegDecoder(CLIPSegDecoder(config))


def confidence(logits: Tensor) -> Tensor:
    """Logits (b, k, h, w) -> (b, k) mean probability where it exceeds one half; its maximum where it nowhere does.

    >>> confidence(torch.tensor([[[[4.0, -4.0]], [[-4.0, -4.0]]]])).round(decimals=2)
    tensor([[0.9800, 0.0200]])
    """
    probability = logits.detach().float().sigmoid()
    highest = probability.amax((-2, -1))
    return torch.where(highest > 0.5, mask_confidence(probability), highest)


def spotlight(image: Image, mask: Mask, context: float = 0.5) -> Image:
    """The visual prompt that worked best (CLIPSeg's table 4): crop around the object, darken and blur the rest.

    ``image`` (H, W, 3) uint8, ``mask`` (H, W) bool; ``context`` is the margin as a share of the object's box.

    >>> spotlight(np.full((40, 40, 3), 200, np.uint8), np.pad(np.ones((10, 10), bool), 15)).shape
    (20, 20, 3)
    """
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, mask.shape[1], mask.shape[0])
    margin_y, margin_x = (int(context * side) for side in (y1 - y0, x1 - x0))
    y0, y1, x0, x1 = max(0, y0 - margin_y), y1 + margin_y, max(0, x0 - margin_x), x1 + margin_x
    crop, inside = image[y0:y1, x0:x1], mask[y0:y1, x0:x1, None]
    dark = 0.1 * gaussian_blur(crop.astype(np.float32), max(crop.shape[:2]) / 100)
    shown: Image = np.where(inside, crop, dark.round().astype(np.uint8))
    return shown


def from_folder(folder: Path) -> CLIPSeg:
    """CLIPSeg from a folder in transformers' layout, tokenizer included."""
    try:
        net = CLIPSegForImageSegmentation.from_pretrained(folder, local_files_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder}, which transformers cannot read ({error})", "a CLIPSeg folder") from error
    model = CLIPSeg(net.float(), str(folder))
    stored = json.loads(net.config.to_json_string())
    model.config = MappingProxyType({k: v for k, v in stored.items() if k not in _NO_KEYWORDS})
    return model


def from_clip_folder(folder: Path) -> CLIPSeg:
    """CLIPSeg's rd64 shape over the CLIP in a folder in transformers' layout; it answers once ``load_published``
    has read ``rd64-uni.pth`` or ``rd64-uni-refined.pth``."""
    from transformers import CLIPModel

    clip = CLIPModel.from_pretrained(folder, local_files_only=True).float()
    vision = {**clip.config.vision_config.to_dict(), "image_size": 352}
    config = CLIPSegConfig(
        text_config=clip.config.text_config.to_dict(), vision_config=vision, projection_dim=clip.config.projection_dim
    )
    model = CLIPSeg(CLIPSegForImageSegmentation(config), str(folder))
    decoder = {f"decoder.{k}": v for k, v in model.core.decoder.state_dict().items()}
    model.load_published({**decoder, **{f"clip.{k}": v for k, v in clip.state_dict().items()}})
    model.has_decoder = False
    return model
