"""What a tracker remembers of one object: patches of key frames, of the last frame and of those least like them.

Source: label propagation by feature similarity (Caron et al., 2021, DINO); several memories as in space-time memory
networks (Oh et al., 2019), here without training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from segue.core.arrays import Array
from segue.core.frame import Frame
from segue.core.types import Features, Probability
from segue.oneshot.finder import PATCHES, inside_image
from segue.oneshot.matching import cover, unit

SHARP = 0.05  # temperature of the vote of remembered patches
KEY_REACH, RECENT_REACH = 0.5, 0.2  # object lengths over which a patch's vote fades, for old and for the last memory
KEYS, DISTINCT = 4, 2  # memories of a kind that vote
NOVEL = 0.93  # likeness to every memory below which a frame is remembered as different


@dataclass(frozen=True, eq=False)
class Place:
    """Where an object is and how large, in image pixels: the ``centre`` (x, y) and longer side of its pixels."""

    centre: tuple[float, float]
    length: float

    @classmethod
    def of(cls, inside: Array, view: Frame) -> Place:
        """From an (h, w) map over the grid of ``view``; the view's middle for one that is 0 everywhere."""
        rows, columns = np.flatnonzero(inside.max(1) > 0.5), np.flatnonzero(inside.max(0) > 0.5)
        scale = view.grid[1] / inside.shape[1]
        if not rows.size or not columns.size:
            x0, y0, x1, y1 = view.crop
            return cls(((x0 + x1) / 2, (y0 + y1) / 2), float(max(x1 - x0, y1 - y0)))
        weights = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        total = float(weights.sum())
        x = float((weights.sum(0) @ (np.arange(weights.shape[1]) + columns[0] + 0.5)) / total)
        y = float((weights.sum(1) @ (np.arange(weights.shape[0]) + rows[0] + 0.5)) / total)
        at = view.to_image(np.array([x * scale, y * scale], np.float32))
        long = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        return cls((float(at[0]), float(at[1])), float(long * scale / view.scale[0]))


@dataclass(frozen=True, eq=False)
class Remembered:
    """One frame as remembered: unit ``patches`` (c, n), how much of each is the object in ``labels`` (n,), their
    ``positions`` (n, 2) in object lengths from its centre, and the object's mean ``direction`` (c,)."""

    patches: Array
    labels: Array
    positions: Array
    direction: Array


def positions_of(view: Frame, grid: tuple[int, int], place: Place) -> Array:
    """(h * w, 2) of the cells of ``grid`` (h, w) over ``view``, in object lengths from the object's centre."""
    rows = (np.arange(grid[0], dtype=np.float32) + np.float32(0.5)) * (view.grid[0] / grid[0])
    columns = (np.arange(grid[1], dtype=np.float32) + np.float32(0.5)) * (view.grid[1] / grid[1])
    cells = np.stack([m.ravel() for m in np.meshgrid(columns, rows)], 1).astype(np.float32)
    return np.asarray(
        (view.to_image(cells) - np.array(place.centre, np.float32)) / np.float32(place.length), np.float32
    )


def remembered(features: Features, probability: Probability, place: Place) -> Remembered:
    """What one view of a frame shows of an object with the (H, W) ``probability``."""
    patches: Array = features.maps[PATCHES][0]
    grid, view = (patches.shape[1], patches.shape[2]), features.frame
    labels = cover(view.view(probability), grid).ravel()
    seen = inside_image(view, grid).ravel() > 0
    flat = patches.reshape(len(patches), -1)[:, seen]
    labels = labels[seen]
    core = labels >= min(0.5, float(labels.max()))
    return Remembered(flat, labels, positions_of(view, grid, place)[seen], unit(flat[:, core].mean(1), 0))


@dataclass(frozen=True, eq=False)
class Vote:
    """(h, w) in [0, 1] each: how much every patch is the object by look and place, and by look alone."""

    near: Array
    anywhere: Array


@dataclass(eq=False)
class ObjectMemory:
    """Key frames, which people gave; the last frame; and a few that look least like those."""

    keys: list[Remembered] = field(default_factory=list)
    distinct: list[Remembered] = field(default_factory=list)
    last: Remembered | None = None

    def add_key(self, frame: Remembered) -> None:
        """A frame whose mask a person gave: never forgotten, the newest ``KEYS`` vote."""
        self.keys.append(frame)
        self.last = frame

    def add(self, frame: Remembered, *, sure: bool) -> None:
        """A frame that was answered; one that is ``sure`` and unlike all others is kept for later."""
        self.last = frame
        if not sure:
            return
        likeness = [float(frame.direction @ other.direction) for other in (*self.keys, *self.distinct)]
        if max(likeness) < NOVEL:
            self.distinct = [*self.distinct, frame][-DISTINCT:]

    def likeness(self, direction: Array) -> float:
        """Cosine of an object's mean patch to the most similar key frame's."""
        return max(float(direction @ key.direction) for key in self.keys)

    def vote(self, features: Features, place: Place) -> Vote:
        """What the memories say of a view in which the object is expected at ``place``."""
        patches: Array = features.maps[PATCHES][0]
        grid, view = (patches.shape[1], patches.shape[2]), features.frame
        flat, at = patches.reshape(len(patches), -1), positions_of(view, grid, place)
        lasting: Sequence[Remembered] = (*self.keys[-KEYS:], *self.distinct)
        sums = np.zeros((4, flat.shape[1]), np.float32)
        voters = [(frame, KEY_REACH) for frame in lasting]
        if self.last is not None and not any(self.last is frame for frame in lasting):
            voters.append((self.last, RECENT_REACH))
        for past, reach in voters:
            alike = np.exp((flat.T @ past.patches - 1) / np.float32(SHARP))
            apart = np.square(at).sum(1)[:, None] + np.square(past.positions).sum(1) - 2 * at @ past.positions.T
            close = alike * np.exp(apart / np.float32(-2 * reach * reach))
            sums[0] += close @ past.labels
            sums[1] += close.sum(1)
            if reach == KEY_REACH:
                sums[2] += alike @ past.labels
                sums[3] += alike.sum(1)
        shown = inside_image(view, grid)
        near, anywhere = sums[::2] / (sums[1::2] + np.float32(1e-9))
        return Vote(near.reshape(grid) * shown, anywhere.reshape(grid) * shown)
