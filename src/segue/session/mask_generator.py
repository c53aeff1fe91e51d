"""segment-anything's ``SamAutomaticMaskGenerator`` over any segue model: a drop-in for code written against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import InputError
from segue.core.segmenter import Segmenter
from segue.session.proposals import Proposal, ProposalSettings, propose

OUTPUTS = ("binary_mask", "uncompressed_rle", "coco_rle")


class SamAutomaticMaskGenerator:
    """``generate`` gives every object of an image, with segment-anything's keywords, keys and meanings.

    Keywords that are left out are those of ``ProposalSettings``, the thresholds the model's own.

    Source: segment_anything/automatic_mask_generator.py (its contract).

    >>> import segue
    >>> generator = SamAutomaticMaskGenerator(segue.load("nano"), points_per_side=4, crop_n_layers=0)
    >>> image = np.zeros((48, 64, 3), np.uint8); image[10:30, 20:50] = (250, 80, 20)
    >>> sorted({key for found in generator.generate(image) for key in found})[:3]
    ['area', 'bbox', 'crop_box']
    """

    def __init__(
        self,
        model: Segmenter,
        points_per_side: int = 16,
        points_per_batch: int = 16,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 1,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 2,
        min_mask_region_area: int = 16,
        output_mode: str = "binary_mask",
        second_looks: int = 32,
    ) -> None:
        if output_mode not in OUTPUTS:
            raise InputError(f"the output mode {output_mode!r}", f"one of: {', '.join(OUTPUTS)}")
        self.model, self.output_mode = model, output_mode
        self.settings = ProposalSettings(
            points_per_side=points_per_side,
            points_per_batch=points_per_batch,
            predicted_iou=pred_iou_thresh,
            stability=stability_score_thresh,
            stability_offset=stability_score_offset,
            nms_iou=box_nms_thresh,
            crop_layers=crop_n_layers,
            crop_overlap=crop_overlap_ratio,
            crop_points_divisor=crop_n_points_downscale_factor,
            min_area=min_mask_region_area,
            second_looks=second_looks,
        )

    def generate(self, image: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """(H, W, 3) uint8 RGB -> a record for every object: ``segmentation`` (H, W) bool or run lengths, ``area``,
        ``bbox`` and ``crop_box`` (x, y, width, height), ``predicted_iou``, ``stability_score``, ``point_coords``."""
        return generated(propose(self.model, image, self.settings), self.output_mode)


def generated(proposals: Sequence[Proposal], output_mode: str = "coco_rle") -> list[dict[str, Any]]:
    """Proposals as ``SamAutomaticMaskGenerator.generate`` gives them."""
    return [
        {
            "segmentation": _segmentation(proposal, output_mode),
            "area": proposal.rle.area,
            "bbox": _xywh(proposal.rle.box),
            "predicted_iou": proposal.predicted_iou,
            "point_coords": [list(proposal.point)],
            "stability_score": proposal.stability,
            "crop_box": _xywh(proposal.crop),
        }
        for proposal in proposals
    ]


def _segmentation(proposal: Proposal, output_mode: str) -> Any:
    if output_mode == "binary_mask":
        return proposal.rle.mask()
    counts = proposal.rle.text if output_mode == "coco_rle" else proposal.rle.runs.tolist()
    return {"size": list(proposal.rle.size), "counts": counts}


def _xywh(box: Sequence[int]) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
