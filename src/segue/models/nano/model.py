"""nano: the model that ships with segue. One small encoder per image, a few milliseconds per click.

Where a dialogue begins, a coarse pass over a small copy of the photo tells how large the object is; the region around
it is encoded at a higher scale, and clicks are answered there until the mask outgrows it (RITM's zoom-in, here inside
the model so that the encoded region is kept in the memory from click to click). Later clicks are corrections: their
surroundings are looked at closely (``turn.py``), and only what is connected to the click changes (``canvas.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from segue.core.errors import ConfigError, InputError
from segue.core.frame import Frame, Size
from segue.core.segmenter import ExportGraph
from segue.core.types import (
    NO_MEMORY,
    Box,
    Click,
    Features,
    Image,
    Maps,
    Memory,
    Prediction,
    Probability,
    Prompt,
    check_prompts,
    on_host,
)
from segue.models.nano.canvas import canvas_of
from segue.models.nano.engines import Engines, NanoEngine, OnnxEngine, TorchEngine
from segue.models.nano.patch_features import PatchFeatures
from segue.models.nano.settings import MAPS, ClosePolicy, EngineName, NanoSizes, ZoomPolicy, grouped
from segue.models.nano.turn import COARSE, Turn, has_canvas
from segue.models.nano.views import (
    MULTIPLE,
    as_planes,
    coarse_view,
    prompt_arrays,
    region_view,
    stored_photo,
    view_pixels,
)
from segue.models.pretrained import Pretrained


class Nano(PatchFeatures, Pretrained):
    """A small backbone and an attention decoder: clicks and boxes in, one mask and its estimated IoU out.

    ``longest`` is the longer side, in pixels, at which a whole photo is encoded; ``zoom`` says when it looks at a
    region, ``close`` when at a correction, ``sizes`` are the network's: mappings of the fields that differ, which may
    be given as keywords too. A first answer whose estimated IoU is below ``redecode_below_iou`` is decoded once more,
    with the mask so far mixed with the coarse pass's. ``engine`` "onnx" runs on ONNX Runtime, "torch" on PyTorch;
    "auto" takes ONNX Runtime on a CPU where it is installed, unless the model is in training mode or an adapter has
    changed the network.

    Source: InterFormer (Huang et al., 2023) for encoding once and decoding per click; RITM for zooming in.

    >>> image = np.full((60, 80, 3), 200, np.uint8)
    >>> model = Nano(longest=64, zoom=0).eval()
    >>> model.decode(model.encode([image]), [Click(40, 30)]).probability().shape
    (60, 80)
    """

    accepts: ClassVar[frozenset[type]] = frozenset({Click, Box})
    least_proposal: ClassVar[tuple[float, float]] = (0.4, 0.05)
    takes_crops: ClassVar[bool] = True

    def __init__(
        self,
        longest: int = 384,
        redecode_below_iou: float = 0.6,
        engine: EngineName = "auto",
        *,
        shipped: Path | None = None,
        **settings: Any,
    ) -> None:
        groups = grouped(settings)
        self.zoom = ZoomPolicy(**groups.pop("zoom", {}))
        self.close = ClosePolicy(**groups.pop("close", {}))
        self.sizes = NanoSizes(**groups.pop("sizes", {}))
        self.longest, self.engine = longest, engine
        self.redecode_below_iou = groups.pop("redecode_below_iou", redecode_below_iou)
        if groups:
            raise TypeError(f"unknown settings: {', '.join(groups)}")
        self.engines = Engines(self.sizes, shipped if self.sizes == NanoSizes() else None)
        self._eager = False

    @classmethod
    def from_shipped(cls, file: Path, **settings: Any) -> Self:
        """The model with the weights in the package, without PyTorch where ONNX Runtime can answer."""
        model = cls(shipped=file, **settings)
        if model.engines.weights is None:
            raise ConfigError(f"nano in the sizes {model.sizes}", f"those of its weights: {NanoSizes()}")
        return model

    @property
    def described_view(self) -> str:
        return "the whole image, then regions of its own choice" if self.zoom.longest else "the whole image"

    def frame(self, size: Size) -> Frame:
        """The whole image, its longer side at ``longest`` pixels, padded to multiples of 64."""
        return Frame.longest(size, self.longest, multiple=MULTIPLE)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """Images (H, W, 3) uint8 -> decoder maps and, in the model's own view, the photo for zooming in and the
        coarse pass's maps."""
        views = [self.frame((i.shape[0], i.shape[1])) for i in images] if frames is None else list(frames)
        if len({f.grid for f in views}) != 1:
            sizes = ", ".join(str(f.grid) for f in views)
            raise InputError(f"views on the grids {sizes}", "one grid a batch", "encode them one by one")
        photos = [as_planes(image) for image in images]
        maps = dict(self._encode(photos, views))
        if frames is None and self.zoom.longest and len({p.shape for p in photos}) == 1:
            maps["photo"] = np.stack([stored_photo(p) for p in photos])
            if 0 < self.zoom.coarse_pass < self.longest:
                coarse = self._encode(photos, [coarse_view(f.size, self.zoom) for f in views])
                maps |= {COARSE + name: coarse[name] for name in MAPS}
        return Features(maps, tuple(views))

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """All prompts so far on one image -> one mask: on the canvas of the whole photo, or on the grid of the whole
        view where nothing is looked at closely."""
        check_prompts(prompts, features.frame.size, self.accepts)
        if not prompts:
            raise InputError("no prompt", "at least one click or box")
        turn = Turn(
            self._engine, self.zoom, self.close, self.redecode_below_iou, features, prompts, memory or NO_MEMORY
        )
        return turn.predict()

    def decode_each(self, features: Features, prompts: Sequence[Prompt]) -> Iterator[tuple[range, Prediction]]:
        """All prompts at once, each at up to two scales: in the coarse pass, where the features hold one, and in the
        view. Nothing is looked at closer."""
        check_prompts(prompts, features.frame.size, self.accepts)
        views = [(features.frame, {name: features.maps[name] for name in MAPS})]
        if COARSE + MAPS[0] in features.maps:
            coarse = {name: features.maps[COARSE + name] for name in MAPS}
            views.insert(0, (coarse_view(features.frame.size, self.zoom), coarse))
        for view, maps in views:
            clicks, boxes = (np.concatenate(a) for a in zip(*(prompt_arrays([p], view) for p in prompts), strict=True))
            logits, iou = self._engine.decode_each(maps, clicks, boxes)
            yield range(len(prompts)), Prediction(logits[:, None], iou[:, None], NO_MEMORY, view)

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """The (H, W) map as the previous answer. One of zeros and ones is a mask brought from elsewhere, which clicks
        correct; any other is a guess, which they decide anew."""
        if has_canvas(features, self.zoom, self.close):
            canvas = canvas_of(np.asarray(probability, np.float32))
            sure = bool(((probability == 0) | (probability == 1)).all())
            memory = {"frame": features.frame.to_array(), "canvas": canvas}
            return memory | {"given": np.ones(1, np.float32)} if sure else memory
        view = features.frame.view(probability)
        halved = view.reshape(view.shape[0] // 2, 2, view.shape[1] // 2, 2).mean((1, 3))
        return {"frame": features.frame.to_array(), "probability": halved}

    def region(self, whole: Frame, boxes: Sequence[Sequence[float]]) -> Frame:
        """The view around all ``boxes`` (x0, y0, x1, y1), in image pixels; the whole image where there are none or
        zooming in would show nothing more."""
        return region_view(whole, boxes, self.zoom)

    def _encode(self, photos: Sequence[NDArray[np.uint8]], views: Sequence[Frame]) -> Maps:
        return self._engine.encode(np.stack([view_pixels(p, f) for p, f in zip(photos, views, strict=True)]))

    @property
    def _engine(self) -> NanoEngine:
        return self.engines.choose("torch" if self._eager else self.engine)

    @contextmanager
    def eager(self) -> Iterator[None]:
        before, self._eager = self._eager, True
        try:
            yield
        finally:
            self._eager = before

    def running_modules(self) -> Sequence[Any]:
        return list(self.module.modules()) if isinstance(self._engine, TorchEngine) else ()

    @property
    def module(self) -> Any:
        return self.engines.network().module

    @property
    def device(self) -> Any:
        """Where the weights live; "cpu" as long as ONNX Runtime answers from the shipped graphs."""
        return self.module.device if self.engines.torch is not None else "cpu"

    def to(self, device: Any) -> Self:
        if self.engines.torch is not None or str(device) != "cpu":
            self.module.to(device)
        return self

    def eval(self) -> Self:
        if self.engines.torch is not None:
            self.module.eval()
        return self

    def load_published(self, state: Mapping[str, Any]) -> None:
        from segue.nn.module import load_strict  # PyTorch comes with weights that are its tensors

        load_strict(self.module, state)

    def version(self) -> object:
        return self.module.version() if self.engines.torch is not None else self.engines.weights

    def fingerprint(self) -> str:
        groups = {"zoom": asdict(self.zoom), "close": asdict(self.close), "sizes": asdict(self.sizes)}
        settings = {"longest": self.longest, **groups}
        sha = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, value in sorted(self._weights().items()):
            sha.update(f"\0{name}{value.shape}".encode())
            sha.update(np.ascontiguousarray(value, np.float32).data)
        return sha.hexdigest()

    def _weights(self) -> Mapping[str, NDArray[Any]]:
        """Every weight by name, as it was shipped or as it is now."""
        if self.engines.torch is None and self.engines.weights is not None:
            weights: Mapping[str, NDArray[Any]] = load_file(self.engines.weights)
            return weights
        return {name: on_host(value.detach()) for name, value in self.module.state_dict().items()}

    def sites(self) -> Mapping[str, str]:
        """The encoder's maps (``features``), every block of the backbone from stride 8 on and of the decoder at each
        stride, the decoder (``head``)."""
        sites: Mapping[str, str] = self.module.sites()
        return sites

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """``encoder`` (pixels -> maps) and ``decoder`` (maps, clicks, box, previous -> logits, score)."""
        graphs: Mapping[str, ExportGraph] = self.module.graphs()
        return graphs

    def browser_graphs(self) -> Mapping[str, Path | bytes]:
        """``encoder`` and ``decoder`` as ONNX. Raises ``ConfigError`` for other views than the page restates."""
        if (self.zoom, self.close, self.longest) != (ZoomPolicy(), ClosePolicy(), 384):
            raise ConfigError("a nano with other views", "the views of the shipped one, which the page restates")
        engine = self.engines.choose("onnx")
        if not isinstance(engine, OnnxEngine):
            raise ConfigError("a nano that an adapter has changed", "one without an adapter", "leave out --adapter")
        return engine.graphs

    def training_core(self) -> Any:
        from segue.models.nano.training import NanoCore  # PyTorch is loaded only where nano learns

        return NanoCore(self.module.network, self)
