"""The robot's clicks, its IoU and NoC equal the official code's, click by click."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from segue.core.types import Click
from segue.evaluation.robot import next_click
from segue.metrics.interaction import noc, noc_spread, nof
from segue.metrics.overlap import iou


@pytest.fixture(scope="module")
def fixture(parity_dir):
    folder = parity_dir / "clicker-protocol"
    if not folder.is_dir():
        pytest.skip("no clicker-protocol fixture")
    return json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")


def replay(tensors, name):
    """The robot's clicks (y, x, positive, index) and IoUs on the recorded predictions."""
    gt, predictions = tensors[f"{name}.gt"], tensors[f"{name}.preds"] > 0
    clicks, rows, ious = [], [], []
    prediction = np.zeros(gt.shape, bool)
    for index, after in enumerate(predictions):
        click = next_click(prediction, gt == 1, gt == -1, clicks)
        clicks.append(click)
        rows.append([click.y, click.x, int(click.positive), index])
        prediction = after
        ious.append(iou(prediction, gt == 1, gt == -1))
    return rows, ious


def test_every_click_of_every_case(fixture):
    config, tensors = fixture
    for i, case in enumerate(config["clicker_cases"]):
        rows, ious = replay(tensors, f"click{i}")
        assert rows == tensors[f"click{i}.clicks"].tolist(), case["name"]
        np.testing.assert_allclose(ious, tensors[f"click{i}.ious"], rtol=1e-12)


def test_a_perfect_prediction_gives_negative_clicks_in_the_corner(fixture):
    _, tensors = fixture
    rows, ious = replay(tensors, "perfect")
    assert rows == tensors["perfect.clicks"].tolist()
    np.testing.assert_allclose(ious, tensors["perfect.ious"])


def test_empty_against_empty_is_undefined(fixture):
    _, tensors = fixture
    empty = np.zeros((4, 4), bool)
    np.testing.assert_array_equal([iou(empty, empty)], tensors["iou_nan"])


@pytest.mark.parametrize(("name", "most"), [("noc", 20), ("noc5", 5)])
def test_noc_and_failures(fixture, name, most):
    config, tensors = fixture
    courses = [course[:most] for course in config["noc"]["ious"]]
    for k, target in enumerate(config["noc"]["thresholds"]):
        assert noc(courses, target, most) == pytest.approx(tensors[f"{name}.mean"][k], abs=1e-12)
        assert nof(courses, target, most) == tensors[f"{name}.over_max"][k]
        if f"{name}.std" in tensors:
            assert noc_spread(courses, target, most) == pytest.approx(tensors[f"{name}.std"][k], abs=1e-12)


def test_click_coordinates_are_x_then_y(fixture):
    _, tensors = fixture
    y, x, positive, _ = tensors["click0.clicks"][0]
    gt = tensors["click0.gt"]
    assert next_click(np.zeros(gt.shape, bool), gt == 1) == Click(x, y, bool(positive))
