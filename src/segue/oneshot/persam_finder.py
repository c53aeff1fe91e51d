"""One example through PerSAM's own pipeline, the finder's evidence beside it."""

from __future__ import annotations

from segue.core.segmenter import Segmenter
from segue.core.types import Features, Probability, Prompt, Reference
from segue.models.sam.persam import PerSam, personalized
from segue.oneshot.calibration import Calibration
from segue.oneshot.examples import examples_of
from segue.oneshot.finder import Choose, Evidence, Finder, Match


class PerSamFinder(Finder):
    """PerSAM's own pipeline for the mask, and a calibration, where there is one, for whether the object is there.

    Of SAM's three candidates the one with the highest predicted IoU is the answer, as published. Instances after the
    first are looked for with the pixels of those found taken out of the confidence map.
    """

    choose: Choose = "iou"

    def __init__(self, persam: PerSam, *, choose: Choose | None = None, calibration: Calibration | None = None) -> None:
        super().__init__(persam, choose=choose, calibration=calibration)
        self.persam = persam

    def explain(self, features: Features, reference: Reference) -> tuple[Probability, tuple[Prompt, ...]]:
        """PerSAM's confidence map (H, W) and its two points. Source: section 3.2, equations 5 to 7."""
        target = self.persam.target(examples_of(reference))
        confidence = self.persam.confidence(features, target.direction)
        return confidence, self.persam.clicks(confidence)

    def _best(self, seen: Evidence) -> Match:
        stages = self.persam.stages(seen.features, examples_of(seen.reference), taken=seen.taken)
        return self.weigh(seen, stages.clicks, stages.steps[-1])


def persam_finder(
    model: Segmenter, fit_scale: bool, choose: Choose | None, calibration: Calibration | None, mask_value: int
) -> PerSamFinder:
    """PerSAM over a SAM; with ``fit_scale`` PerSAM-F."""
    return PerSamFinder(personalized(model, fit_scale, mask_value), choose=choose, calibration=calibration).eval()
