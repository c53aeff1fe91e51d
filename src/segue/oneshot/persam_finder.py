"""One example through PerSAM's own pipeline, the finder's evidence beside it."""

from __future__ import annotations

from segue.core.segmenter import Segmenter
from segue.models.sam.persam import PerSam, personalized
from segue.oneshot.finder import Evidence, Finder, Match


class PerSamFinder(Finder):
    """PerSAM's own pipeline for the mask, the finder's evidence for whether the object is there at all.

    Instances after the first are looked for with the pixels of those found taken out of the confidence map.
    """

    def __init__(self, persam: PerSam) -> None:
        super().__init__(persam)
        self.persam = persam

    def _best(self, seen: Evidence) -> Match:
        stages = self.persam.stages(seen.features, [seen.reference], taken=seen.taken)
        return self._weigh(seen, stages.clicks, stages.steps[-1])


def persam_finder(model: Segmenter, fit_scale: bool) -> PerSamFinder:
    """PerSAM over a SAM; with ``fit_scale`` PerSAM-F."""
    return PerSamFinder(personalized(model, fit_scale)).eval()
