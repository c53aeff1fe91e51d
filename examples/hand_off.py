"""Masks handed on: to supervision, to FiftyOne, and segue inside code that was written for segment-anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segue.core.types import Image, Mask


def to_supervision(masks: list[Mask], classes: list[int]) -> Any:
    """(H, W) masks -> ``supervision.Detections``."""
    import supervision

    stack = np.stack(masks)
    return supervision.Detections(supervision.mask_to_xyxy(stack), mask=stack, class_id=np.array(classes))


def to_fiftyone(folder: Path) -> Any:
    """A folder that ``segue convert-data SRC --to coco -o FOLDER`` wrote -> ``fiftyone.Dataset``."""
    import fiftyone

    labels = folder / "annotations" / "instances.json"
    return fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.COCODetectionDataset,
        data_path=str(folder / "images"),
        labels_path=str(labels),
        label_types="segmentations",
    )


def click_twice(predictor: Any, image: Image, first: tuple[int, int], background: tuple[int, int]) -> Mask:
    """What tools written for ``segment_anything.SamPredictor`` do, to the letter: three candidates for the first
    click, then the best one's low-resolution logits with a background click. ``segue.SamPredictor`` drives it."""
    predictor.set_image(image)
    masks, scores, logits = predictor.predict(
        point_coords=np.array([first]), point_labels=np.array([1]), multimask_output=True
    )
    best = int(np.argmax(scores))
    masks, scores, logits = predictor.predict(
        point_coords=np.array([first, background]),
        point_labels=np.array([1, 0]),
        mask_input=logits[best, :, :][None, :, :],
        multimask_output=False,
    )
    mask: Mask = masks[0]
    return mask
