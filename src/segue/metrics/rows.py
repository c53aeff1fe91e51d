"""The table of metrics: name -> where the pure function lives, and what it is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from segue.core.registry import Registry, Row

Takes: TypeAlias = Literal["masks", "courses", "time"]


@dataclass(frozen=True)
class MetricRow(Row):
    """One metric. ``takes`` says what goes in: two "masks" (prediction, truth), "courses" (each object's
    quality after every click), or "time" (seconds and counts). ``better`` is +1 where larger is better.

    >>> METRICS["iou"].takes
    'masks'
    """

    takes: Takes = "masks"
    better: Literal[1, -1] = 1


METRICS: Registry[MetricRow] = Registry(
    "metric",
    {
        "iou": MetricRow("segue.metrics.overlap:iou", "intersection over union"),
        "dice": MetricRow("segue.metrics.overlap:dice", "Dice coefficient (DSC)"),
        "boundary-iou": MetricRow("segue.metrics.boundary:boundary_iou", "IoU of the boundary bands"),
        "hausdorff": MetricRow("segue.metrics.distance:hausdorff", "Hausdorff distance in pixels", better=-1),
        "hd95": MetricRow("segue.metrics.distance:hd95", "95th-percentile Hausdorff distance", better=-1),
        "assd": MetricRow("segue.metrics.distance:assd", "average symmetric surface distance", better=-1),
        "j": MetricRow("segue.metrics.video:region_similarity", "DAVIS region similarity"),
        "f": MetricRow("segue.metrics.video:contour_accuracy", "DAVIS contour accuracy"),
        "noc": MetricRow(
            "segue.metrics.interaction:noc",
            "mean clicks to a target quality; of boundary IoU: bNoC",
            takes="courses",
            better=-1,
        ),
        "noc-spread": MetricRow(
            "segue.metrics.interaction:noc_spread", "deviation of the clicks over objects", takes="courses", better=-1
        ),
        "nof": MetricRow("segue.metrics.interaction:nof", "failed objects, as published", takes="courses", better=-1),
        "unreached": MetricRow(
            "segue.metrics.interaction:unreached", "objects that never reach the target", takes="courses", better=-1
        ),
        "rof": MetricRow("segue.metrics.interaction:rof", "share of failed objects", takes="courses", better=-1),
        "quality-at": MetricRow(
            "segue.metrics.interaction:quality_at", "mIoU@k, or mbIoU@k of boundary courses", takes="courses"
        ),
        "spc": MetricRow("segue.metrics.interaction:spc", "seconds per click", takes="time", better=-1),
        "pie": MetricRow(
            "segue.metrics.interaction:pie", "seconds per click and input pixel", takes="time", better=-1
        ),
    },
)
