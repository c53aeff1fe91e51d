"""Which way a model is searched for one example: each model names its own."""

from __future__ import annotations

from segue.core.errors import InputError
from segue.core.registry import Registry, RegistryEntry
from segue.core.segmenter import Segmenter
from segue.oneshot.finder import Finder

FINDERS: Registry[RegistryEntry] = Registry(
    "one-shot search",
    {
        "evidence": RegistryEntry(
            "segue.oneshot.finders:evidence_finder", "clicks where patches look alike, and evidence for each mask"
        ),
        "persam": RegistryEntry("segue.oneshot.persam_finder:persam_finder", "PerSAM's pipeline over a SAM"),
    },
)


def finder(model: Segmenter, *, fit_scale: bool = False) -> Finder:
    """The finder that ``model.one_shot`` names; ``fit_scale`` learns which of its scales is meant (PerSAM-F).

    >>> from segue.models.nano.model import Nano
    >>> type(finder(Nano(longest=64, zoom=0))).__name__
    'Finder'
    """
    if isinstance(model, Finder):
        return model
    chosen: Finder = FINDERS.load(model.one_shot)(model, fit_scale)
    return chosen


def evidence_finder(model: Segmenter, fit_scale: bool) -> Finder:
    """``Finder`` over any model that understands clicks. Raises ``InputError`` where scales are to be fitted."""
    if fit_scale:
        raise InputError(f"--fit-scale with {type(model).__name__}", "a model with three scales", "choose a SAM")
    return Finder(model).eval()
