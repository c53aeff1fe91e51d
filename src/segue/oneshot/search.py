"""Objects looked for in one image: the way that a model names, what was found, and the label map that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import InputError
from segue.core.registry import Registry, RegistryEntry
from segue.core.segmenter import Segmenter
from segue.core.types import Image, Mask, Probability, Reference
from segue.oneshot.calibration import Calibration
from segue.oneshot.finder import Choose, Finder, Match
from segue.oneshot.instances import find_instances

FINDERS: Registry[RegistryEntry] = Registry(
    "one-shot search",
    {
        "evidence": RegistryEntry(
            "segue.oneshot.search:evidence_finder", "clicks where patches look alike, and evidence for each mask"
        ),
        "persam": RegistryEntry("segue.oneshot.persam_finder:persam_finder", "PerSAM's pipeline over a SAM"),
    },
)


def finder(
    model: Segmenter,
    *,
    fit_scale: bool = False,
    choose: Choose | None = None,
    calibration: Calibration | None = None,
    mask_value: int = 128,
) -> Finder:
    """The finder that ``model.one_shot`` names; ``fit_scale`` learns which of its scales is meant (PerSAM-F),
    ``choose`` and ``calibration`` replace the finder's own, ``mask_value`` is the
    grey value of the object in the references' mask files, which PerSAM's rule of covered cells depends on.

    >>> from segue.models.nano.model import Nano
    >>> type(finder(Nano(longest=64, zoom=0))).__name__
    'Finder'
    """
    if isinstance(model, Finder):
        return model
    chosen: Finder = FINDERS.load(model.one_shot)(model, fit_scale, choose, calibration, mask_value)
    return chosen


def evidence_finder(
    model: Segmenter, fit_scale: bool, choose: Choose | None, calibration: Calibration | None, mask_value: int
) -> Finder:
    """``Finder`` over any model that understands clicks. Raises ``InputError`` where scales are to be fitted."""
    if fit_scale:
        raise InputError(f"--fit-scale with {type(model).__name__}", "a model with three scales", "choose a SAM")
    return Finder(model, choose=choose, calibration=calibration).eval()


MOST = 200  # instances, where all are asked for
LabelMap: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class LabeledMatch:
    """One object in one image: its ``label`` in the written mask, which ``object`` of the reference it is, its
    (H, W) ``mask`` and ``probability``, and the ``score`` that decided."""

    label: int
    object: int
    mask: Mask
    probability: Probability
    score: float


def search(
    finder: Finder,
    image: Image,
    references: Mapping[int, Reference],
    instances: int = 1,
    threshold: float | None = None,
) -> dict[int, list[Match]]:
    """Object -> its matches in ``image``; the first is there whatever its score, others where they reach
    ``threshold``, by default the finder's."""
    features = finder.encode([image])
    return {
        label: find_instances(finder, features, reference, instances, threshold)
        for label, reference in references.items()
    }


def label_matches(
    matches: Mapping[int, Sequence[Match]], threshold: float, size: Sequence[int], instances: int = 1
) -> tuple[list[LabeledMatch], LabelMap]:
    """The matches that reach ``threshold`` and that no negative denies, and their label map (H, W).

    Labels are the objects' own for one instance each, else 1, 2, ... in the order of the matches.
    """
    accepted = [
        (name, match)
        for name, several in matches.items()
        for match in several
        if match.score >= threshold and not match.denied
    ]
    labeled = []
    for number, (name, match) in enumerate(accepted, start=1):
        probability = match.prediction.probability()
        label = name if instances == 1 else number
        labeled.append(LabeledMatch(label, name, probability > 0.5, probability, match.score))
    return labeled, label_map([(match.label, match.probability) for match in labeled], size)


def label_map(probabilities: Sequence[tuple[int, Probability]], size: Sequence[int]) -> LabelMap:
    """(H, W) int32 of (label, probability (H, W)): where two claim a pixel, the more probable has it.

    >>> label_map([(1, np.array([[0.6, 0.2]])), (2, np.array([[0.9, 0.3]]))], (1, 2)).tolist()
    [[2, 0]]
    """
    labels, most = np.zeros(size[:2], np.int32), np.full(size[:2], 0.5, np.float32)
    for label, probability in probabilities:
        wins = probability > most
        labels[wins], most[wins] = label, probability[wins]
    return labels
