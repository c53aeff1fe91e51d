"""All instances of one example in one image: each found one says what the others look like here.

Another photo's light and scale part the example from the image, so seven equal toys are all seven unlike it as a whole
photo sees them. The whole photo therefore only says where to click. Each answer is looked at from near, where the
calibration holds, and what is accepted joins the example: things look more alike in one photo than between photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array
from segue.core.geometry import mask_box
from segue.core.types import Click, Features, Mask, Reference
from segue.oneshot.examples import examples_of
from segue.oneshot.finder import PATCHES, PHOTO, Evidence, Finder, Match, cover_of, inside_image, place
from segue.oneshot.matching import similarity

APART = 1  # cells around a place tried that are not tried again
FAILURES = 10  # places, one after the other, with nothing, after which no more are tried
FLOOR = 0.5  # share of the instances' likeness to themselves that a place needs to be tried
TAKEN = 0.5  # share of an answer that may belong to instances found before
FITTER = 0.1  # by how much two parts must fit the example's silhouette better than both as one
SURE = 0.95  # probability at which the first instance is looked for no further
RELATIVE = 0.5  # of the best instance's probability, that others need
HOPELESS = 0.01  # probability below which a mask is not parted
NEAR = 1.0  # how far around a place is seen from near, in sides of the instances
SIDE = 32  # of a silhouette
DENIALS = 4  # objects that negatives deny, after which no more are looked for
UNLIKE = 0.75  # share of the first instance's likeness below which, without a calibration, nothing is one


def find_instances(
    finder: Finder, features: Features, reference: Reference, most: int, threshold: float | None = None
) -> list[Match]:
    """Up to ``most`` objects, in the order in which they were found. The first is always there, however unlikely:
    compare its score with ``threshold``, by default the finder's; with a calibration every other one reaches it."""
    if most == 1:
        return [likeliest(finder, features, reference)]
    if finder.calibration is None:
        return one_by_one(finder, features, reference, most)
    found = list(InstanceSearch(finder, features, reference, threshold).instances(most))
    return found or [likeliest(finder, features, reference)]


def likeliest(finder: Finder, features: Features, reference: Reference) -> Match:
    """The likeliest object that no negative denies; the one denied first, where that is so of the ``DENIALS`` likeliest
    or what is left is clearly less like the example than it."""
    first = match = finder.find(features, reference)
    prior, taken = None, np.zeros(features.frame.size, bool)
    for _ in range(DENIALS - 1):
        if not match.denied:
            break
        prior = finder.prior(features, reference) if prior is None else prior
        prior = prior * (1 - cover_of(match.prediction, features.frame, prior))
        taken |= match.prediction.mask()
        match = finder.find(features, reference, prior, taken, several=True)
    return first if match.denied or match.evidence["likeness"] < UNLIKE * first.evidence["likeness"] else match


def one_by_one(finder: Finder, features: Features, reference: Reference, most: int) -> list[Match]:
    """Without a calibration: the likeliest object, again where the others are not, while it is about as like the
    example as the first was."""
    prior = finder.prior(features, reference)
    found: list[Match] = []
    taken: Mask | None = None
    denied: list[Match] = []
    while len(found) < most and len(denied) < DENIALS and (not (found or denied) or float(prior.max()) >= 0.5):
        match = finder.find(features, reference, prior, taken, several=True)
        mask = match.prediction.mask()
        before = found or denied
        if before and (not mask.any() or match.evidence["likeness"] < UNLIKE * before[0].evidence["likeness"]):
            break
        (denied if match.denied else found).append(match)
        taken = mask if taken is None else taken | mask
        prior = prior * (1 - cover_of(match.prediction, features.frame, prior))
    return found or denied[:1]


