"""Proposals: every object of an image that a model can tell, without being asked for one.

A grid of clicks is decoded in batches on the features of the whole image, then of crops for small things; unsure and
unstable masks are dropped, of masks that nearly agree the best is kept, and what lies in what becomes a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ConfigError, InputError
from segue.core.frame import Crop, Frame, Size
from segue.core.geometry import deepest_point
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Features, Image, Prediction, check_image
from segue.data.rle import Rle, intersection

LOOSE = 0.5  # of proposals that agree more than this the surest alone is looked at again
NEAR_EDGE = 0.01  # of a crop's side: a mask that comes so near to its border may go on outside
WITHIN = 0.9  # the share of a mask that lies in another, from which it is one of its parts


@dataclass(frozen=True)
class ProposalSettings:
    """How an image is searched, and what is kept.

    ``points_per_side`` clicks along the longer side of the image, as far apart along the other; crops of layer i (up to
    ``crop_layers``) cut each side in 2 ** i, overlap by ``crop_overlap`` of the shorter side, and are clicked with
    ``points_per_side`` / ``crop_points_divisor`` ** i. ``predicted_iou`` and ``stability`` are the least of a proposal
    (None: the model's own), stability being the IoU of the masks at plus and minus ``stability_offset`` logits. Of two
    masks with an IoU above ``nms_iou`` one is kept; masks of fewer than ``min_area`` pixels are dropped. The surest
    ``second_looks`` of what was found are clicked once more at their deepest points and decoded as a person's click is,
    which a model that zooms in answers at a higher resolution.

    Source: Segment Anything (Kirillov et al., 2023), appendix B, automatic mask generation.
    """

    points_per_side: int = 16
    points_per_batch: int = 16
    predicted_iou: float | None = None
    stability: float | None = None
    stability_offset: float = 1.0
    nms_iou: float = 0.7
    crop_layers: int = 1
    crop_overlap: float = 512 / 1500
    crop_points_divisor: int = 2
    min_area: int = 16
    second_looks: int = 32

    def __post_init__(self) -> None:
        for name, least in (("points_per_side", 1), ("points_per_batch", 1), ("crop_points_divisor", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}", f"at least {least}")


@dataclass(frozen=True, eq=False)
class Proposal:
    """One object that a model proposes: its mask as run lengths, the model's ``predicted_iou`` and the mask's
    ``stability`` in [0, 1], the click ``point`` (x, y) that gave it, the crop (x0, y0, x1, y1) that it was seen in,
    and the number of the smallest proposal that it lies ``inside``, None for none."""

    rle: Rle
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: Crop
    inside: int | None = None


def propose(
    model: Segmenter,
    image: Image,
    settings: ProposalSettings | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Proposal]:
    """What there is in ``image`` (H, W, 3) uint8, the surest first. ``on_batch`` is told how many of how many clicks
    are answered.

    Raises ``InputError`` for a model that understands no clicks. Source: as ``ProposalSettings``.

    >>> from segue.session.load import load
    >>> image = np.zeros((48, 64, 3), np.uint8); image[10:30, 20:50] = (250, 80, 20)
    >>> found = propose(load("nano"), image, ProposalSettings(points_per_side=4, crop_layers=0))
    >>> all(p.rle.size == (48, 64) for p in found)
    True
    """
    check_image(image)
    if Click not in model.accepts:
        raise InputError("proposals of a model without clicks", "a model that accepts clicks", "choose nano or a SAM")
    settings = settings or ProposalSettings()
    if not model.takes_views:  # it looks closer by itself
        settings = replace(settings, crop_layers=0)
    looks = search_plan((image.shape[0], image.shape[1]), settings)
    total, done, found = sum(len(points) for _, points in looks), 0, list[Proposal]()
    whole = model.encode([image])
    for crop, points in looks:
        features = whole if crop == looks[0][0] else _encode(model, image, crop)
        seen = _Seen(model, settings, crop)
        for batch in np.array_split(points, -(-len(points) // settings.points_per_batch)):
            seen.decode(features, batch)
            done += len(batch)
            if on_batch is not None:
                on_batch(done, total)
        found += seen.proposals()
    found = _apart(found, settings.nms_iou)
    if settings.second_looks:
        again = _Seen(model, settings, looks[0][0])
        for proposal in _apart(found, LOOSE)[: settings.second_looks]:
            again.decode(whole, _deepest(proposal.rle), one_by_one=True)
        found = _apart([*again.proposals(), *found], settings.nms_iou)
    return with_parents(found)


def search_plan(size: Size, settings: ProposalSettings) -> list[tuple[Crop, NDArray[np.float32]]]:
    """The crops (x0, y0, x1, y1) of an image of ``size`` (H, W), the whole first, each with its clicks (n, 2).

    >>> [(crop, len(points)) for crop, points in search_plan((30, 60), ProposalSettings(4))][:2]
    [((0, 0, 60, 30), 8), ((0, 0, 36, 21), 2)]
    """
    height, width = size
    plan = []
    for layer in range(settings.crop_layers + 1):
        side = max(1, settings.points_per_side // settings.crop_points_divisor**layer)
        overlap = settings.crop_overlap * min(size) * 2 / 2**layer if layer else 0
        rows, columns = (_stretches(length, 2**layer, overlap) for length in size)
        for x0, x1, y0, y1 in ((*a, *b) for b in rows for a in columns):
            if x1 - x0 < 2 or y1 - y0 < 2:
                continue
            plan.append(((x0, y0, x1, y1), _grid((x0, y0, x1, y1), side)))
    return plan if plan else [((0, 0, width, height), _grid((0, 0, width, height), 1))]


def suppress(masks: Sequence[Rle], scores: Sequence[float], most: float) -> list[int]:
    """Which masks are kept when of two with an IoU above ``most`` the one of higher score stays: their numbers, the
    highest score first. Exact on masks; areas and boxes only spare comparisons that cannot reach ``most``.

    Source: non-maximum suppression, on masks instead of boxes.

    >>> square = Rle.from_mask(np.ones((2, 2), bool))
    >>> suppress([square, square, Rle.empty((2, 2))], [0.5, 0.9, 0.1], 0.7)
    [1, 2]
    """
    areas, boxes = np.array([m.area for m in masks], np.int64), np.array([m.box for m in masks]).reshape(-1, 4)
    kept: list[int] = []
    for i in np.argsort(-np.asarray(scores), kind="stable").tolist():
        rivals = np.array(kept, np.int64)
        shared = np.minimum(_box_overlap(boxes[i], boxes[rivals]), np.minimum(areas[i], areas[rivals]))
        near = rivals[shared > most * (areas[i] + areas[rivals] - shared)]
        if not any(_iou(masks[i], masks[j]) > most for j in near.tolist()):
            kept.append(i)
    return kept


def with_parents(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The same, each with the number of the smallest other that holds it (at least ``WITHIN`` of it)."""
    areas = np.array([p.rle.area for p in proposals], np.int64)
    boxes = np.array([p.rle.box for p in proposals]).reshape(-1, 4)
    order = np.argsort(areas, kind="stable")
    parents: list[int | None] = [None] * len(proposals)
    for place, i in enumerate(order.tolist()):
        larger = order[place + 1 :]
        possible = larger[_box_overlap(boxes[i], boxes[larger]) >= WITHIN * areas[i]]
        for j in possible[areas[possible] > areas[i]].tolist():
            if intersection((proposals[i].rle, proposals[j].rle)).area >= WITHIN * areas[i]:
                parents[i] = j
                break
    return [replace(p, inside=parent) for p, parent in zip(proposals, parents, strict=True)]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A mask on the grid of its prediction's frame, not yet at the image's size."""

    logits: NDArray[np.float32]
    grid_mask: Rle
    frame: Frame
    predicted_iou: float
    stability: float
    point: tuple[float, float]


class _Seen:
    """What one crop shows: candidates that are sure and stable, on the grids that they were answered on."""

    def __init__(self, model: Segmenter, settings: ProposalSettings, crop: Crop) -> None:
        self.model, self.settings, self.crop = model, settings, crop
        own_iou, own_stability = model.least_proposal
        self.least_iou = own_iou if settings.predicted_iou is None else settings.predicted_iou
        self.least_stability = own_stability if settings.stability is None else settings.stability
        self.candidates: list[_Candidate] = []

    def decode(self, features: Features, points: NDArray[np.float32], one_by_one: bool = False) -> None:
        """Answer ``points`` (n, 2) and keep what is worth it; ``one_by_one`` as carefully as a person's clicks."""
        clicks = [Click(float(x), float(y)) for x, y in points]
        if one_by_one:
            for click in clicks:
                self._keep(self.model.decode(features, [click]), [(click.x, click.y)])
            return
        for which, prediction in self.model.decode_each(features, clicks):
            self._keep(prediction, [(clicks[i].x, clicks[i].y) for i in which])

    def proposals(self) -> list[Proposal]:
        """The candidates that differ, at the image's size, without those that the crop cuts."""
        found = []
        for frame in {c.frame for c in self.candidates}:
            same = [c for c in self.candidates if c.frame == frame]
            kept = suppress([c.grid_mask for c in same], [c.predicted_iou for c in same], self.settings.nms_iou)
            found += [self._proposal(same[i]) for i in kept]
        least = max(1, self.settings.min_area)
        return [p for p in found if p.rle.area >= least and not is_cut(p.rle.box, self.crop, p.rle.size)]

    def _keep(self, prediction: Prediction, points: Sequence[tuple[float, float]]) -> None:
        (rows, columns), uneven = prediction.frame.visible(prediction.logits.shape[-2:])
        shown = prediction.logits if uneven else prediction.logits[..., :rows, :columns]
        offset = self.settings.stability_offset
        inner, outer = ((shown > bar).sum((-2, -1)) for bar in (offset, -offset))
        stability = inner / np.maximum(outer, 1)
        good = (prediction.scores >= self.least_iou) & (stability >= self.least_stability) & (inner > 0)
        for i, k in np.argwhere(good).tolist():
            self.candidates.append(
                _Candidate(
                    prediction.logits[i, k].copy(),
                    Rle.from_mask(shown[i, k] > 0),
                    prediction.frame,
                    float(prediction.scores[i, k]),
                    float(stability[i, k]),
                    points[i],
                )
            )

    def _proposal(self, candidate: _Candidate) -> Proposal:
        rle = Rle.from_mask(candidate.frame.to_image_mask(candidate.logits))
        return Proposal(rle, candidate.predicted_iou, candidate.stability, candidate.point, self.crop)


def is_cut(box: Sequence[int], crop: Crop, size: Size) -> bool:
    """Whether a mask with ``box`` comes so near to a border of ``crop`` that it may go on outside; the border of the
    image of ``size`` (H, W) cuts nothing.

    >>> is_cut((0, 5, 50, 20), (0, 0, 50, 40), (80, 100)), is_cut((0, 5, 30, 20), (0, 0, 50, 40), (80, 100))
    (True, False)
    """
    x0, y0, x1, y1 = crop
    margin = NEAR_EDGE * max(x1 - x0, y1 - y0)
    return bool(
        (x0 > 0 and box[0] < x0 + margin)
        or (y0 > 0 and box[1] < y0 + margin)
        or (x1 < size[1] and box[2] > x1 - margin)
        or (y1 < size[0] and box[3] > y1 - margin)
    )


def _apart(proposals: Sequence[Proposal], most: float) -> list[Proposal]:
    """What ``suppress`` keeps, the surest first."""
    kept = suppress([p.rle for p in proposals], [p.predicted_iou for p in proposals], most)
    return [proposals[i] for i in kept]


def _deepest(rle: Rle) -> NDArray[np.float32]:
    """(1, 2): the pixel of a mask that is farthest from its border."""
    crop, left, top = rle.crop()
    x, y, _ = deepest_point(crop)
    return np.array([[left + x, top + y]], np.float32)


def _encode(model: Segmenter, image: Image, crop: Crop) -> Features:
    return model.encode([image], [model.near_frame((image.shape[0], image.shape[1]), crop)])


def _stretches(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """``count`` stretches of 0..``length``, neighbours overlapping by about ``overlap``."""
    each = min(length, int(np.ceil((overlap * (count - 1) + length) / count)))
    step = (length - each) / max(1, count - 1)
    return [(round(i * step), round(i * step) + each) for i in range(count)]


def _grid(crop: Crop, side: int) -> NDArray[np.float32]:
    """(n, 2) clicks in ``crop``: ``side`` along its longer side, square cells, each at its cell's middle."""
    x0, y0, x1, y1 = crop
    cell = max(x1 - x0, y1 - y0) / side
    across, down = max(1, round((x1 - x0) / cell)), max(1, round((y1 - y0) / cell))
    x = x0 + (np.arange(across) + 0.5) * (x1 - x0) / across
    y = y0 + (np.arange(down) + 0.5) * (y1 - y0) / down
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)


def _box_overlap(box: NDArray[Any], others: NDArray[Any]) -> NDArray[np.int64]:
    """Pixels that a box (4,) shares with each of (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared: NDArray[np.int64] = np.maximum(high - low, 0).prod(1)
    return shared


def _iou(a: Rle, b: Rle) -> float:
    shared = intersection((a, b)).area
    either = a.area + b.area - shared
    return shared / either if either else 1.0
