"""segment-anything's ``SamPredictor`` over any segue model: a drop-in for code written against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import logit, sigmoid
from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Features, Memory, Prediction, Prompt, check_image, check_prompts

LOW = 256  # side of the low-resolution logits that go back and forth
AXES = (2, 1, 1, 3)  # of one object's points, labels, box and mask input
Given = tuple[NDArray[Any] | None, ...]  # points, labels, box, mask input
Array = NDArray[np.float32]
Masks = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]


@runtime_checkable
class Scaled(Protocol):
    """A model that can be asked for one candidate or for three, and hands out low-resolution logits itself."""

    def predict_arrays(
        self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None, *, multimask: bool
    ) -> tuple[Array, Array, Array]: ...

    def memory_from_logits(self, low: Array) -> Memory: ...


class SamPredictor:
    """``set_image``, then ``predict`` as often as you like, with segment-anything's shapes and meanings.

    Models that have one candidate (all but a SAM) answer with one even for ``multimask_output``: masks (1, H, W),
    scores (1,), logits (1, 256, 256), so that ``masks[scores.argmax()]`` is right over each of them. Points are
    (x, y), boxes (x0, y0, x1, y1), in pixels of the image.

    Source: segment_anything/predictor.py (its contract).

    >>> import numpy as np, segue
    >>> from segue.models.registry import MODELS
    >>> tiny = MODELS["sam-vit-base"].tiny
    >>> predictor = SamPredictor(segue.load("sam-vit-base", weights="random", config=tiny))
    >>> predictor.set_image(np.zeros((48, 64, 3), np.uint8))
    >>> masks, scores, low = predictor.predict(np.array([[30, 20]]), np.array([1]))
    >>> masks.shape, masks.dtype, scores.shape, low.shape
    ((3, 48, 64), dtype('bool'), (3,), (3, 64, 64))
    """

    mask_threshold = 0.0

    def __init__(self, model: Segmenter) -> None:
        self.model = model
        self.reset_image()

    @property
    def device(self) -> Any:
        """Where the model lives."""
        return getattr(self.model, "device", "cpu")

    def reset_image(self) -> None:
        """Forget the image."""
        self._features: list[Features] = []

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Encode an image (H, W, 3) uint8 in ``image_format`` RGB or BGR."""
        self.set_image_batch([image], image_format)

    def set_image_batch(self, images: Sequence[NDArray[np.uint8]], image_format: str = "RGB") -> None:
        """Encode several images, of any sizes, for ``predict_batch``."""
        if image_format not in ("RGB", "BGR"):
            raise InputError(f"the image format {image_format!r}", "RGB or BGR")
        for image in images:
            check_image(image)
        ordered = [np.ascontiguousarray(i[..., ::-1]) if image_format == "BGR" else i for i in images]
        self._features = [self.model.encode([image]) for image in ordered]

    @property
    def features(self) -> Features:
        """What the model knows of the (first) image. Raises ``InputError`` before ``set_image``."""
        if not self._features:
            raise InputError("a question before any image", "an image", "call set_image first")
        return self._features[0]

    def predict(
        self,
        point_coords: NDArray[Any] | None = None,
        point_labels: NDArray[Any] | None = None,
        box: NDArray[Any] | None = None,
        mask_input: NDArray[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Masks:
        """Masks (C, H, W) bool (float32 logits with ``return_logits``), scores (C,), low-resolution logits (C, h, w).

        ``point_coords`` (n, 2), ``point_labels`` (n,): 1 on the object, 0 off it, -1 a place that is filled and not
        looked at, 2 and 3 a box's upper left and lower right corner; ``box`` (4,), ``mask_input`` (1, h, w) from an
        earlier prediction. Several objects at once, points (B, n, 2), labels (B, n) or boxes (B, 4), give masks
        (B, C, H, W), scores (B, C) and logits (B, C, h, w), as SAM 2's predictor does.
        """
        given = (point_coords, point_labels, box, mask_input)
        return self._answer(self.features, given, multimask_output, return_logits)

    def predict_batch(
        self,
        point_coords_batch: Sequence[NDArray[Any] | None] | None = None,
        point_labels_batch: Sequence[NDArray[Any] | None] | None = None,
        box_batch: Sequence[NDArray[Any] | None] | None = None,
        mask_input_batch: Sequence[NDArray[Any] | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[list[NDArray[Any]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """``predict`` for every image of ``set_image_batch``, as SAM 2's predictor has it."""
        given = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        masks, scores, lows = [], [], []
        for i, features in enumerate(self._features):
            points, labels, box, low_mask = (None if batch is None else batch[i] for batch in given)
            mask, score, low = self._answer(features, (points, labels, box, low_mask), multimask_output, return_logits)
            masks.append(mask)
            scores.append(score)
            lows.append(low)
        return masks, scores, lows

    def _answer(self, features: Features, given: Given, multimask: bool, return_logits: bool) -> Masks:
        answers = [self._one(features, one, multimask, return_logits) for one in _objects(given)]
        masks, scores, low = (np.stack(parts) for parts in zip(*answers, strict=True))
        return (masks, scores, low) if len(answers) > 1 else answers[0]

    def _one(self, features: Features, given: Given, multimask: bool, return_logits: bool) -> Masks:
        points, labels, box, mask_input = given
        prompts = _prompts(points, labels, box)
        check_prompts(prompts, features.frame.size, self.model.accepts)
        memory = None if mask_input is None else self._memory(features, np.asarray(mask_input, np.float32))
        if isinstance(self.model, Scaled):
            low, scores, grid = self.model.predict_arrays(features, prompts, memory, multimask=multimask)
            logits = features.frame.to_image_size(grid)
        else:
            prediction = self.model.decode(features, prompts, memory)
            chosen = slice(None) if multimask else slice(prediction.best, prediction.best + 1)
            logits, scores = _full(prediction)[:, chosen], prediction.scores[:, chosen]
            low = _low(logits, prediction.frame)
        masks = logits[0] if return_logits else logits[0] > self.mask_threshold
        return masks, scores[0], low[0]

    def _memory(self, features: Features, low: Array) -> Memory:
        if isinstance(self.model, Scaled):
            return self.model.memory_from_logits(low)
        if tuple(low.shape) != (1, LOW, LOW):
            raise InputError(f"a mask input of shape {tuple(low.shape)}", f"(1, {LOW}, {LOW}) logits")
        square = _square(features.frame)
        return self.model.memory_from_mask(features, sigmoid(square.to_image_size(low[0])))


def _objects(given: Given) -> list[Given]:
    """What is given of each object: arrays with one axis more than one object's have a row for each."""
    arrays = [None if array is None else np.asarray(array) for array in given]
    rows = [array is not None and array.ndim > axes for array, axes in zip(arrays, AXES, strict=True)]
    counts = {len(array) for array, split in zip(arrays, rows, strict=True) if array is not None and split}
    shared = any(array is not None and not split for array, split in zip(arrays, rows, strict=True))
    if len(counts) > 1 or 0 in counts or (shared and counts - {1}):
        shapes = " and ".join(str(array.shape) for array in arrays if array is not None)
        raise InputError(f"prompts of shapes {shapes}", "as many boxes, points and labels as there are objects")
    objects = range(max(counts, default=1))
    return [
        tuple(array[k] if array is not None and split else array for array, split in zip(arrays, rows, strict=True))
        for k in objects
    ]


def _prompts(points: NDArray[Any] | None, labels: NDArray[Any] | None, box: NDArray[Any] | None) -> list[Prompt]:
    prompts: list[Prompt] = []
    corners: dict[int, NDArray[Any]] = {}
    if points is not None:
        places = np.asarray(points, float)
        if places.ndim != 2 or places.shape[1] != 2 or labels is None or np.shape(labels) != places.shape[:1]:
            raise InputError(
                f"points of shape {places.shape} and {'no' if labels is None else np.size(labels)} labels",
                "points (n, 2) and as many labels",
            )
        for place, label in zip(places, np.asarray(labels).tolist(), strict=True):
            if label in (0, 1):
                prompts.append(Click(float(place[0]), float(place[1]), bool(label)))
            elif label in (2, 3) and label not in corners and box is None:
                corners[int(label)] = place
            elif label != -1:
                meaning = "1, 0, -1 (no point), or 2 and 3 once (a box's corners, instead of a box)"
                raise InputError(f"the label {label} of a point", meaning)
        if len(corners) == 1:
            raise InputError(f"the label {next(iter(corners))} alone", "2 and 3, a box's two corners")
    if corners:
        box = np.concatenate((corners[2], corners[3]))
    if box is not None:
        if np.size(box) != 4:
            raise InputError(f"a box of shape {np.shape(box)}", "a box (4,) or boxes (B, 4)")
        prompts.append(Box(*np.asarray(box, float).reshape(4).tolist()))
    return prompts


def _square(frame: Frame) -> Frame:
    """segment-anything's low-resolution grid: the longest side at 256, padded to a square."""
    return Frame.longest(frame.size, LOW, square=True)


def _full(prediction: Prediction) -> Array:
    """(1, k, H, W) logits at the image's size."""
    frame = prediction.frame
    if frame.align_corners or not frame.is_whole_image:
        return logit(frame.to_image_probability(prediction.logits))
    return frame.to_image_size(prediction.logits)


def _low(logits: Array, frame: Frame) -> Array:
    square = _square(frame)
    view = square.resample(logits)
    return square.pad(view, value=float(view.min()))
