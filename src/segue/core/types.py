"""What enters a model and what leaves it: prompts, features, predictions.

Everything public is in pixels of the original image, x to the right and y down; ``Frame`` alone converts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ImageError, InputError
from segue.core.frame import Frame

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) RGB
Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Probability: TypeAlias = NDArray[np.float32]  # (H, W) in [0, 1]
Maps: TypeAlias = Mapping[str, Any]  # arrays by name; a model on a GPU may keep tensors of its device
Memory: TypeAlias = Maps  # opaque to everyone but the model that made it

NO_MEMORY: Memory = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Click:
    """One click at pixel (x, y); ``positive`` adds, negative removes.

    >>> Click(12, 30.5)
    Click(x=12, y=30.5, positive=True)
    """

    x: float
    y: float
    positive: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise InputError(
                f"a click at ({self.x}, {self.y})",
                "finite pixel coordinates",
                "give x and y as numbers inside the image",
            )


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle from pixel (x0, y0) to (x1, y1), the right and bottom edge exclusive.

    >>> Box(2, 3, 10, 8).width
    8
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        corners = (self.x0, self.y0, self.x1, self.y1)
        if not all(map(math.isfinite, corners)) or self.x1 <= self.x0 or self.y1 <= self.y0:
            raise InputError(
                f"the box {corners}",
                "finite numbers with x0 < x1 and y0 < y1",
                "give the upper left corner first, then the lower right",
            )

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


@dataclass(frozen=True, slots=True)
class Text:
    """Words that name what to segment.

    >>> Text("the left kidney").words
    'the left kidney'
    """

    words: str

    def __post_init__(self) -> None:
        if not self.words.strip():
            raise InputError("an empty text", "at least one word", "say what to segment")


@dataclass(frozen=True, eq=False)
class Reference:
    """One example: an image (H, W, 3) uint8 and the mask (H, W) bool of the object in it.

    Two references are equal when their contents are.

    >>> image = np.zeros((4, 4, 3), np.uint8)
    >>> Reference(image, np.eye(4, dtype=bool)) == Reference(image.copy(), np.eye(4, dtype=bool))
    True
    """

    image: Image
    mask: Mask

    def __post_init__(self) -> None:
        check_image(self.image)
        check_mask(self.mask, self.image.shape[:2])
        if not self.mask.any():
            raise InputError(
                "an empty reference mask",
                "at least one pixel of the object",
                "mark the object in the reference image",
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest(self.image, self.mask)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


Prompt: TypeAlias = Click | Box | Text | Reference


@dataclass(frozen=True, eq=False)
class Features:
    """What a model knows of b images before any prompt: arrays only, so that they can be cached.

    ``maps`` names arrays whose first axis is b; ``frames`` says how each image was seen.

    >>> Features({"stride4": np.zeros((1, 8, 4, 4))}, (Frame.resize((16, 16), (16, 16)),)).maps["stride4"].shape
    (1, 8, 4, 4)
    """

    maps: Maps
    frames: tuple[Frame, ...]

    @property
    def frame(self) -> Frame:
        """The frame of the only image; decoding works on one image at a time."""
        if len(self.frames) != 1:
            raise InputError(f"features of {len(self.frames)} images", "features of one image", "use split()")
        return self.frames[0]

    def split(self) -> list[Features]:
        """One ``Features`` per image."""
        return [Features({k: v[i : i + 1] for k, v in self.maps.items()}, (f,)) for i, f in enumerate(self.frames)]


@dataclass(frozen=True, eq=False)
class Prediction:
    """k candidate masks as ``logits`` (b, k, h, w) on the grid of ``frame``, their ``scores`` (b, k) in [0, 1],
    and the ``memory`` that the model wants back with the next prompt.

    >>> frame = Frame.resize((8, 8), (4, 4))
    >>> Prediction(np.zeros((1, 1, 4, 4), np.float32), np.ones((1, 1), np.float32), NO_MEMORY, frame).mask().shape
    (8, 8)
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    memory: Memory
    frame: Frame

    @property
    def best(self) -> int:
        """Index of the candidate with the highest score."""
        return int(self.scores[0].argmax())

    def probability(self, candidate: int | None = None) -> Probability:
        """(H, W) float32 probability at the image's own size; 0 outside the region the model looked at."""
        return self.frame.to_image_probability(self._logits(candidate))

    def mask(self, candidate: int | None = None, threshold: float = 0.5) -> Mask:
        """(H, W) bool: where the probability exceeds ``threshold``, sooner than by way of the probability."""
        return self.frame.to_image_mask(self._logits(candidate), threshold)

    def _logits(self, candidate: int | None) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self.logits[0, self.best if candidate is None else candidate]
        return logits


def on_host(value: Any) -> NDArray[Any]:
    """A map of ``Features`` as an array, whatever device keeps it."""
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value)


def check_image(image: Image) -> None:
    """Raise ``ImageError`` unless ``image`` is (H, W, 3) uint8 with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError(
            describe(image),
            "an RGB array (H, W, 3) of uint8",
            "read files with segue.read_image",
        )
    if image.size == 0:
        raise ImageError(describe(image), "at least one pixel")


def check_mask(mask: Mask, size: Sequence[int]) -> None:
    """Raise ``InputError`` unless ``mask`` is boolean with the image's ``size`` (H, W)."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != tuple(size):
        raise InputError(
            f"a mask that is {describe(mask)}",
            f"a boolean array of the image's size {tuple(size)}",
            "masks and images must have the same height and width",
        )


def check_prompts(prompts: Sequence[Prompt], size: Sequence[int], accepts: frozenset[type]) -> None:
    """Raise ``InputError`` for a prompt that the model does not accept or that lies outside (H, W).

    >>> check_prompts([Click(9, 1)], (4, 8), frozenset({Click}))
    Traceback (most recent call last):
    segue.core.errors.InputError: got a click at (9, 1); expected 0 <= x < 8 and 0 <= y < 4. Click inside the image.
    """
    height, width = size
    for prompt in prompts:
        if type(prompt) not in accepts:
            names = ", ".join(sorted(t.__name__ for t in accepts))
            raise InputError(f"a {type(prompt).__name__} prompt", f"one of: {names}", "choose a model that accepts it")
        if isinstance(prompt, Click) and not (0 <= prompt.x < width and 0 <= prompt.y < height):
            raise InputError(
                f"a click at ({prompt.x:g}, {prompt.y:g})",
                f"0 <= x < {width} and 0 <= y < {height}",
                "click inside the image",
            )
        if isinstance(prompt, Box) and (prompt.x0 >= width or prompt.y0 >= height or prompt.x1 <= 0 or prompt.y1 <= 0):
            raise InputError(
                f"the box {prompt.x0:g},{prompt.y0:g},{prompt.x1:g},{prompt.y1:g}",
                f"a box that meets the image of {width} x {height} pixels",
                "draw it on the image",
            )


def describe(value: object) -> str:
    """A short description of an array, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    return f"a {type(value).__name__}"


def digest(*arrays: NDArray[np.generic]) -> str:
    """SHA-256 over shapes, types and contents; the identity of images and masks.

    >>> digest(np.zeros((1, 2), np.uint8)) == digest(np.zeros((2, 1), np.uint8))
    False
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
