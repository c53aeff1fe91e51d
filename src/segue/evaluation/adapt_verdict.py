"""The verdict on an adapter: gain proven, not proven or harmful, in a sentence with its bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np


def bootstrap_interval(
    values: Sequence[float],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of ``values`` (nan left out); nan twice without values.

    With ``groups``, one for each value, whole groups are drawn: the objects of an image are not independent.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    >>> low < 2.5 < high
    True
    >>> bootstrap_interval([1.0, 3.0], groups=["one image", "one image"])
    (2.0, 2.0)
    """
    known = ~np.isnan(np.asarray(values, float))
    if not known.any():
        return math.nan, math.nan
    names = range(len(values)) if groups is None else groups
    kept = [name for name, is_known in zip(names, known, strict=True) if is_known]
    rows = {name: row for row, name in enumerate(dict.fromkeys(kept))}
    index = np.array([rows[name] for name in kept])
    sums, counts = np.bincount(index, np.asarray(values, float)[known]), np.bincount(index)
    picks = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


Kind: TypeAlias = Literal["gain proven", "not proven", "harmful"]
FEWEST = 6  # images with which a two-sided sign test can fall below 5 %
MOST = 20  # times the present images: more are not worth asking for


@dataclass(frozen=True)
class Change:
    """What a measure gained over held-out objects: its mean, better is positive, and its 95 % interval over images.

    ``better`` and ``worse`` say the change in words, with ``{}`` for its size.
    """

    better: str
    worse: str
    mean: float
    low: float
    high: float

    @classmethod
    def from_gains(
        cls, better: str, worse: str, gains: Sequence[float], images: Sequence[Hashable] | None = None
    ) -> Change:
        """The change of each object's ``gains``, of which ``images`` says the image."""
        mean = float(np.nanmean(gains)) if not np.isnan(gains).all() else math.nan
        return cls(better, worse, mean, *bootstrap_interval(gains, groups=images))

    @property
    def sign(self) -> int:
        """1 where a gain is beyond chance, -1 where a loss is, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def words(self) -> str:
        """The change and its interval.

        >>> Change("saves {} clicks", "costs {} clicks more", -0.5, -0.8, -0.2).words()
        'costs 0.5 clicks more (95 % interval 0.2 to 0.8)'
        """
        size, worse = abs(self.mean), self.mean < 0
        low, high = (-self.high, -self.low) if worse else (self.low, self.high)
        return f"{(self.worse if worse else self.better).format(f'{size:.3g}')} (95 % interval {low:.3g} to {high:.3g})"


@dataclass(frozen=True)
class Verdict:
    """Whether an adapter helps, and the sentence that says so."""

    kind: Kind
    sentence: str

    @property
    def helps(self) -> bool:
        """Whether a gain is proven."""
        return self.kind == "gain proven"


def verdict(main: Change, others: Sequence[Change], images: int, objects: int, improving: bool = False) -> Verdict:
    """The verdict by the ``main`` measure, with what is beyond chance in the ``others``.

    ``images`` and ``objects`` were held out; ``improving`` says that validation still got better when time was over.

    >>> verdict(Change("saves {} clicks", "costs {} clicks more", 0.9, -0.3, 2.1), [], 9, 12).sentence
    '**Not proven**: measured on 12 objects of 9 held-out images, it saves 0.9 clicks (95 % interval -0.3 to 2.1), \
which chance alone may give. About 16 held-out images would settle a gain of this size.'
    """
    measured = f"on {objects} objects of {images} held-out images, it {main.words()}"
    few = images < FEWEST
    proven = 0 if few else main.sign
    beside = [] if few else [c for c in others if c.sign]
    gained, lost = (", ".join(c.words() for c in beside if c.sign == sign) for sign in (1, -1))
    if proven > 0:
        price = f" At a price beyond chance: {lost}." if lost else ""
        return Verdict("gain proven", f"**Gain proven**: {measured}.{price}")
    if proven < 0:
        return Verdict("harmful", f"**Harmful**: {measured}. Work without it.")
    notes = [f"Beyond chance, though: {part}." for part in (gained, lost) if part]
    notes += [_settling(main, images)]
    notes += ["Validation was still getting better when time was over: more minutes may help."] if improving else []
    return Verdict("not proven", f"**Not proven**: measured {measured}, which chance alone may give. {' '.join(notes)}")


def _settling(change: Change, images: int) -> str:
    """How many held-out images would settle the question: the interval narrows with the root of their number."""
    half = (change.high - change.low) / 2
    if not change.mean or math.isnan(change.mean) or half / abs(change.mean) > MOST**0.5:
        return "The change is too small to be settled with a reasonable number of images."
    needed = max(FEWEST, images + 1 if images >= FEWEST else 0, math.ceil(images * (half / change.mean) ** 2))
    return f"About {needed} held-out images would settle a {'gain' if change.mean > 0 else 'loss'} of this size."
