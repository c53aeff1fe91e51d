"""Where in this image is what the reference shows? Similarity of features, with the reference's own background
as the counter-example.

PerSAM averages the cosine similarity to all cells of the object (``mean``); ``contrast`` also lets the nearest
object cells stand against the nearest background cells. On pairs of training photos the mean was the better
ranking once every layer was standardised and counted alike (``patch_features``), so it is the default; the
reference's background sets the threshold.

Source: PerSAM (Zhang et al., 2023), equations 3 to 6; the contrast and the mutual-neighbour check follow later
training-free matching (Matcher, Liu et al., 2023; PerSense-like negative priors), written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NEAREST = 5  # cells that vote for object and for background
COVERED, CLEAR = 0.5, 0.05  # share of a cell's area that makes it the object's, and below which it is background
MOST = 768  # cells of a kind that a bank keeps


@dataclass(frozen=True, eq=False)
class Bank:
    """Cells of a reference: ``object`` (n, c) and ``background`` (m, c), unit vectors; ``middle`` and ``spread``
    turn a similarity into a probability, as learned from the reference itself; ``typical`` (c,) is the object's
    mean direction, ``own`` its likeness to the object in other views of the reference."""

    object: Tensor
    background: Tensor
    typical: Tensor
    middle: float = 0.0
    spread: float = 0.1
    own: float = 1.0


def unit(cells: Tensor) -> Tensor:
    """(..., c, h, w) -> unit length along c."""
    return F.normalize(cells, dim=-3)


def cover(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """(H, W) mask on the padded grid of a view -> (h, w) share of every cell that it covers."""
    return F.adaptive_avg_pool2d(mask[None, None].float(), grid)[0, 0]


def thinned(cells: Tensor, most: int = MOST) -> Tensor:
    """At most ``most`` rows of (n, c), evenly spread: the same for the same input."""
    if len(cells) <= most:
        return cells
    return cells[torch.linspace(0, len(cells) - 1, most, device=cells.device).long()]


def split(cells: Tensor, covered: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """(c, h, w) cells, (h, w) cover and (h, w) bool of cells inside the image -> object (n, c), background (m, c).

    An object too thin to cover any cell has the cell that it covers most.
    """
    inside = (covered > COVERED) & seen
    if not inside.any():
        inside = covered == covered.max()
    return cells[:, inside].T, cells[:, (covered < CLEAR) & seen].T


def similarity(cells: Tensor, bank: Bank, kind: str = "mean") -> Tensor:
    """(c, h, w) unit cells -> (h, w): how much more they look like the object than like its background.

    >>> bank = Bank(torch.eye(4)[:1], torch.eye(4)[1:], torch.eye(4)[0])
    >>> similarity(torch.eye(4)[:, :2, None], bank).flatten().tolist()
    [1.0, 0.0]
    """
    flat = cells.flatten(1).T
    likeness = flat @ bank.object.T
    found = likeness.mean(1)
    if kind == "contrast":
        found = found + nearest(likeness)
        if len(bank.background):
            against = flat @ bank.background.T
            found = found - against.mean(1) - nearest(against)
    return found.reshape(cells.shape[1:])


def nearest(likeness: Tensor) -> Tensor:
    """(n, m) -> (n,) mean of the ``NEAREST`` largest of a row."""
    return likeness.topk(min(NEAREST, likeness.shape[1]), 1)[0].mean(1)


def calibrated(views: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Bank:
    """A bank from several views of one reference, (cells, cover, seen) each.

    Every view is compared with the bank of the others; where its object and its background part best is the
    ``middle``, and how sharply they part the ``spread``.
    """
    parts = [split(*view) for view in views]
    objects = thinned(torch.cat([p[0] for p in parts]))
    grounds = thinned(torch.cat([p[1] for p in parts]))
    bank = Bank(objects, grounds, F.normalize(objects.mean(0), dim=0))
    yes, no, own = [], [], []
    for i, (cells, covered, seen) in enumerate(views):
        rest = [p for j, p in enumerate(parts) if j != i] or parts
        others = torch.cat([p[0] for p in rest])
        left = Bank(thinned(others), thinned(torch.cat([p[1] for p in rest])), bank.typical)
        found = similarity(cells, left)
        inside = (covered > COVERED) & seen if ((covered > COVERED) & seen).any() else covered == covered.max()
        yes.append(found[inside])
        no.append(found[(covered < CLEAR) & seen])
        own.append(float(F.normalize(parts[i][0].mean(0), dim=0) @ F.normalize(others.mean(0), dim=0)))
    middle, spread = boundary(torch.cat(yes), torch.cat(no))
    return Bank(objects, grounds, bank.typical, middle, spread, sum(own) / len(own))


def boundary(yes: Tensor, no: Tensor) -> tuple[float, float]:
    """The value between two samples that divides them best, and the softness of the step there."""
    high = float(yes.mean())
    if not len(no):
        return high - 0.5, 0.2
    low = float(no.mean())
    a, b = float(yes.std(correction=0)) + 1e-3, float(no.std(correction=0)) + 1e-3
    return (low * a + high * b) / (a + b), max(1e-2, 0.25 * abs(high - low))


def probability(found: Tensor, bank: Bank) -> Tensor:
    """Similarities -> (h, w) in [0, 1], one half at the bank's ``middle``."""
    return torch.sigmoid((found - bank.middle) / bank.spread)


def mutual(cells: Tensor, inside: Tensor, bank: Bank, taken: Tensor | None = None) -> tuple[float, float]:
    """Of the cells ``inside`` (h, w) bool: the share whose nearest reference cell is the object's; and the share
    of the object's cells whose nearest cell in this image, those ``taken`` (h, w) left out, is ``inside``.
    (0, 0) for an empty mask."""
    chosen = cells[:, inside].T
    if not len(chosen):
        return 0.0, 0.0
    reference = torch.cat((bank.object, bank.background))
    forth = (chosen @ reference.T).argmax(1) < len(bank.object)
    likeness = bank.object @ cells.flatten(1)
    if taken is not None:
        likeness = likeness.masked_fill(taken.flatten() & ~inside.flatten(), -torch.inf)
    back = inside.flatten()[likeness.argmax(1)]
    return float(forth.float().mean()), float(back.float().mean())
