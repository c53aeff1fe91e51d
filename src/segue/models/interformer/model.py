"""InterFormer: a large ViT encodes the image once, anywhere; a light decoder answers every click.

Source: Huang et al., ICCV 2023, and the published code where the two differ. Parameter names are the published
ones (``backbone.*``, ``neck.*``, ``decode_head.*``, ``auxiliary_head.*``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segue.core.errors import InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import Click, Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.checkpoints import load_official
from segue.models.interformer.network import STAGES, InterFormerConfig, InterFormerNet
from segue.models.interformer.reference_map import Point, region_of_interest, unknown_labels, with_answer, with_clicks
from segue.models.interformer.training import InterFormerCore
from segue.models.interformer.weights import interformer_label
from segue.models.pretrained import Pretrained
from segue.nn import frames as tensor_frames
from segue.nn.confidence import mask_confidence
from segue.nn.module import TorchSegmenter, as_arrays, weights_digest
from segue.nn.tracing import Traced

MULTIPLE = 32  # the coarsest stride: inputs are padded and regions cut to it


class InterFormer(TorchSegmenter, Pretrained):
    """InterFormer as a Segmenter. Its memory is the reference map on the grid and how many clicks it holds.

    >>> import numpy as np
    >>> from segue.models.interformer.registry import TINY
    >>> model = InterFormer(**TINY).eval()
    >>> features = model.encode([np.zeros((30, 40, 3), np.uint8)])
    >>> model.decode(features, [Click(10, 20)]).probability().shape
    (30, 40)
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Click})

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.spec = InterFormerConfig.from_fields(config)
        self.net = InterFormerNet(self.spec)

    def frame(self, size: Size) -> Frame:
        longest = min(self.spec.longest or max(size), max(size))
        return Frame.longest(size, longest, multiple=MULTIPLE, enlarge=False)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        if not self.spec.encoder:
            raise InputError(
                "an image to encode",
                "features from a cache: this is the decoder alone",
                "run segue encode where the whole model is, and copy its cache here",
            )
        chosen = tuple(frames or (self.frame((i.shape[0], i.shape[1])) for i in images))
        grids = {frame.grid for frame in chosen}
        if len(grids) != 1 or any(side % MULTIPLE for side in chosen[0].grid):
            # padding to a common grid would make an image's features depend on its neighbours in the batch
            raise InputError(
                f"views on the grids {sorted(grids)}",
                f"one grid, a multiple of {MULTIPLE}",
                "encode images of different sizes one group at a time",
            )
        views = [self._normalised(image, frame) for image, frame in zip(images, chosen, strict=True)]
        return self.features(self.net.encode(torch.cat(views)), chosen)

    @torch.inference_mode()
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        frame, memory = features.frame, memory or {}
        points = grid_clicks(prompts, frame)
        drawn = int(memory["drawn"]) if "drawn" in memory else 0
        labels = self.tensor(memory["labels"]) if memory else unknown_labels(frame.grid, self.device)
        for point in points[drawn:]:
            labels = with_clicks(labels, [point], self.spec.inner_radius, self.spec.outer_radius)
        regions = None
        if self.spec.zoom_in and "answer" in memory:
            answer = self.tensor(memory["answer"])[0, 0] > 0
            regions = [region_of_interest(labels[0, 0], answer, self.spec.expansion, self.spec.min_region)]
        state = {name: self.ready(value) for name, value in self.tensors(features.maps).items()}
        two = self.net.decode(state, labels, regions)
        two = F.interpolate(two.float(), size=frame.grid, mode="bilinear", align_corners=False)
        logits = two[:, 1:] - two[:, :1]  # the sigmoid of the difference is the softmax over the two
        answer = logits > 0
        after = {"labels": with_answer(labels, answer), "drawn": np.array(len(points)), "answer": answer.byte()}
        return self.prediction(logits, mask_confidence(logits.sigmoid(), answer), after, frame)

    @torch.inference_mode()
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        frame = features.frame
        answer = tensor_frames.view(frame, self.tensor(probability)[None, None]) > 0.5
        labels = with_answer(unknown_labels(frame.grid, self.device), answer)
        return as_arrays({"labels": labels, "drawn": np.array(0), "answer": answer.byte()})

    @property
    def described_view(self) -> str:
        inside = "; refine blocks zoomed in from click 2 on" if self.spec.zoom_in else ""
        return f"the whole image{inside}"

    def sites(self) -> Mapping[str, str]:
        sites = {"neck": "net.neck", "head": "net.decode_head"}
        if self.spec.encoder:
            sites |= {f"block.{i}": f"net.backbone.layers.{i}" for i in range(self.spec.depth)}
            sites |= {"patch_embed": "net.backbone.patch_embed", "pyramid": "net.backbone.fpn"}
        return sites

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        height, width = self.spec.img_size
        names = ["stride4", *(f"{kind}{i}" for i in range(STAGES) for kind in ("key", "value"))]
        if self.spec.neck != "imsa":
            names = [f"stride{4 * 2**i}" for i in range(STAGES)]
        image, free = torch.zeros(1, 3, height, width), {2: "height", 3: "width"}
        graphs: dict[str, ExportGraph] = {}
        if self.spec.encoder:
            encoder = Traced(self.net, lambda image: tuple(map(self.net.encode(image).__getitem__, names)))
            graphs["encoder"] = ExportGraph(
                encoder.train(self.training), {"image": image}, tuple(names), {"image": free}
            )
        levels = enumerate(self.spec.dims)
        maps = [image.new_zeros(1, dim, height // (4 * 2**i), width // (4 * 2**i)) for i, dim in levels]
        with torch.no_grad():
            state = self.net.prepare([level.to(self.device) for level in maps])
        inputs = {"labels": torch.full((1, 1, height, width), 2)} | {n: state[n].cpu() for n in names}
        dynamic: dict[str, Mapping[int, str]] = {"labels": free}
        for name in names:
            dynamic[name] = {1: name} if name[0] in "kv" else {2: f"{name}_height", 3: f"{name}_width"}

        def decode(labels: Tensor, *state: Tensor) -> Tensor:
            two = self.net.decode(dict(zip(names, state, strict=True)), labels)
            return two[:, 1:] - two[:, :1]

        decoder = Traced(self.net, decode).train(self.training)
        graphs["decoder"] = ExportGraph(decoder, inputs, ("logits",), dynamic)
        return graphs

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        own = {k.removeprefix("net."): v for k, v in state.items() if not k.endswith("relative_position_index")}
        if not self.spec.encoder:
            own = {key: value for key, value in own.items() if not key.startswith("backbone.")}
        load_official(self.net, own, interformer_label)

    def load_backbone(self, state: Mapping[str, Tensor]) -> list[str]:
        return self.net.load_backbone(state)

    def training_core(self) -> InterFormerCore:
        return InterFormerCore(self.net)

    def zoom_in(self, on: bool) -> None:
        """Whether refine blocks see the object's region alone from the second click on (InterFormer-Tiny)."""
        self.spec = self.spec.model_copy(update={"zoom_in": on})

    def without_encoder(self) -> InterFormer:
        """The decoder alone, for cached features of the model whose fingerprint is ``features_from``."""
        config = self.spec.model_dump() | {"encoder": False, "features_from": self.fingerprint()}
        alone = InterFormer(**config)
        alone.load_published(self.state_dict())
        alone.name, alone.config = self.name or "interformer-light", MappingProxyType(config)
        return alone

    def fingerprint(self) -> str:
        if self.spec.features_from:
            return self.spec.features_from
        # the keys and values of the cache come from the neck, so its weights belong to the digest too
        return weights_digest(self, type(self).__qualname__, self.spec.model_dump_json(exclude={"zoom_in"}))

    def ready(self, cached: Tensor) -> Tensor:
        """A cached tensor as the decoder is quickest with it; caches may hold half precision."""
        form = torch.channels_last if cached.ndim == 4 else torch.contiguous_format
        return cached.to(self.device, torch.float32, memory_format=form)

    def _normalised(self, image: Image, frame: Frame) -> Tensor:
        pixels = self.photo(image).float()
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (self.spec.mean, self.spec.std))
        # padded after normalising, so the padding is the mean colour, as published
        return tensor_frames.pad(frame, (tensor_frames.resample(frame, pixels) - mean) / std)


def grid_clicks(prompts: Sequence[Prompt], frame: Frame) -> list[Point]:
    """The clicks among ``prompts`` as whole pixels (y, x, positive) of ``frame``'s grid.

    >>> grid_clicks([Click(10.7, 20)], Frame.resize((40, 40), (80, 80)))
    [(40, 21, True)]
    """
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
    if not clicks:
        return []
    at = frame.to_grid(np.array([(c.x, c.y) for c in clicks], np.float64))
    cells = np.clip(at.astype(np.int64), 0, (frame.resized[1] - 1, frame.resized[0] - 1))
    return [(int(y), int(x), click.positive) for (x, y), click in zip(cells, clicks, strict=True)]
