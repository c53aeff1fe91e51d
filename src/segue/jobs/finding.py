"""How an example is looked for: the fields that find, track and one-shot share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from segue.core.segmenter import Segmenter
from segue.oneshot.calibration import Calibration
from segue.oneshot.finder import Choose, Finder
from segue.oneshot.search import finder
from segue.session.config import JobConfig


class FinderFields(JobConfig):
    """What makes a finder of a model; without ``choose`` a SAM's candidates are chosen as PerSAM does, by predicted
    IoU, others' by evidence."""

    fit_scale: Annotated[
        bool, Field(description="PerSAM-F: learn which of a SAM's three scales is meant, in seconds.")
    ] = False
    choose: Annotated[
        Choose | None, Field(description="What chooses among candidate masks; without it iou for a SAM (PerSAM).")
    ] = None
    calibration: Annotated[
        Path | None, Field(description="File of segue calibrate for this model; nano comes with one.")
    ] = None

    def finder(self, model: Segmenter, mask_value: int = 128) -> Finder:
        """The finder over ``model``, for references whose mask files hold ``mask_value``.

        Raises ``InputError`` where scales cannot be fitted, ``DataError`` for a file that is no calibration.
        """
        calibration = None if self.calibration is None else Calibration.read(self.calibration)
        return finder(
            model, fit_scale=self.fit_scale, choose=self.choose, calibration=calibration, mask_value=mask_value
        )
