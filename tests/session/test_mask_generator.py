"""The generator that code written for segment-anything calls."""

import numpy as np
import pytest
from pycocotools import mask as coco

from segue.core.errors import InputError
from segue.session.mask_generator import SamAutomaticMaskGenerator
from tests.fakes import ColourModel


@pytest.fixture(scope="module")
def image():
    image = np.full((60, 80, 3), 128, np.uint8)
    image[10:30, 20:50] = (220, 30, 30)
    return image


def generate(image, mode):
    model = ColourModel(80)
    generator = SamAutomaticMaskGenerator(
        model, points_per_side=8, stability_score_thresh=0.5, crop_n_layers=0, output_mode=mode
    )
    return generator.generate(image)


def test_records_have_the_keys_and_meanings_of_the_original(image):
    found = generate(image, "binary_mask")
    assert set(found[0]) == {
        *("segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box")
    }
    for record in found:
        mask = record["segmentation"]
        assert mask.shape == (60, 80)
        assert mask.dtype == bool
        assert record["area"] == mask.sum()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert record["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert record["crop_box"] == [0, 0, 80, 60]
    assert any(record["bbox"] == [20, 10, 30, 20] for record in found)


def test_run_lengths_are_cocos(image):
    masks = [record["segmentation"] for record in generate(image, "binary_mask")]
    for mode in ("coco_rle", "uncompressed_rle"):
        for mask, record in zip(masks, generate(image, mode), strict=True):
            rle = record["segmentation"]
            if mode == "uncompressed_rle":
                rle = coco.frPyObjects(rle, *rle["size"])
            assert np.array_equal(coco.decode(rle).astype(bool), mask)


def test_an_unknown_output_mode_is_named():
    with pytest.raises(InputError, match="coco_rle"):
        SamAutomaticMaskGenerator(ColourModel(), output_mode="png")
