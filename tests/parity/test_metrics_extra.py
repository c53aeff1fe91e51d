"""Boundary IoU, Dice, IoU, Hausdorff distances, J and F equal the official implementations' values."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from segue.metrics.boundary import band_width, boundary_band, boundary_iou
from segue.metrics.distance import assd, hausdorff, hd95, surface_distances
from segue.metrics.overlap import dice, iou
from segue.metrics.video import contour_accuracy, contour_map, region_similarity


@pytest.fixture(scope="module")
def fixture(parity_dir):
    folder = parity_dir / "metrics-extra"
    if not folder.is_dir():
        pytest.skip("no metrics-extra fixture")
    return json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")


def directed_hd95(prediction, target):
    there, _ = surface_distances(prediction, target)
    return float(np.percentile(there, 95)) if len(there) else np.nan


def finite_hausdorff(prediction, target):
    """MedPy gives no distance where MONAI gives infinity."""
    return hausdorff(prediction, target) if prediction.any() and target.any() else np.nan


VALUES = {
    "boundary_iou": boundary_iou,
    "monai_dice_x100": lambda a, b: 100 * dice(a, b),
    "monai_iou_x100": lambda a, b: 100 * iou(a, b, empty=1.0),
    "monai_hd": hausdorff,
    "monai_hd95": hd95,
    "monai_hd95_dir_pred2gt": directed_hd95,
    "medpy_hd95": lambda a, b: hd95(a, b, convention="medpy"),
    "medpy_hd": finite_hausdorff,
    "medpy_assd": assd,
    "davis_J": region_similarity,
    "davis_F": contour_accuracy,
}


def test_every_value_of_every_pair(fixture):
    config, tensors = fixture
    for i, pair in enumerate(config["pairs"]):
        masks = tensors[f"pair{i}.pred"] > 0, tensors[f"pair{i}.gt"] > 0
        for name, official in zip(config["value_names"], tensors[f"pair{i}.values"], strict=True):
            assert VALUES[name](*masks) == pytest.approx(official, rel=1e-6, abs=1e-6, nan_ok=True), (pair, name)


def test_boundary_bands_and_contours_pixel_by_pixel(fixture):
    config, tensors = fixture
    for i, pair in enumerate(config["pairs"]):
        width = band_width(tuple(pair["shape"]))
        assert width == pair["biou_dilation"]
        for which in ("pred", "gt"):
            band = boundary_band(tensors[f"pair{i}.{which}"] > 0, width)
            np.testing.assert_array_equal(band, tensors[f"pair{i}.{which}_boundary"] > 0)
        np.testing.assert_array_equal(contour_map(tensors[f"pair{i}.gt"] > 0), tensors[f"pair{i}.gt_bmap"] > 0)


def test_davis_with_void(fixture):
    _, tensors = fixture
    ignore_mask = tensors["void.mask"] > 0
    masks = tensors["pair0.pred"] > 0, tensors["pair0.gt"] > 0
    got = [region_similarity(*masks, ignore_mask), contour_accuracy(*masks, ignore_mask)]
    np.testing.assert_allclose(got, tensors["void.values"], atol=1e-9)
