"""How a model is shown images in an evaluation: zoom-in and flip averaging as its protocol has them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from segue.core.segmenter import Segmenter
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule, unwrapped

View: TypeAlias = Literal["auto", "own", "whole", "ritm", "simpleclick"]


def with_view(model: Segmenter, view: str, zoom_size: int | None = None, format: str = "") -> Segmenter:
    """``model`` under the named protocol: "own" as it was loaded, "whole" without zoom-in or flip averaging, "ritm"
    with zoom-in from the second click, target 400 (600 on DAVIS), "simpleclick" from the first click at 448 x 448
    (672 on DAVIS), both with flip averaging. ``zoom_size`` replaces the target.

    Source: RITM, section 4; SimpleClick, section 4.
    """
    shown, davis = model if view == "own" else unwrapped(model), format == "davis"
    if view == "ritm":
        shown = ZoomIn(FlipAverage(shown), ZoomRule(target=zoom_size or (600 if davis else 400)))
    if view == "simpleclick":
        side = zoom_size or (672 if davis else 448)
        shown = ZoomIn(FlipAverage(shown), ZoomRule(target=(side, side), skip_clicks=-1))
    return shown
