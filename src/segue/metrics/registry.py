"""The table of metrics: name -> where the pure function lives, and what it is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from segue.core.registry import Registry, RegistryEntry

Takes: TypeAlias = Literal["masks", "curves", "time"]


@dataclass(frozen=True)
class MetricEntry(RegistryEntry):
    """One metric. ``takes`` says what goes in: two "masks" (prediction, truth), "curves" (each object's
    quality after every click), or "time" (seconds and counts). ``better`` is +1 where larger is better.

    >>> METRICS["iou"].takes
    'masks'
    """

    takes: Takes = "masks"
    better: Literal[1, -1] = 1


METRICS: Registry[MetricEntry] = Registry(
    "metric",
    {
        "iou": MetricEntry("segue.metrics.overlap:iou", "intersection over union"),
        "dice": MetricEntry("segue.metrics.overlap:dice", "Dice coefficient (DSC)"),
        "boundary-iou": MetricEntry("segue.metrics.boundary:boundary_iou", "IoU of the boundary bands"),
        "hausdorff": MetricEntry("segue.metrics.distance:hausdorff", "Hausdorff distance in pixels", better=-1),
        "hd95": MetricEntry("segue.metrics.distance:hd95", "95th-percentile Hausdorff distance", better=-1),
        "assd": MetricEntry("segue.metrics.distance:assd", "average symmetric surface distance", better=-1),
        "j": MetricEntry("segue.metrics.video:region_similarity", "DAVIS region similarity"),
        "f": MetricEntry("segue.metrics.video:contour_accuracy", "DAVIS contour accuracy"),
        "noc": MetricEntry(
            "segue.metrics.interaction:noc",
            "mean clicks to a target quality; of boundary IoU: bNoC",
            takes="curves",
            better=-1,
        ),
        "noc-spread": MetricEntry(
            "segue.metrics.interaction:noc_spread", "deviation of the clicks over objects", takes="curves", better=-1
        ),
        "nof": MetricEntry("segue.metrics.interaction:nof", "failed objects, as published", takes="curves", better=-1),
        "unreached": MetricEntry(
            "segue.metrics.interaction:unreached", "objects that never reach the target", takes="curves", better=-1
        ),
        "rof": MetricEntry("segue.metrics.interaction:rof", "share of failed objects", takes="curves", better=-1),
        "quality-at": MetricEntry(
            "segue.metrics.interaction:quality_at", "mIoU@k, or mbIoU@k of boundary curves", takes="curves"
        ),
        "spc": MetricEntry("segue.metrics.interaction:spc", "seconds per click", takes="time", better=-1),
        "pie": MetricEntry(
            "segue.metrics.interaction:pie", "seconds per click and input pixel", takes="time", better=-1
        ),
    },
)