class InstanceSearch:
    """The search in one image: where to click next, and what is an instance.

    A place is as likely as its patches are like those of the example, of the instances once there is one.
    """

    def __init__(
        self, finder: Finder, features: Features, reference: Reference, threshold: float | None = None
    ) -> None:
        self.threshold = finder.threshold if threshold is None else threshold
        self.finder, self.features, self.reference = finder, features, reference
        patches, bank = features.maps[PATCHES][0], finder.bank(reference)
        self.seen = Evidence(
            features, reference, patches, finder.prior(features, reference), bank, taken=None, several=True
        )
        visible = inside_image(features.frame, patches.shape[1:]) > 0
        self.places = SearchGrid(similarity(patches, bank, finder.kind), ~visible)
        self.covers: list[Array] = []
        self.taken = np.zeros(features.frame.size, bool)
        self.sides: list[int] = []
        self.best = 0.0
        self.floor = -np.inf

    def instances(self, most: int) -> Iterator[Match]:
        """The instances, each at once when it is found; the likeliest of the first places leads."""
        parts: list[Match] | None = self.lead()
        count, failures = 0, 0 if parts else FAILURES
        while True:
            for part in (parts or [])[: most - count]:
                self.accept(part)
                yield part
                count += 1
            if count == most or failures == FAILURES or (cell := self.places.likeliest(self.floor)) is None:
                return
            self.places = self.places.without(*cell)
            parts = self.at(Click(*self.pixel(*cell)))
            if parts is not None:
                failures = 0 if parts else failures + 1

    def lead(self) -> list[Match]:
        """The instances at the best of the ``FAILURES`` likeliest places, by their best score; [] where none is."""
        best: list[Match] = []
        places = self.places
        for _ in range(FAILURES):
            if (cell := places.likeliest(-np.inf)) is None:
                break
            places = places.without(*cell)
            parts = self.at(Click(*self.pixel(*cell))) or []
            best = max(best, parts, key=lambda several: max((part.score for part in several), default=0.0))
            if best and max(part.score for part in best) >= SURE:
                break
        return best

    def at(self, click: Click) -> list[Match] | None:
        """The instances at a place: as the whole photo shows it, else from near; None for one found before."""
        parts = self.in_view(click, self.features)
        if parts == [] and self.covers:
            parts = self.in_view(click, self.near(click))
        return parts

    def in_view(self, click: Click, view: Features) -> list[Match] | None:
        """The instances at a place as ``view`` shows it; None for one found before."""
        match = self.answer([click], view)
        if match is None:
            return []
        if not self.free(match.prediction.mask()):
            return None
        return [part for part in self.parts(match, view) if part.score >= self.least]

    def near(self, click: Click) -> Features:
        """The place as large as an example: a crop of the size of the instances so far."""
        height, width = self.features.frame.size
        half = NEAR * float(np.median(self.sides))
        crop = (
            max(0, int(click.x - half)),
            max(0, int(click.y - half)),
            min(width, int(click.x + half) + 1),
            min(height, int(click.y + half) + 1),
        )
        frame = self.finder.inner.near_frame((height, width), crop)
        return self.finder.inner.encode([self.features.maps[PHOTO][0]], [frame])

    @property
    def least(self) -> float:
        """The least score of an instance: the threshold, and a share of the best instance's."""
        return max(self.threshold, RELATIVE * self.best)

    def pixel(self, x: int, y: int) -> tuple[float, float]:
        """The middle of a cell, in image pixels."""
        return place(self.features.frame, self.places.likeness.shape, x + 0.5, y + 0.5)

    def answer(self, clicks: Sequence[Click], view: Features, fit: float = 0.0) -> Match | None:
        """What the model segments there and how likely it is an instance; None for nothing, for what a negative
        denies, and for a silhouette that fits the example's by less than ``fit``."""
        prediction = self.finder.inner.decode(view, clicks, None)
        mask = prediction.mask()
        if not mask.any() or (fit and self.shape_fit(mask) < fit):
            return None
        match = self.finder.calibrated(self.finder.weigh(self.seen, clicks, prediction), self.features, self.reference)
        return None if match.denied else match

    def shape_fit(self, mask: Mask) -> float:
        """How well a mask's silhouette fits that of the example that it fits best, 0 to 1."""
        return max(shape_likeness(mask, one.mask) for one in examples_of(self.reference))

    def free(self, mask: Mask) -> bool:
        """Whether a mask is not one of the instances found before."""
        return bool((mask & self.taken).sum() <= TAKEN * mask.sum())

    def accept(self, match: Match) -> None:
        """Take a match as an instance: its patches say what others look like, its cells are done."""
        mask = match.prediction.mask()
        self.taken |= mask
        x0, y0, x1, y1 = mask_box(mask) or (0, 0, 1, 1)
        self.best = max(self.best, match.score)
        self.sides.append(max(x1 - x0, y1 - y0))
        self.covers.append(cover_of(match.prediction, self.features.frame, self.seen.prior))
        likeness = likeness_to(self.seen.patches, self.covers)
        own = [float(likeness[cells(covered)].mean()) for covered in self.covers]
        self.floor = FLOOR * sum(own) / len(own)
        self.places = SearchGrid(likeness, self.places.done | (self.covers[-1] > 0.25))

    def parts(self, match: Match, view: Features, depth: int = 3) -> list[Match]:
        """The instances that a mask holds, itself for one.

        Touching twins come as one mask. Clicks on one half and off the other part them; both are kept where they look
        like the example from near and fit its silhouette clearly better than the whole does.
        """
        mask = match.prediction.mask()
        fit = self.shape_fit(mask)
        if not depth or fit > 1 - FITTER or match.score < HOPELESS:
            return [match]
        (x0, y0), (x1, y1) = halves(mask)
        two = [
            self.answer([Click(*here), Click(*there, positive=False)], view, fit + FITTER)
            for here, there in (((x0, y0), (x1, y1)), ((x1, y1), (x0, y0)))
        ]
        likely = [part for part in two if part and part.score >= self.least and self.free(part.prediction.mask())]
        apart = len(likely) == 2 and not overlapping(*(part.prediction.mask() for part in likely))
        if apart:
            return [part for half in likely for part in self.parts(half, view, depth - 1)]
        if likely and match.score < self.least:
            return self.parts(max(likely, key=lambda part: part.score), view, depth - 1)
        return [match]


