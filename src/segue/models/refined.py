"""Any model with a refiner behind it: the comparison of ClickAdapter's table II in the same harness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segue.core.arrays import logit
from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.registry import Registry, RegistryEntry
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, Memory, Prediction, Probability, Prompt
from segue.models.wrappers import Wrapper

PHOTO = "refined_photo"
Refiner = Callable[[Image, Probability], Probability]


@dataclass(frozen=True)
class RefinerEntry(RegistryEntry):
    """A refiner: ``target`` is a function of image and probability; ``paper`` is where it comes from."""

    paper: str = ""


REFINERS: Registry[RefinerEntry] = Registry(
    "refiner",
    {
        "crf": RefinerEntry(
            "segue.models.refiners:dense_crf",
            "mean field of a CRF over colours and places",
            paper="CRF-RNN, ICCV 2015",
        ),
        "pamr": RefinerEntry(
            "segue.models.refiners:pamr", "averages over pixels of like colour", paper="PAMR, CVPR 2020"
        ),
        "local": RefinerEntry(
            "segue.models.refiners:local",
            "graph cut of the uncertain band alone",
            paper="after FocalClick, CVPR 2022",
        ),
    },
)


def with_refiner(model: Segmenter, name: str | None) -> Segmenter:
    """``model`` with refiner ``name`` behind it; None leaves it as it is. Raises ``UnknownName``.

    >>> from segue.models.nano.model import Nano
    >>> with_refiner(Nano(longest=64, zoom=0), "crf").refiner_name
    'crf'
    """
    return model if name is None else Refined(model, name).eval()


class Refined(Wrapper):
    """Sharpens every answer of ``inner`` with refiner ``name``, at the image's size.

    The memory is the inner model's, from before refinement. One image at a time; frames are the model's own.

    >>> from segue.core.types import Click
    >>> from segue.models.nano.model import Nano
    >>> model = Refined(Nano(longest=64, zoom=0).eval(), "pamr")
    >>> image = np.full((60, 80, 3), 200, np.uint8)
    >>> model.decode(model.encode([image]), [Click(40, 30)]).probability().shape
    (60, 80)
    """

    def __init__(self, inner: Segmenter, name: str) -> None:
        super().__init__(inner)
        self.refiner_name = name
        self.refine: Refiner = REFINERS.load(name)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        if len({image.shape for image in images}) != 1:
            raise InputError("images of several sizes", "one size a batch", "encode them one by one")
        features = self.inner.encode(images, frames)
        return Features({**features.maps, PHOTO: np.stack(images)}, features.frames)

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        prediction = self.inner.decode(self._inner(features), prompts, memory)
        image = features.maps[PHOTO][0]
        refined = [self.refine(image, prediction.probability(k)) for k in range(prediction.logits.shape[1])]
        logits = logit(np.stack(refined)[None])
        return Prediction(logits, prediction.scores, prediction.memory, Frame.resize(image.shape[:2], image.shape[:2]))

    def memory_from_mask(self, features: Features, probability: Probability) -> Memory:
        return self.inner.memory_from_mask(self._inner(features), probability)

    def fingerprint(self) -> str:
        return f"refined({self.refiner_name}, {self.inner.fingerprint()})"

    def _inner(self, features: Features) -> Features:
        return Features({k: v for k, v in features.maps.items() if k != PHOTO}, features.frames)
