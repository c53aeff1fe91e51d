"""Where in this image is what the reference shows? Similarity of features, with the reference's own background
as the counter-example.

PerSAM averages the cosine similarity to all patches of the object (``mean``); ``contrast`` also lets the nearest
object patches stand against the nearest background patches. On pairs of training photos the mean was the better
ranking once every layer was standardised and counted alike (``patch_features``), so it is the default; the
reference's background sets the threshold.

Source: PerSAM (Zhang et al., 2023), equations 3 to 6; the contrast and the mutual-neighbour check follow later
training-free matching (Matcher, Liu et al., 2023; PerSense-like negative priors), written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array, sigmoid
from segue.core.types import Mask

NEAREST = 5  # patches that vote for object and for background
COVERED, CLEAR = 0.5, 0.05  # share of a patch's area that makes it the object's, and below which it is background
MOST = 768  # patches of a kind that a bank keeps


@dataclass(frozen=True, eq=False)
class Bank:
    """Patches of a reference: ``object`` (n, c) and ``background`` (m, c), unit vectors; ``threshold`` and
    ``temperature`` turn a similarity into a probability, as learned from the reference itself; ``prototype`` (c,) is
    the object's mean direction, ``self_similarity`` its likeness to the object in other views of the reference."""

    object: Array
    background: Array
    prototype: Array
    threshold: float = 0.0
    temperature: float = 0.1
    self_similarity: float = 1.0


def unit(vectors: NDArray[Any], axis: int = -3) -> Array:
    """``vectors`` scaled to unit length along ``axis``; by default (..., c, h, w) along c.

    >>> unit(np.array([3.0, 4.0], np.float32), 0)
    array([0.6, 0.8], dtype=float32)
    """
    lengths = np.sqrt(np.square(vectors).sum(axis, keepdims=True))
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def cover(mask: NDArray[Any], grid: tuple[int, int]) -> Array:
    """(H, W) mask on the padded grid of a view -> (h, w) share of every patch that it covers.

    >>> cover(np.eye(4, dtype=bool), (2, 2))
    array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    table[1:, 1:] = mask.cumsum(0, dtype=np.float64).cumsum(1)
    (top, bottom), (left, right) = (_ends(n, parts) for n, parts in zip(mask.shape, grid, strict=True))
    sums = table[bottom][:, right] - table[top][:, right] - table[bottom][:, left] + table[top][:, left]
    area = (bottom - top)[:, None] * (right - left)
    return np.asarray(sums / area, np.float32)


def _ends(length: int, parts: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where ``parts`` equal stretches of 0..``length`` begin and end, in whole cells."""
    index = np.arange(parts)
    return index * length // parts, -(-(index + 1) * length // parts)


def thinned(patches: Array, most: int = MOST) -> Array:
    """At most ``most`` rows of (n, c), evenly spread: the same for the same input."""
    if len(patches) <= most:
        return patches
    return patches[np.arange(most) * (len(patches) - 1) // (most - 1)]


def split(patches: Array, covered: Array, visible: Mask) -> tuple[Array, Array]:
    """(c, h, w) patches, (h, w) cover and (h, w) bool of patches inside the image -> object (n, c), background (m, c).

    An object too thin to cover any patch has the patch that it covers most.
    """
    return patches[:, _object(covered, visible)].T, patches[:, (covered < CLEAR) & visible].T


def _object(covered: Array, visible: Mask) -> Mask:
    inside: Mask = (covered > COVERED) & visible
    return inside if inside.any() else covered == covered.max()


def similarity(patches: Array, bank: Bank, kind: str = "mean") -> Array:
    """(c, h, w) unit patches -> (h, w): how much more they look like the object than like its background.

    >>> eye = np.eye(4, dtype=np.float32)
    >>> similarity(eye[:, :2, None], Bank(eye[:1], eye[1:], eye[0])).ravel().tolist()
    [1.0, 0.0]
    """
    flat = patches.reshape(len(patches), -1).T
    likeness = flat @ bank.object.T
    total = likeness.mean(1)
    if kind == "contrast":
        total = total + nearest(likeness)
        if len(bank.background):
            against = flat @ bank.background.T
            total = total - against.mean(1) - nearest(against)
    return np.asarray(total.reshape(patches.shape[1:]), np.float32)


def nearest(likeness: Array) -> Array:
    """(n, m) -> (n,) mean of the ``NEAREST`` largest of a row."""
    k = min(NEAREST, likeness.shape[1])
    best: Array = np.partition(likeness, likeness.shape[1] - k, 1)[:, -k:].mean(1)
    return best


def calibrated(views: Sequence[tuple[Array, Array, Mask]]) -> Bank:
    """A bank from several views of one reference, (patches, cover, visible) each.

    Every view is compared with the bank of the others; where its object and its background part best is the
    ``threshold``, and how sharply they part the ``temperature``.
    """
    parts = [split(*view) for view in views]
    bank = _pooled(parts)
    yes, no, own = [], [], []
    for i, (patches, covered, visible) in enumerate(views):
        rest = [part for j, part in enumerate(parts) if j != i] or parts
        others = _pooled(rest)
        likeness = similarity(patches, others)
        yes.append(likeness[_object(covered, visible)])
        no.append(likeness[(covered < CLEAR) & visible])
        mean = np.concatenate([part[0] for part in rest]).mean(0)
        own.append(float(unit(parts[i][0].mean(0), 0) @ unit(mean, 0)))
    threshold, temperature = boundary(np.concatenate(yes), np.concatenate(no))
    return replace(bank, threshold=threshold, temperature=temperature, self_similarity=sum(own) / len(own))


def _pooled(parts: Sequence[tuple[Array, Array]]) -> Bank:
    objects, backgrounds = (thinned(np.concatenate(side)) for side in zip(*parts, strict=True))
    return Bank(objects, backgrounds, unit(objects.mean(0), 0))


def boundary(yes: Array, no: Array) -> tuple[float, float]:
    """The value between two samples that divides them best, and the softness of the step there."""
    high = float(yes.mean())
    if not len(no):
        return high - 0.5, 0.2
    low = float(no.mean())
    a, b = float(yes.std()) + 1e-3, float(no.std()) + 1e-3
    return (low * a + high * b) / (a + b), max(1e-2, 0.25 * abs(high - low))


def probability(likeness: Array, bank: Bank) -> Array:
    """Similarities -> (h, w) in [0, 1], one half at the bank's ``threshold``."""
    return sigmoid((likeness - bank.threshold) / bank.temperature)


def mutual(patches: Array, inside: Mask, bank: Bank, taken: Mask | None = None) -> tuple[float, float]:
    """Of the patches ``inside`` (h, w) bool: the share whose nearest reference patch is the object's; and the share
    of the object's patches whose nearest patch in this image, those ``taken`` (h, w) left out, is ``inside``.
    (0, 0) for an empty mask."""
    chosen = patches[:, inside].T
    if not len(chosen):
        return 0.0, 0.0
    reference = np.concatenate((bank.object, bank.background))
    forward = (chosen @ reference.T).argmax(1) < len(bank.object)
    likeness = bank.object @ patches.reshape(len(patches), -1)
    if taken is not None:
        likeness[:, taken.ravel() & ~inside.ravel()] = -np.inf
    backward = inside.ravel()[likeness.argmax(1)]
    return float(forward.mean()), float(backward.mean())