@dataclass(frozen=True)
class SearchGrid:
    """Where to look next on a grid of patches: the ``likeness`` (h, w) of every cell, and what is ``done`` (h, w)."""

    likeness: Array
    done: Mask

    def likeliest(self, floor: float) -> tuple[int, int] | None:
        """(x, y) of the likeliest cell that is not done; None where none is left or none reaches ``floor``."""
        rest = np.where(self.done, -np.inf, self.likeness)
        y, x = divmod(int(rest.argmax()), rest.shape[1])
        return (x, y) if np.isfinite(rest[y, x]) and rest[y, x] >= floor else None

    def without(self, x: int, y: int) -> SearchGrid:
        """The same without the cells around (x, y)."""
        done = self.done.copy()
        done[max(0, y - APART) : y + APART + 1, max(0, x - APART) : x + APART + 1] = True
        return replace(self, done=done)


def likeness_to(patches: Array, covers: Sequence[Array]) -> Array:
    """(c, h, w) unit patches and covers (h, w) of instances -> (h, w) mean cosine similarity of every cell to the
    cells of the instance that it is most like.

    >>> eye = np.eye(4, dtype=np.float32)
    >>> likeness_to(eye[:, :2, None], [np.array([[1.0], [0.0]])]).ravel().tolist()
    [1.0, 0.0]
    """
    flat = patches.reshape(len(patches), -1)
    each = [patches[:, cells(covered)].mean(1) @ flat for covered in covers]
    return np.asarray(np.max(each, 0).reshape(patches.shape[1:]), np.float32)


def cells(covered: Array) -> Mask:
    """(h, w) share -> the cells that an instance covers by more than half, of a small one the most covered."""
    inside: Mask = covered > 0.5
    return inside if inside.any() else covered == covered.max()


def halves(mask: Mask) -> tuple[tuple[float, float], tuple[float, float]]:
    """(x, y) of the middles of the two halves of (H, W) bool, parted across its longest extent.

    >>> mask = np.zeros((20, 40), bool); mask[5:15, 2:12] = mask[5:15, 22:32] = True
    >>> halves(mask)
    ((6.0, 9.0), (26.0, 9.0))
    """
    points = np.argwhere(mask)[:, ::-1].astype(np.float64)
    middle = points.mean(0)
    axis = np.linalg.eigh(np.cov((points - middle).T) if len(points) > 1 else np.eye(2))[1][:, -1]
    side = (points - middle) @ axis > 0
    first, second = ((points[chosen] if chosen.any() else points) for chosen in (~side, side))
    a, b = (tuple(np.floor(half.mean(0)).tolist()) for half in (first, second))
    return (a, b) if a <= b else (b, a)


def overlapping(a: Mask, b: Mask) -> bool:
    """Whether more than a quarter of the smaller mask is the other's as well."""
    return bool((a & b).sum() > 0.25 * min(a.sum(), b.sum()))


def silhouette(mask: Mask) -> NDArray[np.bool_]:
    """(H, W) -> (``SIDE``, ``SIDE``): the mask about its middle, at one area whatever its own.

    >>> disc = np.hypot(*np.mgrid[-9:10, -9:10]) < 8
    >>> bool((silhouette(disc) == silhouette(np.kron(disc, np.ones((3, 3), bool)))).mean() > 0.97)
    True
    """
    rows, columns = np.nonzero(mask)
    scale = SIDE / 2 / np.sqrt(max(1, len(rows)))
    change = np.array(
        [[scale, 0, SIDE / 2 - scale * columns.mean()], [0, scale, SIDE / 2 - scale * rows.mean()]], np.float64
    )
    small = cv2.warpAffine(mask.astype(np.float32), change, (SIDE, SIDE), flags=cv2.INTER_AREA)
    return np.asarray(small > 0.5)


def shape_likeness(a: Mask, b: Mask) -> float:
    """IoU of two masks' silhouettes, the second turned and mirrored to fit best.

    >>> bar = np.zeros((40, 40), bool); bar[10:14, 5:35] = True
    >>> shape_likeness(bar, bar.T) > 0.9, shape_likeness(bar, np.ones((9, 9), bool)) < 0.6
    (True, True)
    """
    if not (a.any() and b.any()):
        return 0.0
    one, other = silhouette(a), silhouette(b).astype(np.float32)
    best = 0.0
    for angle in range(0, 360, 30):
        turned = cv2.warpAffine(
            other, cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), angle, 1), (SIDE, SIDE)
        )
        for view in (turned > 0.5, turned[:, ::-1] > 0.5):
            best = max(best, float((one & view).sum() / max(1, (one | view).sum())))
    return best
