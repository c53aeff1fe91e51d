"""What the training engine needs of a model: encode views once, decode many targets and prompts, tensors only.

Pixels come in [0, 1]; clicks, boxes and masks in the input's own pixels; masks and logits live at ``1 / stride``
of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from segue.core.frame import Frame, Size


class Look(Protocol):
    """``longest`` is a view's longer side in pixels of the network's input."""

    @property
    def longest(self) -> int: ...


class Zoom(Look, Protocol):
    """A closer view, and the longer side of the coarse pass that finds it."""

    @property
    def coarse_pass(self) -> int: ...


class CoarsePass(Protocol):
    """A model that answers a first prompt in a small copy of the photo and then chooses a closer view."""

    longest: int

    @property
    def zoom(self) -> Zoom:
        """How it looks at a region."""

    @property
    def close(self) -> Look:
        """How it looks at a correction."""

    def frame(self, size: Size) -> Frame:
        """The view of a whole photo of ``size`` (H, W)."""

    def region(self, whole: Frame, boxes: Sequence[Sequence[float]]) -> Frame:
        """The view around all ``boxes`` (x0, y0, x1, y1) in image pixels."""


class TrainingCore(Protocol):
    """A model that learns from clicks and boxes, as the training engine sees it.

    ``coarse_pass`` is the model where it chooses its views by a coarse pass, else None.
    """

    stride: int
    coarse_pass: CoarsePass | None

    def load_backbone(self, path: Path, frozen: int) -> None:
        """Take pretrained encoder weights from ``path`` and fix the first ``frozen`` blocks."""

    def calibrate(self, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor) -> None:
        """Scale fresh layers on one batch before the first step, if the model wants that."""

    def backbone(self) -> Sequence[nn.Module]:
        """The pretrained modules, which learn at their own rate."""

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """(b, 3, S, S) in [0, 1] -> maps whose first axis is b."""

    def decode(
        self, maps: Mapping[str, Tensor], clicks: Tensor, box: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Maps, clicks (n, k, 3) x y label, box (n, 4), previous (n, 1, s, s) -> logits (n, 1, s, s) and IoU
        logits (n, 1) where the model estimates its own IoU; s is S / stride. ``previous`` may be what ``carried``
        gave."""

    def carried(self, previous: Tensor, probability: Tensor) -> Tensor:
        """What the next round is given as ``previous`` (n, c, s, s), after an answer (n, 1, s, s) to this one's."""


@runtime_checkable
class IterativeCore(Protocol):
    """A click model that is trained by the rule it answers by: its ``memory`` goes from click to click as a tensor, and
    everything is as large as the pixels (n, 3, S, S)."""

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """(n, 3, S, S) in [0, 1] -> maps whose first axis is n."""

    def begin(self, pixels: Tensor) -> Tensor:
        """The memory before any click, (n, 1, S, S)."""

    def clicked(self, memory: Tensor, clicks: Tensor) -> Tensor:
        """The memory after new ``clicks`` (n, k, 3) x y label, made at once; label -1 is none."""

    def answer(self, maps: Mapping[str, Tensor], memory: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (n, 1, S, S) after all ``clicks`` so far, and those of an auxiliary head where there is one."""

    def answered(self, memory: Tensor, logits: Tensor) -> Tensor:
        """The memory after an answer."""


class TextTrainingCore(Protocol):
    """A model that learns from texts, as the training engine sees it."""

    def encode(self, levels: Tensor) -> list[Tensor]:
        """(b, 3, S, S) levels 0..255 -> tensors whose first axis is b."""

    def decode(self, maps: Sequence[Tensor], texts: Sequence[str], size: Size) -> Tensor:
        """Maps of n images of ``size`` (H, W) and one text for each -> logits (n, 1, H, W)."""


class ClickCore:
    """What most click models' cores have in common: normalised layers, no coarse pass, stride 4."""

    stride = 4
    coarse_pass: CoarsePass | None = None

    def calibrate(self, pixels: Tensor, clicks: Tensor, box: Tensor, previous: Tensor) -> None:
        """Nothing: the layers are normalised."""

    def carried(self, previous: Tensor, probability: Tensor) -> Tensor:
        """The last answer alone."""
        return probability
