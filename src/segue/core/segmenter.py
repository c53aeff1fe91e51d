"""The one protocol of every model: encode an image once, decode each prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from segue.core.errors import CheckpointError, ConfigError, InputError
from segue.core.frame import Crop, Frame, Size
from segue.core.types import Features, Image, Maps, Memory, Prediction, Probability, Prompt, Reference, on_host


@dataclass(frozen=True)
class ExportGraph:
    """A tensor-only graph of a model: ``module`` (a ``torch.nn.Module``) takes ``inputs`` (example tensors by name,
    in order) and returns ``outputs``; ``dynamic`` maps an input's name to its axes of free size, {axis: name}.
    """

    module: Any
    inputs: Maps
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


class Segmenter(ABC):
    """A promptable segmentation model: how images and prompts become logits.

    It holds no session, loop or image. What it takes and gives are arrays; a model of torch converts at its own
    door (``segue.nn.module.TorchSegmenter``).
    """

    accepts: ClassVar[frozenset[type]] = frozenset()
    one_shot: ClassVar[str] = "evidence"  # which finder of segue.oneshot.search searches it for one example
    default_view: ClassVar[str] = "own"  # how segue evaluate shows it images unless told
    least_proposal: ClassVar[tuple[float, float]] = (0.88, 0.95)  # predicted IoU and stability of a proposal, SAM's
    takes_crops: ClassVar[bool] = False  # whether a crop may have any size: a small view costs less
    name: str = ""  # the registry row and the keywords it was built with, set by segue.load
    config: Mapping[str, Any] = MappingProxyType({})

    @property
    def takes_views(self) -> bool:
        """Whether ``encode`` takes ``frames``; a model that chooses its own views by itself does not."""
        return True

    @property
    def described_view(self) -> str:
        """What it looks at of an image, in words for reports."""
        return "the whole image"

    @abstractmethod
    def frame(self, size: Size) -> Frame:
        """The view of a whole image of ``size`` (H, W) that this model was made for."""

    @abstractmethod
    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        """b images (H, W, 3) uint8 RGB -> what the model knows of them before any prompt.

        ``frames`` chooses the views, for instance a zoom crop or a mirror image; all must share one grid.
        The default is each image's own ``frame(size)``.
        """

    @abstractmethod
    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        """One image's features, the whole list of prompts so far and the last prediction's memory ->
        k candidate masks. The same arguments give the same prediction."""

    def decode_each(self, features: Features, prompts: Sequence[Prompt]) -> Iterator[tuple[range, Prediction]]:
        """The first answers to many prompts on one image, each as if it were the only one: (which of the prompts,
        prediction with them as its first axis). A prompt may be answered in several of these, at several scales.

        By default one after another; models that answer many at once do so here.
        """
        for index, prompt in enumerate(prompts):
            yield range(index, index + 1), self.decode(features, [prompt])

    @abstractmethod
    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        """The memory as if ``probability`` (H, W) in [0, 1] had been the previous answer; empty where the
        model has no use for it. Imported masks, flip averaging and text refined by clicks enter here."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of everything that ``encode`` depends on: class, settings (defaults too), weights, adapters.

        It is the model's share of the feature cache's key, so it reads every encoder weight; callers keep it.
        """

    def weights_digest(self) -> str:
        """A digest of everything that answers depend on beside the settings: every weight, adapters included."""
        return self.fingerprint()

    def version(self) -> object:
        """What changes, quickly told, whenever ``fingerprint`` may."""
        return id(self)

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Meanwhile PyTorch answers, also where the model has a faster runtime beside it."""
        yield

    def running_modules(self) -> Sequence[Any]:
        """The torch modules that run when it answers now; none where another runtime does."""
        return ()

    @property
    def module(self) -> Any:
        """The ``torch.nn.Module`` of the weights: what adapters change, optimisers train and files hold."""
        raise CheckpointError(f"a {type(self).__name__}, which has no weights", "a model of torch")

    @property
    def device(self) -> Any:
        """Where the weights live."""
        return "cpu"

    def to(self, device: Any) -> Self:
        """This model, its weights on ``device``."""
        return self

    def eval(self) -> Self:
        """This model, ready to answer."""
        return self

    def load_published(self, state: Mapping[str, Any]) -> None:
        """Take weights (tensors) by the official keys of the published checkpoints. Raises ``CheckpointError`` when
        they are another model's."""
        self.module.load_published(state)

    def sites(self) -> Mapping[str, str]:
        """Named places where an adapter may attach: site name -> path of the submodule."""
        return {}

    def export_graphs(self) -> Mapping[str, ExportGraph]:
        """Tensor-only graphs for export and for training, by name."""
        return {}

    def browser_graphs(self) -> Mapping[str, Path | bytes]:
        """``encoder`` and ``decoder`` as ONNX for the page that answers in a browser. Raises ``ConfigError`` for a
        model that the page does not restate."""
        raise ConfigError(f"the model {self.name}", "nano or a model trained from it", "run: segue export --to onnx")

    def load_backbone(self, state: Mapping[str, Any]) -> list[str]:
        """Start the encoder from a pretrained backbone's weights; the encoder's keys that these had nothing for.
        Raises ``CheckpointError`` where they are another network's."""
        raise CheckpointError(
            "a pretrained backbone",
            f"the whole weights of {self._described}",
            "choose a model on a plain ViT, or a segformer",
        )

    def training_core(self) -> Any:
        """The ``segue.nn.training_core.TrainingCore`` that training by clicks steps. Raises ``ConfigError`` for a
        model that clicks do not train."""
        raise ConfigError(
            f"model {self._described}", "nano, a SimpleClick or an InterFormer", "adapt others with segue adapt"
        )

    def text_training_core(self) -> Any:
        """The ``segue.nn.training_core.TextTrainingCore`` that training by texts steps. Raises ``ConfigError`` for a
        model that texts do not train."""
        raise ConfigError(f"{self._described} for training with texts", "a CLIPSeg", "choose another model")

    def without_encoder(self) -> Segmenter:
        """The model without its encoder: small, and it reads what the whole model cached. Raises ``InputError`` for
        a model that cannot be parted."""
        raise InputError(
            f"the model {self._described}", "an interformer, the model in two parts", "Leave out --decoder"
        )

    def patch_features(self, images: Sequence[Image], features: Features) -> NDArray[Any]:
        """(b, C, h, w): what references are compared in, by default the coarsest map of ``features``."""
        maps = {name: m for name, m in features.maps.items() if m.ndim == 4 and name not in ("photo", "pixels")}
        return on_host(maps.get("embedding", min(maps.values(), key=lambda m: m.shape[-1] * m.shape[-2])))

    def patch_statistics(self) -> Mapping[str, NDArray[Any]] | None:
        """``mean`` and ``std`` (C,) of the patch features over photos and the ``layers``' channel counts, where a
        model comes with them."""
        return None

    def near_frame(self, size: Size, crop: Crop) -> Frame:
        """How ``crop`` of an image of ``size`` (H, W) is looked at from near, by default as a photo of its own."""
        x0, y0, x1, y1 = crop
        own = self.frame((y1 - y0, x1 - x0))
        return replace(self.frame(size), crop=crop, resized=own.resized, grid=own.grid)

    def match_calibration(self) -> Mapping[str, Any] | None:
        """What ``segue calibrate`` found for this model, where it comes with it: how evidence becomes a probability."""
        return None

    def reference_frames(self, reference: Reference) -> list[Frame]:
        """The views in which a reference is looked at, by default the whole image."""
        height, width = reference.mask.shape
        return [self.frame((height, width))]

    @property
    def _described(self) -> str:
        return self.name or type(self).__name__
